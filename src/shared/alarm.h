/*
 * alarm.h
 *	  Waking the monitor in time for a deadline.
 *
 * IDENTIFICATION
 *	  src/shared/alarm.h
 */
#ifndef DLOCK_SHARED_ALARM_H
#define DLOCK_SHARED_ALARM_H

#include "base/clock.h"

/* called by the monitor */
extern void dlock_alarm_attach(int procno);
extern void dlock_alarm_detach(void);
extern void dlock_alarm_set_due(DlockTime due);

/* called by a process that sets a deadline, or that the monitor waits for */
extern void dlock_alarm_set(DlockTime due);
extern void dlock_alarm_ring(void);

/* called at server start */
extern Size dlock_alarm_shmem_size(void);
extern void dlock_alarm_shmem_init(void);

#endif							/* DLOCK_SHARED_ALARM_H */
