/*
 * deadline.h
 *	  The leases of a partition in the order in which they expire.
 *
 * IDENTIFICATION
 *	  src/shared/deadline.h
 */
#ifndef DLOCK_SHARED_DEADLINE_H
#define DLOCK_SHARED_DEADLINE_H

#include "base/clock.h"

/* the caller holds the lease's partition lock exclusively */
extern void dlock_deadline_set(uint32 lease, DlockTime deadline);
extern void dlock_deadline_clear(uint32 lease);
extern uint32 dlock_deadline_first(int partition, DlockTime now,
								   DlockTime *next);

#endif							/* DLOCK_SHARED_DEADLINE_H */
