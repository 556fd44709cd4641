/*
 * fence.h
 *	  Leases that a transaction's commit depends on.
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
	DLOCK_FENCE_NOT_HELD,		/* by anybody */
	DLOCK_FENCE_NOT_OURS,		/* see the holder */
	DLOCK_FENCE_NOT_EXCLUSIVE,	/* see the holder */
} DlockFenceOutcome;

extern bool dlock_fence_token(DlockGate gate, const DlockKey *key,
							  int64 token);
extern DlockFenceOutcome dlock_fence_own(DlockGate gate, const DlockKey *key,
										 DlockHolder *holder);

#endif							/* DLOCK_SESSION_FENCE_H */
