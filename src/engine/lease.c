/*
 * lease.c
 *	  The steps of one lease, whoever waits for its resource.
 *
 * Every function here runs under the exclusive lock of the partition, changes
 * shared memory and nothing else, and cannot fail.
 *
 * IDENTIFICATION
 *	  src/engine/lease.c
 */
#include "postgres.h"

#include "engine/holds.h"
#include "engine/lease.h"
#include "shared/causes.h"
#include "shared/client.h"
#include "shared/deadline.h"
#include "shared/ends.h"
#include "shared/pending.h"
#include "shared/slots.h"
#include "shared/table.h"

static uint64
mark(uint32 idx, DlockWakeups *wakeups)
{
	wakeups->marked = true;
	return dlock_pending_mark(wakeups->db, idx);
}

/*
 * note_end says that a lease is not any more what its row shows: it has ended,
 * needs no row, or is weaker.  What was never written cannot come back.
 */
static void
note_end(uint32 idx, DlockWakeups *wakeups)
{
	DlockLease *lease = dlock_table_lease(idx);

	if (lease->written)
		dlock_ends_note(wakeups->db, lease->hash, mark(idx, wakeups));
}

/*
 * dlock_lease_is_live tells whether somebody holds it.
 */
bool
dlock_lease_is_live(const DlockLease *lease)
{
	return lease->state == DLOCK_LEASE_PENDING ||
		lease->state == DLOCK_LEASE_HELD;
}

/*
 * dlock_lease_of_client gives the lease of a client on a resource.
 */
uint32
dlock_lease_of_client(const DlockResource *res, uint32 client)
{
	uint32		idx = res->holders;

	while (idx != DLOCK_NONE && dlock_table_lease(idx)->client != client)
		idx = dlock_table_lease(idx)->next;
	return idx;
}

/*
 * dlock_lease_conflicts tells whether a mode does not fit the holders of a
 * resource, one of them left out unless that is DLOCK_NONE.  The strongest of
 * the others decides (see dlock_mode_check).
 */
bool
dlock_lease_conflicts(const DlockResource *res, DlockMode mode, uint32 own)
{
	uint32		strongest = res->holders;

	if (strongest != DLOCK_NONE && strongest == own)
		strongest = dlock_table_lease(strongest)->next;
	return strongest != DLOCK_NONE &&
		dlock_mode_conflicts(dlock_table_lease(strongest)->mode, mode);
}

/*
 * link_holder puts a lease into the list of holders, behind the stronger ones.
 */
static void
link_holder(DlockResource *res, uint32 idx)
{
	DlockLease *lease = dlock_table_lease(idx);
	uint32		prev = DLOCK_NONE;
	uint32		next = res->holders;

	while (next != DLOCK_NONE &&
		   !dlock_mode_covers(lease->mode, dlock_table_lease(next)->mode))
	{
		prev = next;
		next = dlock_table_lease(next)->next;
	}
	lease->prev = prev;
	lease->next = next;
	if (prev == DLOCK_NONE)
		res->holders = idx;
	else
		dlock_table_lease(prev)->next = idx;
	if (next != DLOCK_NONE)
		dlock_table_lease(next)->prev = idx;
}

static void
unlink_holder(DlockResource *res, uint32 idx)
{
	const DlockLease *lease = dlock_table_lease(idx);

	if (lease->prev == DLOCK_NONE)
		res->holders = lease->next;
	else
		dlock_table_lease(lease->prev)->next = lease->next;
	if (lease->next != DLOCK_NONE)
		dlock_table_lease(lease->next)->prev = lease->prev;
}

/*
 * dlock_lease_set_mode gives a holder another mode, and its place by that.
 */
void
dlock_lease_set_mode(uint32 idx, DlockMode mode)
{
	DlockLease *lease = dlock_table_lease(idx);
	DlockResource *res = dlock_table_resource(lease->resource);

	lease->mode = mode;
	if (res->nholders == 1)
		return;
	unlink_holder(res, idx);
	link_holder(res, idx);
}

/*
 * dlock_lease_prepare fills a reserved slot with what is asked for, so that
 * whoever grants it needs to know no more.
 */
