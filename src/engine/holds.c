/*
 * holds.c
 *	  The holds of a lease: to which session they belong and what ends them.
 *
 * A client may hold a lease several times, from several sessions and in
 * several modes.  Holds are counted by mode and by what ends them: those of
 * scope lease belong to the client, those of scope session and transaction to
 * one session.  So the end of a session, or of its transaction, ends exactly
 * the holds that it took and that were not given back before.  The lease has
 * the strongest mode of the holds that are left (hold_modes.c).
 *
 * A hold that was granted and is not acknowledged yet belongs to its request:
 * no other request can give it back or make it weaker.
 *
 * The first count is in the lease itself, and most leases have no other.
 * Further counts come from a pool.  A waiter has one in reserve, so that a
 * grant to it cannot fail.
 *
 * The sums in the lease (hold_count, session_holds, transaction_holds, kept)
 * are changed in this file only.
 *
 * The caller of every function holds the partition lock, exclusively unless
 * the function only reads.  No function here can fail.
 *
 * IDENTIFICATION
 *	  src/engine/holds.c
 */
#include "postgres.h"

#include "engine/holds.h"
#include "shared/slots.h"

/*
 * owner_of returns the session that a hold ends with; DLOCK_NO_SESSION if it
 * belongs to the client.
 */
static uint32
owner_of(const DlockHold *hold)
{
	return hold->scope == DLOCK_SCOPE_LEASE ? DLOCK_NO_SESSION : hold->session;
}

/*
 * stops_clock returns whether a lease does not expire as long as it has the
 * hold.
 */
static bool
stops_clock(const DlockHold *hold)
{
	return hold->scope == DLOCK_SCOPE_SESSION ||
		(hold->scope == DLOCK_SCOPE_TRANSACTION && !hold->duration_given);
}

/*
 * find_count returns the count of one kind of holds, or NULL if there are
 * none.
 */
static DlockHoldCount *
find_count(DlockLease *lease, uint32 session, DlockScope scope, bool kept,
		   DlockMode mode)
{
	DlockHoldCount *count = &lease->holds;

	while (count != NULL &&
		   !(count->count > 0 && count->session == session &&
			 count->scope == scope && count->kept == kept &&
			 count->mode == mode))
		count = dlock_holds_next(count);
	return count;
}

/*
 * find_hold returns the count that a hold belongs to, or NULL.
 */
static DlockHoldCount *
find_hold(DlockLease *lease, const DlockHold *hold)
{
	return find_count(lease, owner_of(hold), hold->scope, stops_clock(hold),
					  hold->mode);
}

/*
 * add_to_sums adds n holds of the kind of a count to the sums in the lease.
 */
