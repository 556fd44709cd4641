/*
 * holds.c
 *	  The holds of a lease: whose they are, what ends them, how strong they are.
 *
 * A client may hold a lease several times, from several sessions and in several
 * modes.  Holds are counted by mode and by what ends them: those of scope lease
 * belong to the client, those of scope session and transaction to one session.
 * So a session's end, or that of its transaction, ends just the holds that it
 * took and that nobody has given back meanwhile, and the lease is as strong as
 * the strongest of those that are left.
 *
 * A hold that was granted and not acknowledged yet is its request's: nobody else
 * can give it back or make it weaker.
 *
 * The first count stands in the lease itself, and most leases have no other.
 * Others come from a pool.  A waiter has one in reserve, so that a hand-over
 * cannot fail.
 *
 * The sums in the lease (hold_count, session_holds, transaction_holds, kept) are
 * changed here and nowhere else.
 *
 * IDENTIFICATION
 *	  src/engine/holds.c
 */
#include "postgres.h"

#include "engine/holds.h"
#include "shared/slots.h"

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
	return count->next == DLOCK_NONE ? NULL : dlock_table_hold_count(count->next);
}

static DlockHoldCount *
find_count(DlockLease *lease, uint32 session, DlockScope scope, bool kept,
		   DlockMode mode)
{
	DlockHoldCount *count = &lease->holds;

	while (count != NULL &&
		   !(count->count > 0 && count->session == session &&
			 count->scope == scope && count->kept == kept &&
			 count->mode == mode))
		count = next_of(count);
	return count;
}

static DlockHoldCount *
find_hold(DlockLease *lease, const DlockHold *hold)
{
	return find_count(lease, owner_of(hold), hold->scope, stops_clock(hold),
					  hold->mode);
}

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
 * dlock_holds_need_room tells whether a hold can be added only with room from
 * the pool.
 */
bool
dlock_holds_need_room(DlockLease *lease, const DlockHold *hold)
{
	return hold->counts && lease->holds.count > 0 &&
		find_hold(lease, hold) == NULL;
}

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
 * append adds a count to those of a lease, in the room that *spare has.
 */
static DlockHoldCount *
append(DlockLease *lease, const DlockHold *hold, uint32 *spare)
{
	DlockHoldCount *last = &lease->holds;
	DlockHoldCount *count;

	Assert(*spare != DLOCK_NONE);
	while (last->next != DLOCK_NONE)
		last = next_of(last);
	last->next = *spare;
	count = dlock_table_hold_count(*spare);
	*spare = DLOCK_NONE;
	fill(count, hold);
	count->next = DLOCK_NONE;
	return count;
}

/*
 * dlock_holds_add counts one more hold, of which nobody has been told yet.
 * Where that needs room, *spare has it; it is set to DLOCK_NONE if it was used.
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
 * dlock_holds_tell notes that a hold that was added is being acknowledged.
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
 * dlock_holds_tell_anew begins to count anew what is acknowledged.
 */
void
dlock_holds_tell_anew(DlockLease *lease)
{
	for (DlockHoldCount *i = &lease->holds; i != NULL; i = next_of(i))
		i->last_told = 0;
	lease->upgrade_told = 0;
	lease->told = 0;
}

/*
 * dlock_holds_restore counts the holds that a lease's row tells of.  Whatever
 * session they were of, it is gone; which of them was weaker than the lease, the
 * row does not say.
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
 * take takes holds from one count, as many as wanted and as there are.
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
 * take_told leaves those that were not acknowledged.
 */
static int32
take_told(DlockLease *lease, DlockHoldCount *count, int32 wanted)
{
	return take(lease, count, Min(wanted, count->count - (int32) count->untold));
}

/*
 * take_back_told takes one of a session's holds of a scope away, of that mode or
 * else, where another session has changed the lease's mode meanwhile, of any.
 */
static bool
take_back_told(DlockLease *lease, uint32 session, DlockScope scope, bool kept,
			   DlockMode mode)
{
	DlockHoldCount *count = find_count(lease, session, scope, kept, mode);
	int32		n = count == NULL ? 0 : take_told(lease, count, 1);

	for (int other = 0; other < DLOCK_NMODES && n == 0; other++)
	{
		count = find_count(lease, session, scope, kept, (DlockMode) other);
		n = count == NULL ? 0 : take_told(lease, count, 1);
	}
	drop_empty(lease);
	return n > 0;
}

/*
 * dlock_holds_take_back takes a hold away that was added; false where it was
 * acknowledged, and another session has given it back already.
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
 * release_mine takes holds of one mode away, up to so many, that are the caller's:
 * those of its session, then those of scope lease.
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
 * release_others is the same for holds of other sessions, the oldest first.
 */
static int32
release_others(DlockLease *lease, uint32 session, DlockMode mode, int32 count)
{
	int32		n = 0;

	for (DlockHoldCount *i = &lease->holds; i != NULL && n < count; i = next_of(i))
		if (i->scope == DLOCK_SCOPE_SESSION && i->mode == mode &&
			i->session != session)
			n += take_told(lease, i, count - n);
	return n;
}