void
dlock_lease_prepare(uint32 idx, uint32 hash, uint32 client, DlockMode mode,
					int32 priority, const DlockHold *hold)
{
	DlockLease *lease = dlock_table_lease(idx);

	Assert(lease->state == DLOCK_LEASE_RESERVED);
	lease->token = 0;
	lease->told = 0;
	lease->upgrade_told = 0;
	lease->upgrading = 0;
	lease->upgrades = 0;
	lease->upgrade_mode = DLOCK_WEAKEST_MODE;
	lease->downgrades = 0;
	lease->duration = hold->duration;
	lease->sure_duration = hold->duration;
	lease->duration_batch = 0;
	lease->deadline = DLOCK_NEVER;
	lease->hash = hash;
	lease->client = client;
	dlock_holds_init(lease);
	lease->fences = 0;
	lease->priority = priority;
	lease->mode = mode;
	lease->row_mode = DLOCK_WEAKEST_MODE;
	lease->scope = hold->scope;
	lease->durable = false;
	lease->promised = false;
	lease->written = false;
	dlock_client_pin(client);
}

/*
 * dlock_lease_grant makes a prepared lease a holder, with the next token.  Its
 * first hold is still to be added.
 */
void
dlock_lease_grant(uint32 resource, uint32 idx, DlockWakeups *wakeups)
{
	DlockResource *res = dlock_table_resource(resource);
	DlockLease *lease = dlock_table_lease(idx);

	Assert(lease->state == DLOCK_LEASE_RESERVED);
	Assert(!dlock_lease_conflicts(res, lease->mode, DLOCK_NONE));
	/* who looks without the lock finds the right hash once it is live */
	pg_write_barrier();
	lease->state = DLOCK_LEASE_PENDING;
	lease->token = (int64) pg_atomic_add_fetch_u64(&wakeups->db->next_token, 1);
	lease->acquired_at = dlock_clock_wall();
	lease->resource = resource;
	link_holder(res, idx);
	res->nholders++;
	dlock_table_set_lease_client(idx, lease->client);
	dlock_client_add_lease(lease->client, lease->token);
}

/*
 * dlock_lease_set_duration gives a lease another duration.  Where the row may promise
 * less than that, this ends with the open batch.
 */
void
dlock_lease_set_duration(uint32 idx, int64 duration, DlockWakeups *wakeups)
{
	DlockLease *lease = dlock_table_lease(idx);

	if (duration > lease->duration ||
		!dlock_pending_is_durable(wakeups->db, lease->duration_batch))
	{
		lease->sure_duration = Min(dlock_lease_sure_duration(lease), duration);
		if (lease->durable)
			lease->duration_batch = pg_atomic_read_u64(&wakeups->db->open_batch);
	}
	lease->duration = duration;
	if (lease->durable)
		(void) mark(idx, wakeups);
}

/*
 * dlock_lease_sure_duration gives a duration that the durable row of a lease does not
 * fall short of.
 */
int64
dlock_lease_sure_duration(const DlockLease *lease)
{
	DlockDatabase *db = dlock_database_at(lease->database);

	return dlock_pending_is_durable(db, lease->duration_batch) ?
		lease->duration : lease->sure_duration;
}

/*
 * dlock_lease_promise has the row of a lease written with the open batch, for
 * somebody who is told only then.
 */
void
dlock_lease_promise(uint32 idx, DlockWakeups *wakeups)
{
	DlockLease *lease = dlock_table_lease(idx);

	Assert(lease->durable);
	lease->promised = true;
	lease->duration_batch = mark(idx, wakeups);
}

/*
 * hold_has_row tells whether a hold, or a change of the mode, is for the row to tell.
 */
static bool
hold_has_row(const DlockHold *hold)
{
	return hold->scope != DLOCK_SCOPE_TRANSACTION || !hold->counts;
}

/*
 * is_promise tells whether a hold is not acknowledged before it is durable.
 * One of scope transaction has no row.
 */
static bool
is_promise(const DlockLease *lease, const DlockHold *hold)
{
	return hold->durable && lease->durable && hold_has_row(hold);
}

/*
 * begin_anew makes a lease its client's again that was there for the commits
 * under way alone.
 */
static void
begin_anew(uint32 idx, const DlockHold *hold, DlockWakeups *wakeups)
{
	dlock_table_lease(idx)->scope = hold->scope;
	dlock_deadline_clear(idx);
	dlock_lease_set_duration(idx, hold->duration, wakeups);
}