static void
add_to_sums(DlockLease *lease, const DlockHoldCount *count, int32 n)
{
	lease->hold_count += n;
	if (count->scope == DLOCK_SCOPE_SESSION)
		lease->session_holds += n;
	if (count->scope == DLOCK_SCOPE_TRANSACTION)
		lease->transaction_holds += n;
	if (count->kept)
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
 * dlock_holds_need_room returns whether adding a hold needs a count from the
 * pool.
 */
bool
dlock_holds_need_room(DlockLease *lease, const DlockHold *hold)
{
	return hold->counts && lease->holds.count > 0 &&
		find_hold(lease, hold) == NULL;
}

/*
 * fill makes a count one for holds of that kind, with no holds yet.
 */
static void
fill(DlockHoldCount *count, const DlockHold *hold)
{
	count->session = owner_of(hold);
	count->scope = hold->scope;
	count->mode = hold->mode;
	count->kept = stops_clock(hold);
	count->count = 0;
	count->untold = 0;
	count->last_told = 0;
}

/*
 * append adds a count for holds of that kind to a lease, in the slot that
 * *spare names, and sets *spare to DLOCK_NONE.
 */
static DlockHoldCount *
append(DlockLease *lease, const DlockHold *hold, uint32 *spare)
{
	DlockHoldCount *last = &lease->holds;
	DlockHoldCount *count;

	Assert(*spare != DLOCK_NONE);
	while (last->next != DLOCK_NONE)
		last = dlock_holds_next(last);
	last->next = *spare;
	count = dlock_table_hold_count(*spare);
	*spare = DLOCK_NONE;
	fill(count, hold);
	count->next = DLOCK_NONE;
	return count;
}

/*
 * dlock_holds_add adds a hold, not acknowledged yet.  If that needs a count
 * from the pool, *spare names it; it is set to DLOCK_NONE if it was used.
 */
void
dlock_holds_add(DlockLease *lease, const DlockHold *hold, uint32 *spare)
{
	DlockHoldCount *count = find_hold(lease, hold);

	if (count == NULL && lease->holds.count == 0)
	{
		count = &lease->holds;
		fill(count, hold);
	}
	else if (count == NULL)
		count = append(lease, hold, spare);
	count->count++;
	count->untold++;
	add_to_sums(lease, count, 1);
}

/*
 * dlock_holds_tell notes that a hold is acknowledged.
 */
void
dlock_holds_tell(DlockLease *lease, const DlockHold *hold)
{
	DlockHoldCount *count = find_hold(lease, hold);

	Assert(count != NULL && count->untold > 0);
	count->untold--;
	count->last_told = lease->told;
}

/*
 * dlock_holds_tell_anew restarts the count of acknowledgements at 0.
 */
void
dlock_holds_tell_anew(DlockLease *lease)
{
	for (DlockHoldCount *i = &lease->holds; i != NULL; i = dlock_holds_next(i))
		i->last_told = 0;
	for (int i = DLOCK_WEAKEST_MODE + 1; i < DLOCK_NMODES; i++)
		DLOCK_LEASE_UPGRADES(lease, i)->last_told = 0;
	lease->told = 0;
	lease->lost_told = 0;
}

/*
 * dlock_holds_restore adds the holds that a lease's row shows.  Their
 * sessions, if they had any, have ended, so they count as holds of scope
 * lease.  The row has one mode only, so all of them get it.
 */
void
dlock_holds_restore(DlockLease *lease, DlockMode mode, int32 count)
{
	DlockHold	hold = {.scope = DLOCK_SCOPE_LEASE,.mode = mode};

	fill(&lease->holds, &hold);
	lease->holds.count = count;
	add_to_sums(lease, &lease->holds, count);
}

/*
 * drop_empty returns counts without holds to the pool.  If the count in the
 * lease is empty, the next one moves into it.
 */
static void
drop_empty(DlockLease *lease)
{
	DlockHoldCount *count = &lease->holds;

	while (count->next != DLOCK_NONE)
	{
		uint32		idx = count->next;
		DlockHoldCount *next = dlock_table_hold_count(idx);

		if (count->count == 0)
			*count = *next;
		else if (next->count == 0)
			count->next = next->next;
		else
		{
			count = next;
			continue;
		}
		dlock_slots_put_hold_count(idx);
	}
}

/*
 * take removes holds from a count, up to "wanted"; returns how many.
 */
static int32
take(DlockLease *lease, DlockHoldCount *count, int32 wanted)
{
	int32		n = Min(count->count, wanted);

	count->count -= n;
	count->untold = Min((int32) count->untold, count->count);
	add_to_sums(lease, count, -n);
	return n;
}

/*
 * take_told does the same, but leaves holds that are not acknowledged.
 */
static int32
take_told(DlockLease *lease, DlockHoldCount *count, int32 wanted)
{
	return take(lease, count, Min(wanted, count->count - (int32) count->untold));
}

/*
 * take_back_told takes one of a session's holds of a scope away, of that mode
 * or else, where another session has made the lease weaker meanwhile, of any.
 */
static bool
take_back_told(DlockLease *lease, uint32 session, DlockScope scope, bool kept,
			   DlockMode mode)
{
	DlockHoldCount *count = find_count(lease, session, scope, kept, mode);
	int32		n = count == NULL ? 0 : take_told(lease, count, 1);

	/* the next weaker ones first */
	for (int i = 1; i < DLOCK_NMODES && n == 0; i++)
	{
		DlockMode	other = (DlockMode) ((mode + DLOCK_NMODES - i) % DLOCK_NMODES);

		count = find_count(lease, session, scope, kept, other);
		n = count == NULL ? 0 : take_told(lease, count, 1);
	}
	drop_empty(lease);
	return n > 0;
}

/*
 * dlock_holds_take_back removes a hold that was added.  "told" says whether it
 * was acknowledged; then another session may have given it back before, and
 * the function returns false.
 */
bool
dlock_holds_take_back(DlockLease *lease, const DlockHold *hold, bool told)
{
	DlockHoldCount *count;

	if (told)
		return take_back_told(lease, owner_of(hold), hold->scope,
							  stops_clock(hold), hold->mode);
	count = find_hold(lease, hold);
	Assert(count != NULL && count->untold > 0);
	count->untold--;
	(void) take(lease, count, 1);
	drop_empty(lease);
	return true;
}

/*
 * release_mine removes up to "count" holds of one mode that the session may
 * give back as its own: first those of scope session, then those of scope
 * lease.  Returns how many.
 */
static int32
release_mine(DlockLease *lease, uint32 session, DlockMode mode, int32 count)
{
	DlockHoldCount *own = find_count(lease, session, DLOCK_SCOPE_SESSION, true, mode);
	DlockHoldCount *plain = find_count(lease, DLOCK_NO_SESSION, DLOCK_SCOPE_LEASE,
									   false, mode);
	int32		n = 0;

	if (own != NULL)
		n += take_told(lease, own, count);
	if (plain != NULL)
		n += take_told(lease, plain, count - n);
	return n;
}

/*
 * release_others does the same for holds of scope session of other sessions,
 * the oldest first.
 */
static int32
release_others(DlockLease *lease, uint32 session, DlockMode mode, int32 count)
{
	int32		n = 0;

	for (DlockHoldCount *i = &lease->holds; i != NULL && n < count; i = dlock_holds_next(i))
		if (i->scope == DLOCK_SCOPE_SESSION && i->mode == mode &&
			i->session != session)
			n += take_told(lease, i, count - n);
	return n;
}

/*
 * dlock_holds_release removes up to "count" holds, the session's own or those
 * of other sessions, and returns how many.  It takes those of that mode first.
 * If there are too few, it takes those of weaker modes, because the lease may
 * have been made weaker since the release was asked for.  It never takes those
 * of a stronger mode, which must have come later.  Holds of scope transaction
 * end with their transaction, not here.
 */
int32
dlock_holds_release(DlockLease *lease, uint32 session, DlockMode mode,
					bool others, int32 count)
{
	int32		n = 0;

	for (int i = mode; i >= 0 && n < count; i--)
		n += others ? release_others(lease, session, (DlockMode) i, count - n) :
			release_mine(lease, session, (DlockMode) i, count - n);
	drop_empty(lease);
	return n;
}

/*
 * dlock_holds_end_session removes all holds of scope session of a session that
 * has ended; returns how many.
 */
int32
dlock_holds_end_session(DlockLease *lease, uint32 session)
{
	int32		n = 0;

	for (DlockHoldCount *i = &lease->holds; i != NULL; i = dlock_holds_next(i))
		if (i->session == session && i->scope == DLOCK_SCOPE_SESSION)
			n += take(lease, i, PG_INT32_MAX);
	drop_empty(lease);
	return n;
}

/*
 * dlock_holds_end_transaction removes one hold of a session's transaction.
 * "kept" says whether it stops the clock.  Returns whether there was one.
 */
bool
dlock_holds_end_transaction(DlockLease *lease, uint32 session, DlockMode mode,
							bool kept)
{
	return take_back_told(lease, session, DLOCK_SCOPE_TRANSACTION, kept, mode);
}

/*
 * split leaves "keep" holds in a count and moves the others into a new count,
 * which it returns; NULL if the pool is empty.
 */
static DlockHoldCount *
split(DlockHoldCount *count, int32 keep)
{
	uint32		idx = dlock_slots_get_hold_count();
	DlockHoldCount *told;

	if (idx == DLOCK_NONE)
		return NULL;
	told = dlock_table_hold_count(idx);
	*told = *count;
	told->count -= keep;
	told->untold = 0;
	count->count = keep;
	count->next = idx;
	return told;
}

/*
 * join_alike moves the holds of a count into another count of the same kind,
 * if the lease has one.
 */
static void
join_alike(DlockLease *lease, DlockHoldCount *count)
{
	DlockHoldCount *same = &lease->holds;

	while (same != NULL &&
		   !(same != count && same->count > 0 && same->mode == count->mode &&
			 same->session == count->session && same->scope == count->scope &&
			 same->kept == count->kept))
		same = dlock_holds_next(same);
	if (same == NULL)
		return;
	same->count += count->count;
	same->last_told = Max(same->last_told, count->last_told);
	count->count = 0;
}

/*
 * kept_strong returns how many holds of a count keep their mode when a lease
 * is downgraded: those that are not acknowledged yet, and those that were
 * acknowledged after "told" acknowledgements.  The latter are not counted one
 * by one, but they cannot be more than the acknowledgements since then.  If
 * the newest hold of the count was acknowledged before that, there are none.
 */
static int32
kept_strong(const DlockLease *lease, const DlockHoldCount *count, uint32 told)
{
	int32		acknowledged = count->count - (int32) count->untold;
	uint32		since = lease->told - told;

	if (count->last_told <= told)
		since = 0;
	return (int32) (count->untold + Min(since, (uint32) acknowledged));
}

/*
 * dlock_holds_weaken gives a weaker mode to the holds that were acknowledged
 * by the time that the lease had "told" acknowledgements.  Later holds keep
 * their mode: the later request counts.
 */
void
dlock_holds_weaken(DlockLease *lease, DlockMode mode, uint32 told)
{
	uint32		modes = 0;
	bool		join;

	for (const DlockHoldCount *i = &lease->holds; i != NULL; i = dlock_holds_next(i))
		if (i->count > 0)
			modes |= 1U << i->mode;
	/* counts that differ in their mode alone may become alike */
	join = (modes & (modes - 1)) != 0;
	for (DlockHoldCount *i = &lease->holds; i != NULL; i = dlock_holds_next(i))
	{
		int32		keep = kept_strong(lease, i, told);

		if (dlock_mode_covers(mode, i->mode) || i->count <= keep)
			continue;
		if (keep > 0)
			i = split(i, keep);
		/* no room to split: they stay stronger than they need to be */
		if (i == NULL)
			break;
		i->mode = mode;
		i->last_told = Min(i->last_told, told);
		if (join)
			join_alike(lease, i);
	}
	drop_empty(lease);
}

/*
 * dlock_holds_lost notes that the client has lost all acknowledged holds.  What
 * it gets from now on is not given back by a release that was requested before.
 */
void
dlock_holds_lost(DlockLease *lease)
{
	if (lease->told == PG_UINT32_MAX)
		dlock_holds_tell_anew(lease);
	lease->lost_told = ++lease->told;
}

/*
 * dlock_holds_expire removes all acknowledged holds of a lease that has
 * expired; returns how many.
 */
int32
dlock_holds_expire(DlockLease *lease)
{
	int32		n = 0;

	for (DlockHoldCount *i = &lease->holds; i != NULL; i = dlock_holds_next(i))
		n += take_told(lease, i, PG_INT32_MAX);
	drop_empty(lease);
	if (n > 0)
		dlock_holds_lost(lease);
	return n;
}

/*
 * dlock_holds_clear removes all holds.
 */
void
dlock_holds_clear(DlockLease *lease)
{
	for (DlockHoldCount *i = &lease->holds; i != NULL; i = dlock_holds_next(i))
		(void) take(lease, i, PG_INT32_MAX);
	drop_empty(lease);
}

/*
 * dlock_holds_of_session returns whether a session has holds of scope session
 * or transaction.
 */
bool
dlock_holds_of_session(const DlockLease *lease, uint32 session)
{
	for (const DlockHoldCount *i = &lease->holds; i != NULL; i = dlock_holds_next(i))
		if (i->count > 0 && i->session == session)
			return true;
	return false;
}
