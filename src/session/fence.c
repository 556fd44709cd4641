/*
 * fence.c
 *	  Leases that the commit of a transaction depends on.
 *
 * A fence records that the transaction relies on a lease.  If the lease has
 * ended when the commit begins, the commit fails.  From then on the resource
 * is not granted to another client until the transaction's changes are visible
 * (see dlock_holding_keep).  Before the commit a fence has no effect on the
 * lease: it expires, and is released or taken away, as it would be without a
 * fence.
 *
 * IDENTIFICATION
 *	  src/session/fence.c
 */
#include "postgres.h"

#include "storage/proc.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/config.h"
#include "session/access.h"
#include "session/events.h"
#include "session/fence.h"

/* a bit for each slot and mode: is it fenced?  NULL before the first fence */
static uint8 *fence_bits;

/* incremented whenever a fence is removed */
static uint64 fence_generation = 1;

/*
 * fence_bit returns the number of the bit that records that a lease is fenced
 * in a mode.
 *
 * The bit belongs to the slot, not to the lease.  If a fenced lease ends and
 * its slot is used for another lease, that one looks fenced as well, and
 * fence_lease adds no fence for it.  This does no harm: the fence of the
 * lease that has ended still makes the commit fail, and it is not undone
 * earlier than the missing fence would be, because it belongs to the same
 * subtransaction or to one that encloses it.
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
 * fence_lease makes the commit depend on a lease in the mode that the
 * lease has now.  Throws if there is not enough memory.
 */
static void
fence_lease(DlockGate gate, const DlockLeaseRef *ref)
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
 * is_ours returns whether this transaction has fenced a lease, or it or its
 * session holds it, as any client.
 */
static bool
is_ours(DlockGate gate, const DlockLeaseRef *ref)
{
	for (int mode = 0; mode < DLOCK_NMODES; mode++)
		if (is_fenced(ref, (DlockMode) mode))
			return true;
	return dlock_lookup_of_session(gate, ref, MyProcNumber);
}

/*
 * dlock_fence_generation returns a number that changes whenever a fence is
 * removed.  As long as it stays the same, a fence that the caller has set is
 * still there.
 */
uint64
dlock_fence_generation(void)
{
	return fence_generation;
}

/*
 * dlock_fence_undo removes the fence of an event that is being undone.  Cannot
 * fail.
 */
void
dlock_fence_undo(const DlockLeaseRef *ref)
{
	Size		bit = fence_bit(ref, ref->mode);

	fence_bits[bit / 8] &= ~(1 << (bit % 8));
	fence_generation++;
}

/*
 * dlock_fence_token fences the lease on a resource that has the given token.
 * It may belong to any client whose role's privileges the caller has.  Returns
 * false if there is no such lease; throws if the caller lacks the privileges.
 */
bool
dlock_fence_token(DlockGate gate, const DlockKey *key, int64 token)
{
	DlockHolder holder;

	if (!dlock_lookup_find_holder(gate, key, token, &holder))
		return false;
	dlock_access_check_holder(holder.role, holder.name);
	fence_lease(gate, &holder.ref);
	return true;
}

/*
 * dlock_fence_own fences the caller's exclusive lease on a resource.  A lease
 * is the caller's if it belongs to the client that the session acts as, if the
 * transaction has fenced it before, or if this transaction or session holds
 * it.  Returns the outcome; unless that is DLOCK_FENCE_NOT_HELD, *holder
 * describes the lease.  Throws if the caller lacks the privileges of the
 * client's role.
 */
DlockFenceOutcome
dlock_fence_own(DlockGate gate, const DlockKey *key, DlockHolder *holder)
{
	if (!dlock_lookup_find_holder(gate, key, 0, holder))
		return DLOCK_FENCE_NOT_HELD;
	if (!dlock_mode_is_alone(holder->ref.mode))
		return DLOCK_FENCE_NOT_EXCLUSIVE;
	if (!is_ours(gate, &holder->ref))
	{
		if (!dlock_access_is_me(gate, holder->client, holder->name))
			return DLOCK_FENCE_NOT_OURS;
		dlock_access_check_holder(holder->role, holder->name);
	}
	fence_lease(gate, &holder->ref);
	return DLOCK_FENCED;
}