/*
 * dlock_lease_add_hold counts one more hold, or notes that the mode is being changed;
 * for spare see dlock_holds_add.
 */
void
dlock_lease_add_hold(uint32 idx, const DlockHold *hold, uint32 *spare,
					 DlockWakeups *wakeups)
{
	DlockLease *lease = dlock_table_lease(idx);
	bool		first = !lease->durable;

	Assert(dlock_lease_is_live(lease));
	if (hold->counts && lease->hold_count == 0 && lease->fences > 0)
		begin_anew(idx, hold, wakeups);
	if (hold->duration_given && hold->duration > lease->duration)
		dlock_lease_set_duration(idx, hold->duration, wakeups);
	if (hold->counts)
	{
		dlock_holds_add(lease, hold, spare);
		if (lease->kept > 0)
			dlock_deadline_clear(idx);
		if (hold_has_row(hold))
			lease->durable = true;
	}
	else
	{
		if (lease->upgrades == 0 && lease->upgrading == 0)
			lease->upgrade_mode = hold->mode;
		lease->upgrade_mode = Max(lease->upgrade_mode, hold->mode);
		lease->upgrading++;
	}
	Assert(dlock_mode_covers(lease->mode, dlock_holds_mode(lease)));
	lease->row_mode = dlock_holds_row_mode(lease);
	if (!lease->durable || !hold_has_row(hold))
		return;
	if (first)
		lease->duration_batch = pg_atomic_read_u64(&wakeups->db->open_batch);
	if (is_promise(lease, hold) && !lease->promised)
	{
		dlock_lease_promise(idx, wakeups);
		return;
	}
	if (first)
		lease->row_since = dlock_clock_now();
	(void) mark(idx, wakeups);
}

/*
 * dlock_lease_hold_batch gives the batch that has to be durable before a hold that
 * was just added may be acknowledged; 0 where that may be at once.  It is
 *
 *	  the open one, which shows the hold, if that was promised to be durable;
 *	  the open one if the token is beyond the durable bound, since after a crash
 *	  it would be given out again;
 *	  the one that shows the end of whoever had the resource before.
 *
 * The last goes for every hold.  That the lease is held already proves nothing:
 * another session of the client may be waiting for that very batch.
 */
uint64
dlock_lease_hold_batch(DlockDatabase *db, uint32 idx, const DlockHold *hold)
{
	const DlockLease *lease = dlock_table_lease(idx);
	uint64		ended = dlock_ends_batch(db, lease->hash);

	if (is_promise(lease, hold) ||
		lease->token > (int64) pg_atomic_read_u64(&db->token_limit))
		return pg_atomic_read_u64(&db->open_batch);
	return dlock_pending_is_durable(db, ended) ? 0 : ended;
}

/*
 * dlock_lease_restart_clock lets an acknowledged lease run for its duration from
 * now, or for what it has left if that is more.
 */
void
dlock_lease_restart_clock(uint32 idx, DlockTime now)
{
	DlockLease *lease = dlock_table_lease(idx);
	DlockTime	deadline = dlock_clock_after(now, lease->duration);

	if (lease->state != DLOCK_LEASE_HELD || lease->kept > 0)
		return;
	if (lease->deadline == DLOCK_NEVER || deadline > lease->deadline)
		dlock_deadline_set(idx, deadline);
}

/*
 * scope_left gives the scope of a lease after holds have gone: what it was as
 * long as there is such a hold.
 */
static DlockScope
scope_left(const DlockLease *lease)
{
	int32		left[DLOCK_NSCOPES];

	left[DLOCK_SCOPE_SESSION] = lease->session_holds;
	left[DLOCK_SCOPE_TRANSACTION] = lease->transaction_holds;
	left[DLOCK_SCOPE_LEASE] = lease->hold_count - lease->session_holds -
		lease->transaction_holds;
	if (left[lease->scope] > 0)
		return lease->scope;
	if (left[DLOCK_SCOPE_SESSION] > 0)
		return DLOCK_SCOPE_SESSION;
	return left[DLOCK_SCOPE_LEASE] > 0 ? DLOCK_SCOPE_LEASE : DLOCK_SCOPE_TRANSACTION;
}

