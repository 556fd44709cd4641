/*
 * lease.c
 *	  Changes of a single lease, without regard to the queue of its resource.
 *
 * The caller of every function holds the partition lock, exclusively unless
 * the function only reads.  The functions change shared memory and nothing
 * else, and cannot fail.
 *
 * IDENTIFICATION
 *	  src/engine/lease.c
 */
#include "postgres.h"

#include "engine/hold_modes.h"
#include "engine/holds.h"
#include "engine/lease.h"
#include "shared/causes.h"
#include "shared/client.h"
#include "shared/deadline.h"
#include "shared/ends.h"
#include "shared/pending.h"
#include "shared/slots.h"
#include "shared/table.h"

/*
 * mark notes that a lease's row must be written; returns the open batch.
 */
static uint64
mark(uint32 idx, DlockWakeups *wakeups)
{
	wakeups->marked = true;
	return dlock_pending_mark(wakeups->db, idx);
}

/*
 * note_end records that a lease is less than what its row shows: it has ended,
 * needs no row any more, or is weaker.  The next grant of the resource waits
 * until that is durable.  A lease that was never written cannot be loaded
 * again after a crash, so there is nothing to record.
 */
static void
note_end(uint32 idx, DlockWakeups *wakeups)
{
	DlockLease *lease = dlock_table_lease(idx);

	if (lease->written)
		dlock_ends_note(wakeups->db, lease->hash, mark(idx, wakeups));
}

/*
 * dlock_lease_is_live returns whether a slot has a lease that was granted and
 * has not ended.
 */
bool
dlock_lease_is_live(const DlockLease *lease)
{
	return lease->state == DLOCK_LEASE_PENDING ||
		lease->state == DLOCK_LEASE_HELD;
}

/*
 * dlock_lease_of_client returns the lease of a client on a resource, or
 * DLOCK_NONE.
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
 * dlock_lease_conflicts returns whether a mode conflicts with any holder of a
 * resource, except "own" unless that is DLOCK_NONE.  The holders are ordered
 * by mode, and the strongest of the others decides (see dlock_mode_check).
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
 * link_holder puts a lease into the list of holders, behind those of a
 * stronger mode.
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

/*
 * unlink_holder takes a lease out of the list of holders.
 */
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
 * dlock_lease_set_mode gives a holder another mode, and its place in the list.
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
 * dlock_lease_prepare fills a reserved slot with all that a later grant needs,
 * and pins the client.
 */
