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

#include "storage/proc.h"
#include "utils/memutils.h"

#include "base/config.h"
#include "session/access.h"
#include "session/events.h"
#include "session/fence.h"

/* which leases are fenced, by slot and mode; NULL before the first one */
static uint8 *fence_bits;

/* changes whenever a fence may be gone */
static uint64 fence_generation = 1;

/*
 * fence_bit tells where it is noted that a lease is fenced as held in a mode.
 * A slot that has gone to another lease since does no harm: the fence on the
 * first one makes the commit fail, and belongs to the same subtransaction or
 * to one around it.
 */
static Size
fence_bit(const DlockLeaseRef *ref, DlockMode mode)
{
	return (Size) ref->lease * DLOCK_NMODES + mode;
}

static bool
is_fenced(const DlockLeaseRef *ref, DlockMode mode)
{
	Size		bit = fence_bit(ref, mode);

	return fence_bits != NULL && (fence_bits[bit / 8] & (1 << (bit % 8))) != 0;
}

/*
 * dlock_fence_lease makes the commit depend on a lease as it is held now.
 */
void
dlock_fence_lease(DlockGate gate, const DlockLeaseRef *ref)
{
	Size		bits = (Size) dlock_max_leases * DLOCK_NMODES;
	Size		bit = fence_bit(ref, ref->mode);

	if (is_fenced(ref, ref->mode))
		return;
	dlock_events_reserve(1);
	if (fence_bits == NULL)
		fence_bits = MemoryContextAllocZero(TopMemoryContext, (bits + 7) / 8);
	fence_bits[bit / 8] |= 1 << (bit % 8);
	(void) dlock_events_add(DLOCK_EVENT_FENCE, gate, ref);
}

/*
 * dlock_fence_is_ours tells whether this transaction has fenced a lease, or
 * holds it, or this session does, as whatever client.
 */
bool
dlock_fence_is_ours(DlockGate gate, const DlockLeaseRef *ref)
{
	for (int mode = 0; mode < DLOCK_NMODES; mode++)
		if (is_fenced(ref, (DlockMode) mode))
			return true;
	return dlock_lookup_of_session(gate, ref, MyProc->pgprocno);
}

/*
 * dlock_fence_generation gives a number that stays the same as long as
 * all fences of the transaction are there.
 */
uint64
dlock_fence_generation(void)
{
	return fence_generation;
}

/*
 * dlock_fence_undo forgets a fence whose event is being undone.  Cannot fail.
 */
void
dlock_fence_undo(const DlockLeaseRef *ref)
{
	Size		bit = fence_bit(ref, ref->mode);

	fence_bits[bit / 8] &= ~(1 << (bit % 8));
	fence_generation++;
}

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
	dlock_fence_lease(gate, &holder.ref);
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
	if (!dlock_mode_is_alone(holder->ref.mode))
		return DLOCK_FENCE_NOT_EXCLUSIVE;
	if (!dlock_fence_is_ours(gate, &holder->ref))
	{
		if (!dlock_access_is_me(gate, holder->client, holder->name))
			return DLOCK_FENCE_NOT_OURS;
		dlock_access_check_holder(holder->role, holder->name);
	}
	dlock_fence_lease(gate, &holder->ref);
	return DLOCK_FENCED;
}
