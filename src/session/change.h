/*
 * change.h
 *	  Change a lease on behalf of its client.
 *
 * IDENTIFICATION
 *	  src/session/change.h
 */
#ifndef DLOCK_SESSION_CHANGE_H
#define DLOCK_SESSION_CHANGE_H

#include "engine/lookup.h"

/* the changes that dlock_set_options has been called for */
typedef struct DlockOptions
{
	bool		mode_given;
	DlockMode	mode;
	int64		duration;		/* microseconds; 0: not given */
	bool		priority_given;
	int32		priority;
	int64		timeout;		/* longest wait for an upgrade */
} DlockOptions;

extern void dlock_change_lease(DlockRequest *request, const DlockLeaseRef *ref,
							   const DlockOptions *options);
extern void dlock_change_at_commit(DlockGate gate, const DlockLeaseRef *ref,
								   const DlockOptions *options);

#endif							/* DLOCK_SESSION_CHANGE_H */
