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

/* what dlock_set_options is to change */
typedef struct DlockOptions
{
	bool		mode_given;
	DlockMode	mode;
	int64		duration;		/* 0: none is given */
	bool		priority_given;
	int32		priority;
	int64		timeout;		/* of an upgrade */
} DlockOptions;

extern void dlock_change_lease(DlockRequest *request, const DlockLeaseRef *ref,
							   const DlockOptions *options);
extern void dlock_change_at_commit(DlockGate gate, const DlockLeaseRef *ref,
								   const DlockOptions *options);

#endif							/* DLOCK_SESSION_CHANGE_H */
