/*
 * hold.h
 *	  What a request adds to a lease.
 *
 * IDENTIFICATION
 *	  src/shared/hold.h
 */
#ifndef DLOCK_SHARED_HOLD_H
#define DLOCK_SHARED_HOLD_H

#include "base/mode.h"
#include "base/scope.h"

/* what a granted request adds to a lease */
typedef struct DlockHold
{
	int64		duration;		/* microseconds */
	uint32		session;		/* number of the PGPROC that asks for it */
	DlockScope	scope;
	DlockMode	mode;
	bool		duration_given; /* false: the default duration */
	bool		durable;		/* not acknowledged before it is flushed */
	bool		counts;			/* false: changes the lease's mode */
} DlockHold;

#endif							/* DLOCK_SHARED_HOLD_H */
