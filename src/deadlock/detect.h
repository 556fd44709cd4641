/*
 * detect.h
 *	  Find waits that will never end, and end one of each cycle.
 *
 * IDENTIFICATION
 *	  src/deadlock/detect.h
 */
#ifndef DLOCK_DEADLOCK_DETECT_H
#define DLOCK_DEADLOCK_DETECT_H

#include "base/compat.h"

extern int	dlock_detect_pass(void);
pg_noreturn extern void dlock_detect_report(uint64 id);

#endif							/* DLOCK_DEADLOCK_DETECT_H */
