/*
 * fence.h
 *	  Leases that the commit of a transaction depends on.
 *
 * IDENTIFICATION
 *	  src/session/fence.h
 */
#ifndef DLOCK_SESSION_FENCE_H
#define DLOCK_SESSION_FENCE_H

#include "engine/lookup.h"

typedef enum DlockFenceOutcome
{
	DLOCK_FENCED,
	DLOCK_FENCE_NOT_HELD,		/* by any client */
	DLOCK_FENCE_NOT_OURS,		/* another client is the holder */
	DLOCK_FENCE_NOT_EXCLUSIVE,	/* the holder's mode is too weak */
} DlockFenceOutcome;

extern uint64 dlock_fence_generation(void);
extern bool dlock_fence_token(DlockGate gate, const DlockKey *key,
							  int64 token);
extern DlockFenceOutcome dlock_fence_own(DlockGate gate, const DlockKey *key,
										 DlockHolder *holder);

/* called at transaction end */
extern void dlock_fence_undo(const DlockLeaseRef *ref);

#endif							/* DLOCK_SESSION_FENCE_H */