/*
 * dlock_lease_strengthen gives a lease a mode that covers its own, for a hold
 * that is about to be added.
 */
void
dlock_lease_strengthen(uint32 idx, DlockMode mode)
{
	Assert(dlock_mode_covers(mode, dlock_table_lease(idx)->mode));
	dlock_lease_set_mode(idx, mode);
}

/*
 * dlock_lease_settle_row has the row written after holds were taken away of
 * which it tells, if "row" is set.
 */
void
dlock_lease_settle_row(uint32 idx, bool row, DlockWakeups *wakeups)
{
	DlockLease *lease = dlock_table_lease(idx);

	lease->scope = scope_left(lease);
	if (lease->durable && row)
	{
		(void) mark(idx, wakeups);
		/* what is left needs no row */
		if (lease->hold_count == lease->transaction_holds)
		{
			lease->durable = false;
			lease->promised = false;
			note_end(idx, wakeups);
		}
	}
}

/*
 * dlock_lease_settle_row_mode sees to it that the row shows the mode that it should.
 */
void
dlock_lease_settle_row_mode(uint32 idx, DlockWakeups *wakeups)
{
	DlockLease *lease = dlock_table_lease(idx);
	DlockMode	mode = dlock_holds_row_mode(lease);
	bool		weaker = !dlock_mode_covers(mode, lease->row_mode);

	if (mode == lease->row_mode)
		return;
	lease->row_mode = mode;
	if (lease->durable)
		(void) mark(idx, wakeups);
	if (weaker)
		note_end(idx, wakeups);
}

/*
 * dlock_lease_tell notes that a request that was granted is being acknowledged:
 * the hold is its client's, or the mode is what the lease has from now on.
 */
void
dlock_lease_tell(uint32 idx, const DlockHold *hold)
{
	DlockLease *lease = dlock_table_lease(idx);

	/* a downgrade that was asked for before is not heard then, see downgrade */
	if (lease->told == PG_UINT32_MAX)
		dlock_holds_tell_anew(lease);
	lease->told++;
	if (hold->counts)
	{
		dlock_holds_tell(lease, hold);
		return;
	}
	lease->upgrading--;
	if (lease->upgrades < DLOCK_UPGRADES_MAX)
		lease->upgrades++;
	lease->upgrade_told = lease->told;
}

/*
 * dlock_lease_downgrade undoes the upgrades that were acknowledged, as far as
 * they went beyond a mode.
 */
void
dlock_lease_downgrade(uint32 idx, DlockMode mode)
{
	DlockLease *lease = dlock_table_lease(idx);

	if (mode == DLOCK_WEAKEST_MODE)
		lease->upgrades = 0;
	else if (lease->upgrading == 0)
		lease->upgrade_mode = Min(lease->upgrade_mode, mode);
	lease->downgrades++;
}

/*
 * note_cause remembers how a lease ended that somebody was told of.
 */
static void
note_cause(const DlockLease *lease, DlockEndCause cause, DlockDatabase *db,
		   DlockTime now)
{
	DlockCause	end;

	if (cause == DLOCK_END_UNTOLD)
		return;
	end.when = now;
	end.token = lease->token;
	end.dboid = db->dboid;
	end.resource = lease->hash;
	end.client = dlock_client_at(lease->client)->hash;
	end.cause = (uint8) cause;
	dlock_causes_note(&end);
}

/*
 * dlock_lease_remove takes a lease off its resource and frees its slot; for
 * dlock_transition_end alone, which sees to whoever it kept waiting.
 */
void
dlock_lease_remove(uint32 idx, DlockEndCause cause, DlockWakeups *wakeups)
{
	DlockLease *lease = dlock_table_lease(idx);
	DlockResource *res = dlock_table_resource(lease->resource);
	DlockTime	now = dlock_clock_now();

	unlink_holder(res, idx);
	res->nholders--;
	note_cause(lease, cause, wakeups->db, now);
	dlock_deadline_clear(idx);
	dlock_table_set_lease_client(idx, DLOCK_NONE);
	dlock_client_drop_lease(lease->client);
	dlock_client_unpin(lease->client);
	dlock_holds_clear(lease);
	if (lease->durable)
		(void) mark(idx, wakeups);
	note_end(idx, wakeups);
	dlock_slots_put_lease(wakeups->db, idx, now);
}
