/*
 * fence.c
 *	  Leases that a transaction's commit depends on.
 *
 * A fence says that the transaction relies on a lease: if that is over before
 * the commit, the commit fails; once the commit has begun, nobody else gets
 * the resource before the changes are visible.  Until then a fence changes
 * nothing: the lease runs out, is released or taken away as without it.
 *
 * IDENTIFICATION
 *	  src/session/fence.c
 */
#include "postgres.h"

#include "session/access.h"
#include "session/fence.h"
#include "session/scope.h"

/*
 * dlock_fence_token fences the lease that has a token, whichever client of the
 * caller's it belongs to; false where there is none.
 */
bool
dlock_fence_token(DlockGate gate, const DlockKey *key, int64 token)
{
	DlockHolder holder;

	if (!dlock_lookup_find_holder(gate, key, token, &holder))
		return false;
	dlock_access_check_holder(holder.role, holder.name);
	dlock_scope_fence(gate, &holder.ref);
	return true;
}

/*
 * dlock_fence_own fences an exclusive lease of the caller: of the client that
 * it acts as, of another one that the transaction has fenced, or held by this
 * transaction or session.
 */
DlockFenceOutcome
dlock_fence_own(DlockGate gate, const DlockKey *key, DlockHolder *holder)
{
	if (!dlock_lookup_find_holder(gate, key, 0, holder))
		return DLOCK_FENCE_NOT_HELD;
	if (holder->ref.mode != DLOCK_EXCLUSIVE)
		return DLOCK_FENCE_NOT_EXCLUSIVE;
	if (!dlock_scope_is_ours(gate, &holder->ref))
	{
		if (!dlock_access_is_me(gate, holder->client, holder->name))
			return DLOCK_FENCE_NOT_OURS;
		dlock_access_check_holder(holder->role, holder->name);
	}
	dlock_scope_fence(gate, &holder->ref);
	return DLOCK_FENCED;
}