void
dlock_lease_prepare(uint32 idx, uint32 hash, uint32 client, DlockMode mode,
					int32 priority, const DlockHold *hold)
{
	DlockLease *lease = dlock_table_lease(idx);

	Assert(lease->state == DLOCK_LEASE_RESERVED);
	lease->token = 0;
	lease->told = 0;
	lease->lost_told = 0;
	memset(lease->upgrades, 0, sizeof(lease->upgrades));
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
 * dlock_lease_grant makes a prepared lease a holder of the resource, with the
 * next token.  The caller adds its first hold.
 */
void
dlock_lease_grant(uint32 resource, uint32 idx, DlockWakeups *wakeups)
{
	DlockResource *res = dlock_table_resource(resource);
	DlockLease *lease = dlock_table_lease(idx);

	Assert(lease->state == DLOCK_LEASE_RESERVED);
	Assert(!dlock_lease_conflicts(res, lease->mode, DLOCK_NONE));

	/*
	 * a process that reads the state without our lock and finds the lease
	 * live reads the new hash afterwards (see dlock_lookup_find_slot)
	 */
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
 * dlock_lease_set_duration gives a lease another duration.  The durable row
 * may still have a shorter one: until the open batch is durable, sure_duration
 * is what the row has at least.
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
 * dlock_lease_sure_duration returns a duration that the durable row of a lease
 * has at least.
 */
int64
dlock_lease_sure_duration(const DlockLease *lease)
{
	DlockDatabase *db = dlock_database_at(lease->database);

	return dlock_pending_is_durable(db, lease->duration_batch) ?
		lease->duration : lease->sure_duration;
}

/*
 * dlock_lease_promise has the row of a lease written with the open batch,
 * because an acknowledgement waits for it.
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
 * hold_has_row returns whether a lease's row shows a hold, or a change of the
 * mode.
 */
static bool
hold_has_row(const DlockHold *hold)
{
	return hold->scope != DLOCK_SCOPE_TRANSACTION || !hold->counts;
}

/*
 * is_promise returns whether a hold is not acknowledged before it is durable.
 * A hold of scope transaction has no row.
 */
static bool
is_promise(const DlockLease *lease, const DlockHold *hold)
{
	return hold->durable && lease->durable && hold_has_row(hold);
}

/*
 * begin_anew gives a lease that only fences keep back to its client, with the
 * scope and the duration of the new hold.
 */
static void
begin_anew(uint32 idx, const DlockHold *hold, DlockWakeups *wakeups)
{
	dlock_holds_lost(dlock_table_lease(idx));
	dlock_table_lease(idx)->scope = hold->scope;
	dlock_deadline_clear(idx);
	dlock_lease_set_duration(idx, hold->duration, wakeups);
}

/*
 * dlock_lease_add_hold adds a hold to a lease or, if the hold does not count,
 * an upgrade of its mode.  For spare see dlock_holds_add.
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
		Assert(hold->mode != DLOCK_WEAKEST_MODE);
		DLOCK_LEASE_UPGRADES(lease, hold->mode)->untold++;
	}
	Assert(dlock_mode_covers(lease->mode, dlock_hold_modes_strongest(lease)));
	lease->row_mode = dlock_hold_modes_row(lease);
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
 * dlock_lease_hold_batch returns the batch that must be durable before a hold
 * that was just added may be acknowledged; 0 if it may be at once.  That is
 *
 * - the open batch, which shows the hold, if the hold must be durable;
 * - the open batch if the token is above the durable limit, since after a
 *   crash the token would be given out again;
 * - else the batch with which all earlier ends of leases on the resource are
 *   durable.
 *
 * The last one applies to every hold.  If the client has held the lease
 * before, that does not mean that those ends are durable: another session of
 * the client may still be waiting for that batch.
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
 * dlock_lease_restart_clock lets a HELD lease run for its duration from now,
 * or until its present deadline if that is later.  Does nothing while holds
 * stop the clock.
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
 * scope_left returns the scope of a lease after holds were removed.  It stays
 * as it was as long as there is a hold of that scope.
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
 * that the caller is about to add.
 */
void
dlock_lease_strengthen(uint32 idx, DlockMode mode)
{
	Assert(dlock_mode_covers(mode, dlock_table_lease(idx)->mode));
	dlock_lease_set_mode(idx, mode);
}

/*
 * dlock_lease_settle_row adapts the scope after holds were removed.  If "row"
 * is set, the row shows these holds and is written again.
 */
void
dlock_lease_settle_row(uint32 idx, bool row, DlockWakeups *wakeups)
{
	DlockLease *lease = dlock_table_lease(idx);

	lease->scope = scope_left(lease);
	if (lease->durable && row)
	{
		(void) mark(idx, wakeups);
		/* the holds that are left need no row */
		if (lease->hold_count == lease->transaction_holds)
		{
			lease->durable = false;
			lease->promised = false;
			note_end(idx, wakeups);
		}
	}
}

/*
 * dlock_lease_settle_row_mode has the row written if it shows another mode
 * than it should.
 */
void
dlock_lease_settle_row_mode(uint32 idx, DlockWakeups *wakeups)
{
	DlockLease *lease = dlock_table_lease(idx);
	DlockMode	mode = dlock_hold_modes_row(lease);
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
 * dlock_lease_tell counts the acknowledgement of a request.  From now on the
 * hold can be given back, and the upgrade can be undone by a downgrade.
 */
void
dlock_lease_tell(uint32 idx, const DlockHold *hold)
{
	DlockLease *lease = dlock_table_lease(idx);
	DlockUpgrades *upgrades;

	/*
	 * a downgrade requested before this has no effect
	 * (dlock_holding_downgrade)
	 */
	if (lease->told == PG_UINT32_MAX)
		dlock_holds_tell_anew(lease);
	lease->told++;
	if (hold->counts)
	{
		dlock_holds_tell(lease, hold);
		return;
	}
	upgrades = DLOCK_LEASE_UPGRADES(lease, hold->mode);
	upgrades->untold--;
	if (upgrades->told < DLOCK_UPGRADES_MAX)
		upgrades->told++;
	upgrades->last_told = lease->told;
}

/*
 * dlock_lease_downgrade undoes the upgrades to modes beyond the given one, if
 * all to the same mode were acknowledged when so many requests had been.
 */
void
dlock_lease_downgrade(uint32 idx, DlockMode mode, uint32 told)
{
	DlockLease *lease = dlock_table_lease(idx);

	for (int i = DLOCK_WEAKEST_MODE + 1; i < DLOCK_NMODES; i++)
	{
		DlockUpgrades *upgrades = DLOCK_LEASE_UPGRADES(lease, i);

		if (dlock_mode_covers(mode, (DlockMode) i) || upgrades->last_told > told)
			continue;
		upgrades->told = 0;
		upgrades->downgrades++;
	}
}

/*
 * note_cause remembers how a lease has ended, if it was ever acknowledged.
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
 * dlock_lease_remove takes a lease off its resource and frees its slot.  Only
 * for dlock_transition_end, which then serves the queue.
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
