/*
 * scope.h
 *	  What a transaction or a session has to give back at its end.
 *
 * IDENTIFICATION
 *	  src/session/scope.h
 */
#ifndef DLOCK_SESSION_SCOPE_H
#define DLOCK_SESSION_SCOPE_H

#include "engine/lookup.h"

/* called by acquire: make room first, so that noting a hold cannot fail */
extern void dlock_scope_reserve(DlockGate gate, int count);
extern void dlock_scope_note_transaction(const DlockRequest *request,
										 const DlockGrant *grant);
extern void dlock_scope_note_session(const DlockRequest *request,
									 const DlockGrant *grant);

/* called by release and set_options */
extern bool dlock_scope_release(DlockGate gate, const DlockLeaseRef *ref,
								bool all);
extern void dlock_scope_downgrade(DlockGate gate, const DlockLeaseRef *ref);

/* called by fence */
extern void dlock_scope_fence(DlockGate gate, const DlockLeaseRef *ref);
extern bool dlock_scope_is_ours(DlockGate gate, const DlockLeaseRef *ref);
extern uint64 dlock_scope_fence_generation(void);

/* called once per process that uses dlock */
extern void dlock_scope_init(void);

#endif							/* DLOCK_SESSION_SCOPE_H */
