/*
 * holds.c
 *	  The holds of a lease: whose they are, and what ends them.
 *
 * A client may hold a lease several times, from several sessions.  Holds are
 * counted by what ends them: those of scope lease belong to the client, those of
 * scope session and transaction to one session.  So a session's end, or that of
 * its transaction, ends just the holds that it took and that nobody has given
 * back meanwhile.
 *
 * The first count stands in the lease itself, and most leases have no other.
 * Others come from a pool.  A waiter has one in reserve, so that a hand-over
 * cannot fail.
 *
 * The sums in the lease (hold_count, session_holds, transaction_holds, kept) are
 * changed here and nowhere else.
 *
 * IDENTIFICATION
 *	  src/lease/holds.c
 */
#include "postgres.h"

#include "lease/holds.h"

/* for dlock_holds_remove: whether they stop the clock or not */
#define ANY_KEPT (-1)

/*
 * owner_of gives the session that a hold ends with.
 */
static uint32
owner_of(const DlockHold *hold)
{
	return hold->scope == DLOCK_SCOPE_LEASE ? DLOCK_NO_SESSION : hold->session;
}

/*
 * stops_clock tells whether a lease does not run out as long as it has the hold.
 */
static bool
stops_clock(const DlockHold *hold)
{
	return hold->scope == DLOCK_SCOPE_SESSION ||
		(hold->scope == DLOCK_SCOPE_TRANSACTION && !hold->duration_given);
}

static DlockHoldCount *
next_of(const DlockHoldCount *count)
{
	return count->next == DLOCK_NONE ? NULL : dlock_hold_count_at(count->next);
}

static DlockHoldCount *
find(DlockLease *lease, uint32 session, DlockScope scope, bool kept)
{
	DlockHoldCount *count = &lease->holds;

	while (count != NULL &&
		   !(count->count > 0 && count->session == session &&
			 count->scope == scope && count->kept == kept))
		count = next_of(count);
	return count;
}

static void
add_to_sums(DlockLease *lease, DlockScope scope, bool kept, int32 n)
{
	lease->hold_count += n;
	if (scope == DLOCK_SCOPE_SESSION)
		lease->session_holds += n;
	if (scope == DLOCK_SCOPE_TRANSACTION)
		lease->transaction_holds += n;
	if (kept)
		lease->kept += n;
	Assert(lease->hold_count >= lease->session_holds + lease->transaction_holds);
	Assert(lease->session_holds >= 0 && lease->transaction_holds >= 0 &&
		   lease->kept >= 0);
}

/*
 * dlock_holds_init prepares a lease without holds.
 */
void
dlock_holds_init(DlockLease *lease)
{
	lease->holds.count = 0;
	lease->holds.next = DLOCK_NONE;
	lease->hold_count = 0;
	lease->session_holds = 0;
	lease->transaction_holds = 0;
	lease->kept = 0;
}

/*
 * dlock_holds_need_room tells whether a hold can be added only with room from
 * the pool.
 */
bool
dlock_holds_need_room(DlockLease *lease, const DlockHold *hold)
{
	return hold->counts && lease->holds.count > 0 &&
		find(lease, owner_of(hold), hold->scope, stops_clock(hold)) == NULL;
}

static void
fill(DlockHoldCount *count, uint32 session, DlockScope scope, bool kept, int32 n)
{
	count->session = session;
	count->scope = scope;
	count->kept = kept;
	count->count = n;
}

/*
 * dlock_holds_add counts one more hold.  Where that needs room, *spare has it;
 * it is set to DLOCK_NONE if it was used.
 */