/*
 * dlock_holds_release gives holds back, the caller's or those of other sessions:
 * of that mode, or of a weaker one where the lease was made weaker since they
 * were asked for; tells how many there were.  Never of a stronger one, which
 * would have come later.  Holds of a transaction end with it, not here.
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
 * dlock_holds_end_session takes away what a session holds that is over; tells
 * how many.
 */
int32
dlock_holds_end_session(DlockLease *lease, uint32 session)
{
	int32		n = 0;

	for (DlockHoldCount *i = &lease->holds; i != NULL; i = next_of(i))
		if (i->session == session && i->scope == DLOCK_SCOPE_SESSION)
			n += take(lease, i, PG_INT32_MAX);
	drop_empty(lease);
	return n;
}

/*
 * dlock_holds_end_transaction takes one hold of a session's transaction away;
 * kept tells whether it stops the clock.
 */
bool
dlock_holds_end_transaction(DlockLease *lease, uint32 session, DlockMode mode,
							bool kept)
{
	return take_back_told(lease, session, DLOCK_SCOPE_TRANSACTION, kept, mode);
}

/*
 * split leaves so many holds of a count where they are, and gives another count
 * with the others; NULL where there is no room for that.
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
 * join_alike puts the holds of a count to another count of the same kind.
 */
static void
join_alike(DlockLease *lease, DlockHoldCount *count)
{
	DlockHoldCount *same = &lease->holds;

	while (same != NULL &&
		   !(same != count && same->count > 0 && same->mode == count->mode &&
			 same->session == count->session && same->scope == count->scope &&
			 same->kept == count->kept))
		same = next_of(same);
	if (same == NULL)
		return;
	same->count += count->count;
	same->last_told = Max(same->last_told, count->last_told);
	count->count = 0;
}

/*
 * kept_strong tells how many holds of a count are not to be made weaker: those
 * that are not acknowledged yet, and those that were when more requests had been
 * than that.  There are at most as many of these as requests since.
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
 * dlock_holds_weaken gives a weaker mode to those holds that were acknowledged
 * when so many requests had been; later ones stay as they are: the last request
 * counts.
 */
void
dlock_holds_weaken(DlockLease *lease, DlockMode mode, uint32 told)
{
	bool		join = false;

	for (const DlockHoldCount *i = &lease->holds; i != NULL; i = next_of(i))
		join |= i->count > 0 && i->mode == mode;
	for (DlockHoldCount *i = &lease->holds; i != NULL; i = next_of(i))
	{
		int32		keep = kept_strong(lease, i, told);

		if (dlock_mode_covers(mode, i->mode) || i->count <= keep)
			continue;
		if (keep > 0)
			i = split(i, keep);
		/* they stay stronger than they need to be */
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
 * dlock_holds_expire takes away the holds that were acknowledged: their time is
 * over.  Returns how many there were.
 */
int32
dlock_holds_expire(DlockLease *lease)
{
	int32		n = 0;

	for (DlockHoldCount *i = &lease->holds; i != NULL; i = next_of(i))
		n += take_told(lease, i, PG_INT32_MAX);
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

static DlockMode
stronger(DlockMode a, DlockMode b)
{
	return dlock_mode_covers(a, b) ? a : b;
}

/*
 * strongest gives the mode that upgrades and holds make a lease have; with "row"
 * only those that outlive a crash.
 */
static DlockMode
strongest(const DlockLease *lease, bool row)
{
	DlockMode	mode = lease->upgrades > 0 || lease->upgrading > 0 ?
		(DlockMode) lease->upgrade_mode : DLOCK_WEAKEST_MODE;

	for (const DlockHoldCount *i = &lease->holds; i != NULL; i = next_of(i))
		if (i->count > 0 && !(row && i->scope == DLOCK_SCOPE_TRANSACTION))
			mode = stronger(mode, (DlockMode) i->mode);
	return mode;
}

/*
 * dlock_holds_mode gives the mode that the holds of a lease make it have.
 */
DlockMode
dlock_holds_mode(const DlockLease *lease)
{
	return strongest(lease, false);
}

/*
 * dlock_holds_row_mode is the same for the holds that outlive a crash.
 */
DlockMode
dlock_holds_row_mode(const DlockLease *lease)
{
	return strongest(lease, true);
}

/*
 * dlock_holds_survey counts the holds that a session can give back, by mode: its
 * own and those of scope lease, and those of other sessions.  Gives the mode in
 * which the session has the lease, whatever other sessions hold.
 */
DlockMode
dlock_holds_survey(const DlockLease *lease, uint32 session,
				   int32 own[DLOCK_NMODES], int32 others[DLOCK_NMODES])
{
	DlockMode	mode = lease->upgrades > 0 ?
		(DlockMode) lease->upgrade_mode : DLOCK_WEAKEST_MODE;

	memset(own, 0, DLOCK_NMODES * sizeof(int32));
	memset(others, 0, DLOCK_NMODES * sizeof(int32));
	for (const DlockHoldCount *i = &lease->holds; i != NULL; i = next_of(i))
	{
		int32		told = i->count - (int32) i->untold;
		bool		mine = i->scope == DLOCK_SCOPE_LEASE || i->session == session;

		if (told <= 0)
			continue;
		if (mine)
			mode = stronger(mode, (DlockMode) i->mode);
		if (i->scope != DLOCK_SCOPE_TRANSACTION)
			(mine ? own : others)[i->mode] += told;
	}
	return mode;
}