void
dlock_holds_add(DlockLease *lease, const DlockHold *hold, uint32 *spare)
{
	bool		kept = stops_clock(hold);
	DlockHoldCount *count = find(lease, owner_of(hold), hold->scope, kept);

	if (count != NULL)
		count->count++;
	else if (lease->holds.count == 0)
		fill(&lease->holds, owner_of(hold), hold->scope, kept, 1);
	else
	{
		DlockHoldCount *last = &lease->holds;

		Assert(*spare != DLOCK_NONE);
		while (last->next != DLOCK_NONE)
			last = next_of(last);
		last->next = *spare;
		count = dlock_hold_count_at(*spare);
		*spare = DLOCK_NONE;
		fill(count, owner_of(hold), hold->scope, kept, 1);
		count->next = DLOCK_NONE;
	}
	add_to_sums(lease, hold->scope, kept, 1);
}

/*
 * dlock_holds_restore counts the holds that a lease's row tells of.  Whatever
 * session they were of, it is gone.
 */
void
dlock_holds_restore(DlockLease *lease, int32 count)
{
	fill(&lease->holds, DLOCK_NO_SESSION, DLOCK_SCOPE_LEASE, false, count);
	add_to_sums(lease, DLOCK_SCOPE_LEASE, false, count);
}

/*
 * drop_empty gives back the counts that have come to nothing.  The one in the
 * lease is filled from the next.
 */
static void
drop_empty(DlockLease *lease)
{
	DlockHoldCount *count = &lease->holds;

	while (count->next != DLOCK_NONE)
	{
		uint32		idx = count->next;
		DlockHoldCount *next = dlock_hold_count_at(idx);

		if (count->count == 0)
			*count = *next;
		else if (next->count == 0)
			count->next = next->next;
		else
		{
			count = next;
			continue;
		}
		dlock_hold_count_free(idx);
	}
}

/*
 * take takes holds from one count, as many as wanted and as there are.
 */
static int32
take(DlockLease *lease, DlockHoldCount *count, int32 wanted)
{
	int32		n = Min(count->count, wanted);

	count->count -= n;
	add_to_sums(lease, count->scope, count->kept, -n);
	return n;
}

/*
 * dlock_holds_remove takes holds of a session and scope away, up to so many;
 * tells how many there were.  kept tells whether those that stop the clock are
 * meant, or those that do not; -1: both.
 */
int32
dlock_holds_remove(DlockLease *lease, uint32 session, DlockScope scope,
				   int kept, int32 count)
{
	int32		n = 0;

	for (DlockHoldCount *i = &lease->holds; i != NULL && n < count; i = next_of(i))
		if (i->session == session && i->scope == scope &&
			(kept == ANY_KEPT || i->kept == (kept != 0)))
			n += take(lease, i, count - n);
	drop_empty(lease);
	return n;
}

/*
 * dlock_holds_take_back takes a hold away that was added; false where another
 * session has given it back already.
 */
bool
dlock_holds_take_back(DlockLease *lease, const DlockHold *hold)
{
	return dlock_holds_remove(lease, owner_of(hold), hold->scope,
							  stops_clock(hold), 1) > 0;
}

/*
 * dlock_holds_remove_oldest takes holds of a scope away, whosever they are,
 * beginning with the session whose holds are the oldest; tells how many.
 */
int32
dlock_holds_remove_oldest(DlockLease *lease, DlockScope scope, int32 count)
{
	int32		n = 0;

	for (DlockHoldCount *i = &lease->holds; i != NULL && n < count; i = next_of(i))
		if (i->scope == scope)
			n += take(lease, i, count - n);
	drop_empty(lease);
	return n;
}

/*
 * dlock_holds_clear takes all holds away.
 */
void
dlock_holds_clear(DlockLease *lease)
{
	for (DlockHoldCount *i = &lease->holds; i != NULL; i = next_of(i))
		(void) take(lease, i, PG_INT32_MAX);
	drop_empty(lease);
}

/*
 * dlock_holds_of_session tells whether a session has holds that end with it.
 */
bool
dlock_holds_of_session(const DlockLease *lease, uint32 session)
{
	for (const DlockHoldCount *i = &lease->holds; i != NULL; i = next_of(i))
		if (i->count > 0 && i->session == session)
			return true;
	return false;
}
