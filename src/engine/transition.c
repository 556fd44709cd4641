/*
 * transition.c
 *	  The single steps by which who holds what changes.
 *
 *	  lease:	FREE -> RESERVED -> PENDING -> HELD -> FREE
 *				PENDING -> FREE (taken back), RESERVED -> FREE (left the queue)
 *				FREE -> TRIMMED -> FREE (the writer deletes its row)
 *	  waiter:	QUEUED -> GRANTED | LOST | DEADLOCK | CLOSED, or it leaves
 *
 * Every function here runs under the exclusive lock of the partition, changes
 * shared memory and nothing else, and cannot fail.  Latches are set by
 * dlock_aftermath_run once the lock is released.
 *
 * IDENTIFICATION
 *	  src/engine/transition.c
 */
#include "postgres.h"

#include "engine/holds.h"
#include "engine/transition.h"
#include "shared/client.h"
#include "shared/deadline.h"
#include "shared/ends.h"
#include "shared/pending.h"
#include "shared/queue.h"

void
dlock_aftermath_init(DlockAftermath *after, DlockDatabase *db)
{
	after->db = db;
	after->marked = false;
	after->urgent = false;
	after->nprocs = 0;
}

/*
 * dlock_aftermath_run wakes whom the change concerns.
 */
void
dlock_aftermath_run(DlockAftermath *after)
{
	if (after->marked || after->urgent)
		dlock_pending_wake_writer(after->db, after->urgent);
	for (int i = 0; i < after->nprocs; i++)
		dlock_wake_proc(after->procs[i]);
}

/*
 * wake_later notes a process to wake; a large group is woken under the lock.
 */
static void
wake_later(DlockAftermath *after, uint32 procno)
{
	if (after->nprocs == DLOCK_WAKE_ROOM)
		dlock_wake_proc(procno);
	else
		after->procs[after->nprocs++] = procno;
}

static uint64
mark(uint32 idx, DlockAftermath *after)
{
	after->marked = true;
	return dlock_pending_mark(after->db, idx);
}

/*
 * note_end says that a lease is not any more what its row shows: it has ended,
 * needs no row, or is weaker.  What was never written cannot come back.
 */
static void
note_end(uint32 idx, DlockAftermath *after)
{
	DlockLease *lease = dlock_lease_at(idx);

	if (lease->written)
		dlock_ends_note(after->db, lease->hash, mark(idx, after));
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
 * dlock_holder_find gives the lease of a client on a resource.
 */
uint32
dlock_holder_find(const DlockResource *res, uint32 client)
{
	uint32		idx = res->holders;

	while (idx != DLOCK_NONE && dlock_lease_at(idx)->client != client)
		idx = dlock_lease_at(idx)->next;
	return idx;
}

/*
 * dlock_holders_conflict tells whether a mode does not fit the holders.  They
 * fit one another, so all of them have the mode of the first.
 */
bool
dlock_holders_conflict(const DlockResource *res, DlockMode mode)
{
	return res->holders != DLOCK_NONE &&
		dlock_mode_conflicts(dlock_lease_at(res->holders)->mode, mode);
}

/*
 * dlock_lease_prepare fills a reserved slot with what is asked for, so that
 * whoever grants it needs to know no more.
 */
void
dlock_lease_prepare(uint32 idx, uint32 hash, uint32 client, DlockMode mode,
					int32 priority, const DlockHold *hold)
{
	DlockLease *lease = dlock_lease_at(idx);

	Assert(lease->state == DLOCK_LEASE_RESERVED);
	lease->token = 0;
	lease->told = 0;
	lease->upgrade_told = 0;
	lease->upgrading = 0;
	lease->upgrades = 0;
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
	lease->row_mode = DLOCK_SHARED;
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
dlock_lease_grant(uint32 resource, uint32 idx, DlockAftermath *after)
{
	DlockResource *res = dlock_resource_at(resource);
	DlockLease *lease = dlock_lease_at(idx);

	Assert(lease->state == DLOCK_LEASE_RESERVED);
	Assert(!dlock_holders_conflict(res, lease->mode));
	/* who looks without the lock finds the right hash once it is live */
	pg_write_barrier();
	lease->state = DLOCK_LEASE_PENDING;
	lease->token = (int64) pg_atomic_add_fetch_u64(&after->db->next_token, 1);
	lease->acquired_at = dlock_clock_wall();
	lease->resource = resource;
	lease->prev = DLOCK_NONE;
	lease->next = res->holders;
	if (res->holders != DLOCK_NONE)
		dlock_lease_at(res->holders)->prev = idx;
	res->holders = idx;
	res->nholders++;
	dlock_lease_set_client(idx, lease->client);
	dlock_client_add_lease(lease->client, lease->token);
}

/*
 * dlock_duration_set gives a lease another duration.  Where the row may promise
 * less than that, this ends with the open batch.
 */
void
dlock_duration_set(uint32 idx, int64 duration, DlockAftermath *after)
{
	DlockLease *lease = dlock_lease_at(idx);

	if (duration > lease->duration ||
		!dlock_pending_is_durable(after->db, lease->duration_batch))
	{
		lease->sure_duration = Min(dlock_duration_sure(lease), duration);
		if (lease->durable)
			lease->duration_batch = pg_atomic_read_u64(&after->db->open_batch);
	}
	lease->duration = duration;
	if (lease->durable)
		(void) mark(idx, after);
}

/*
 * dlock_duration_sure gives a duration that the durable row of a lease does not
 * fall short of.
 */
int64
dlock_duration_sure(const DlockLease *lease)
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
dlock_lease_promise(uint32 idx, DlockAftermath *after)
{
	DlockLease *lease = dlock_lease_at(idx);

	Assert(lease->durable);
	lease->promised = true;
	lease->duration_batch = mark(idx, after);
}

/*
 * has_row tells whether a hold, or a change of the mode, is for the row to tell.
 */
static bool
has_row(const DlockHold *hold)
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
	return hold->durable && lease->durable && has_row(hold);
}

/*
 * begin_anew makes a lease its client's again that was there for the commits
 * under way alone.
 */
static void
begin_anew(uint32 idx, const DlockHold *hold, DlockAftermath *after)
{
	dlock_lease_at(idx)->scope = hold->scope;
	dlock_deadline_clear(idx);
	dlock_duration_set(idx, hold->duration, after);
}

/*
 * dlock_hold_add counts one more hold, or notes that the mode is being changed;
 * for spare see dlock_holds_add.
 */
void
dlock_hold_add(uint32 idx, const DlockHold *hold, uint32 *spare,
			   DlockAftermath *after)
{
	DlockLease *lease = dlock_lease_at(idx);
	bool		first = !lease->durable;

	Assert(dlock_lease_is_live(lease));
	if (hold->counts && lease->hold_count == 0 && lease->fences > 0)
		begin_anew(idx, hold, after);
	if (hold->duration_given && hold->duration > lease->duration)
		dlock_duration_set(idx, hold->duration, after);
	if (hold->counts)
	{
		dlock_holds_add(lease, hold, spare);
		if (lease->kept > 0)
			dlock_deadline_clear(idx);
		if (has_row(hold))
			lease->durable = true;
	}
	else
		lease->upgrading++;
	Assert(dlock_mode_covers(lease->mode, dlock_holds_mode(lease)));
	lease->row_mode = dlock_holds_row_mode(lease);
	if (!lease->durable || !has_row(hold))
		return;
	if (first)
		lease->duration_batch = pg_atomic_read_u64(&after->db->open_batch);
	if (is_promise(lease, hold) && !lease->promised)
	{
		dlock_lease_promise(idx, after);
		return;
	}
	if (first)
		lease->row_since = dlock_clock_now();
	(void) mark(idx, after);
}

/*
 * dlock_hold_batch gives the batch that has to be durable before a hold that
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
dlock_hold_batch(DlockDatabase *db, uint32 idx, const DlockHold *hold)
{
	const DlockLease *lease = dlock_lease_at(idx);
	uint64		ended = dlock_ends_batch(db, lease->hash);

	if (is_promise(lease, hold) ||
		lease->token > (int64) pg_atomic_read_u64(&db->token_limit))
		return pg_atomic_read_u64(&db->open_batch);
	return dlock_pending_is_durable(db, ended) ? 0 : ended;
}

/*
 * dlock_clock_restart lets an acknowledged lease run for its duration from
 * now, or for what it has left if that is more.
 */
void
dlock_clock_restart(uint32 idx, DlockTime now)
{
	DlockLease *lease = dlock_lease_at(idx);
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
 * dismiss_changers sends away the waiters that mean to change the lease of a
 * client, which is not its client's any more.
 */
static void
dismiss_changers(DlockResource *res, uint32 client, DlockAftermath *after)
{
	uint32		idx = res->queue_head;

	if (res->upgrader != DLOCK_NONE &&
		dlock_waiter_at(res->upgrader)->client == client &&
		!dlock_waiter_at(res->upgrader)->hold.counts)
		dlock_waiter_dismiss(res->upgrader, DLOCK_WAIT_LOST, after);
	while (idx != DLOCK_NONE &&
		   pg_atomic_read_u32(&dlock_client_at(client)->waiting) > 0)
	{
		DlockWaiter *waiter = dlock_waiter_at(idx);
		uint32		next = waiter->next;

		if (waiter->client == client && !waiter->hold.counts)
		{
			dlock_client_unpin(client);
			dlock_lease_free(after->db, waiter->lease, dlock_clock_now());
			dlock_waiter_dismiss(idx, DLOCK_WAIT_LOST, after);
		}
		idx = next;
	}
}

/*
 * dlock_lease_settle does what follows when holds were taken away, of which the
 * row tells if "row" is set.  The lease ends with the last one, for that cause,
 * or with its last fence if that is later.
 */
void
dlock_lease_settle(uint32 idx, DlockEndCause cause, bool row,
				   DlockAftermath *after)
{
	DlockLease *lease = dlock_lease_at(idx);

	Assert(dlock_lease_is_live(lease));
	if (lease->hold_count <= 0 && lease->fences == 0)
	{
		dlock_lease_end(idx, cause, after);
		return;
	}
	if (lease->hold_count <= 0)
	{
		lease->end_cause = (uint8) cause;
		dlock_lease_downgrade(idx);
		dismiss_changers(dlock_resource_at(lease->resource), lease->client,
						 after);
	}
	lease->scope = scope_left(lease);
	if (lease->durable && row)
	{
		(void) mark(idx, after);
		/* what is left needs no row */
		if (lease->hold_count == lease->transaction_holds)
		{
			lease->durable = false;
			lease->promised = false;
			note_end(idx, after);
		}
	}
	if (lease->deadline == DLOCK_NEVER)
		dlock_clock_restart(idx, dlock_clock_now());
	dlock_lease_settle_mode(idx, after);
}

/*
 * dlock_lease_strengthen gives a lease a mode that covers its own, for a hold
 * that is about to be added.
 */
void
dlock_lease_strengthen(uint32 idx, DlockMode mode)
{
	Assert(dlock_mode_covers(mode, dlock_lease_at(idx)->mode));
	dlock_lease_at(idx)->mode = mode;
}

/*
 * settle_row_mode sees to it that the row shows the mode that it should.
 */
static void
settle_row_mode(uint32 idx, DlockAftermath *after)
{
	DlockLease *lease = dlock_lease_at(idx);
	DlockMode	mode = dlock_holds_row_mode(lease);
	bool		weaker = !dlock_mode_covers(mode, lease->row_mode);

	if (mode == lease->row_mode)
		return;
	lease->row_mode = mode;
	if (lease->durable)
		(void) mark(idx, after);
	if (weaker)
		note_end(idx, after);
}

/*
 * dlock_lease_settle_mode makes a lease as weak as its holds allow, and lets in
 * whom it kept out.  Where commits depend on it, that waits for the last of
 * them; what the row says does not.
 */
void
dlock_lease_settle_mode(uint32 idx, DlockAftermath *after)
{
	DlockLease *lease = dlock_lease_at(idx);
	DlockMode	mode = dlock_holds_mode(lease);

	settle_row_mode(idx, after);
	if (lease->fences > 0 || mode == lease->mode)
		return;
	Assert(dlock_mode_covers(lease->mode, mode));
	lease->mode = mode;
	dlock_queue_serve(lease->resource, after);
}

/*
 * dlock_lease_tell notes that a request that was granted is being acknowledged:
 * the hold is its client's, or the mode is what the lease has from now on.
 */
void
dlock_lease_tell(uint32 idx, const DlockHold *hold)
{
	DlockLease *lease = dlock_lease_at(idx);

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
 * dlock_lease_downgrade undoes the upgrades that were acknowledged.
 */
void
dlock_lease_downgrade(uint32 idx)
{
	dlock_lease_at(idx)->upgrades = 0;
	dlock_lease_at(idx)->downgrades++;
}

/*
 * resource_tidy forgets a resource that nobody uses.
 */
static void
resource_tidy(uint32 resource)
{
	DlockResource *res = dlock_resource_at(resource);

	if (res->nholders == 0 && res->nwaiters == 0)
		dlock_resource_remove(resource);
}

/*
 * demote makes an ordinary waiter of an upgrader whose lease has just ended,
 * if it asked for a lease; the slot that has become free is kept for it.  One
 * that meant to change its lease has none to change.
 */
static void
demote(uint32 idx, DlockAftermath *after)
{
	DlockWaiter *waiter = dlock_waiter_at(idx);
	DlockResource *res = dlock_resource_at(waiter->resource);
	uint32		slot = DLOCK_NONE;

	if (waiter->hold.counts)
		slot = dlock_lease_alloc(after->db);
	if (slot == DLOCK_NONE)
	{
		dlock_waiter_dismiss(idx, DLOCK_WAIT_LOST, after);
		return;
	}
	dlock_queue_remove(res, idx);
	dlock_lease_prepare(slot, res->hash, waiter->client, waiter->mode,
						waiter->priority, &waiter->hold);
	waiter->upgrade = false;
	waiter->lease = slot;
	waiter->token = 0;
	dlock_queue_insert(res, idx);
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
 * dlock_lease_end frees a lease and serves whom it kept waiting.  The resource
 * may be gone afterwards.
 */
void
dlock_lease_end(uint32 idx, DlockEndCause cause, DlockAftermath *after)
{
	DlockLease *lease = dlock_lease_at(idx);
	uint32		resource = lease->resource;
	DlockResource *res = dlock_resource_at(resource);
	uint32		client = lease->client;
	uint32		upgrader = DLOCK_NONE;
	DlockTime	now = dlock_clock_now();

	Assert(dlock_lease_is_live(lease));
	Assert(lease->fences == 0);
	if (res->upgrader != DLOCK_NONE &&
		dlock_waiter_at(res->upgrader)->lease == idx)
		upgrader = res->upgrader;

	if (lease->prev == DLOCK_NONE)
		res->holders = lease->next;
	else
		dlock_lease_at(lease->prev)->next = lease->next;
	if (lease->next != DLOCK_NONE)
		dlock_lease_at(lease->next)->prev = lease->prev;
	res->nholders--;
	note_cause(lease, cause, after->db, now);
	dlock_deadline_clear(idx);
	dlock_lease_set_client(idx, DLOCK_NONE);
	dlock_client_drop_lease(lease->client);
	dlock_client_unpin(lease->client);
	dlock_holds_clear(lease);
	if (lease->durable)
		(void) mark(idx, after);
	note_end(idx, after);
	dlock_lease_free(after->db, idx, now);

	if (upgrader != DLOCK_NONE)
		demote(upgrader, after);
	dismiss_changers(res, client, after);
	dlock_queue_serve(resource, after);
}

/*
 * dlock_waiter_dismiss takes a waiter out of the queue and tells it why.
 */
void
dlock_waiter_dismiss(uint32 idx, DlockWaitState why, DlockAftermath *after)
{
	DlockWaiter *waiter = dlock_waiter_at(idx);
	DlockResource *res = dlock_resource_at(waiter->resource);
	bool		wake = true;

	Assert(pg_atomic_read_u32(&waiter->state) == DLOCK_WAIT_QUEUED);
	dlock_queue_remove(res, idx);
	pg_atomic_fetch_sub_u32(&dlock_client_at(waiter->client)->waiting, 1);
	if (why == DLOCK_WAIT_GRANTED && waiter->must_flush)
	{
		after->urgent = true;
		/* it need not know before it may say so, unless it has more to do */
		wake = waiter->eager;
		if (!wake)
		{
			dlock_pending_notify(after->db, waiter->procno, waiter->batch);
			/* the end of the lease before may be in a batch under way */
			wake = dlock_pending_is_durable(after->db, waiter->batch);
		}
	}
	/* from here on the waiter may look, once it has the partition lock */
	pg_atomic_write_u32(&waiter->state, why);
	if (wake)
		wake_later(after, waiter->procno);
}

/*
 * give tells a waiter that it has the lease, and counts its hold.
 */
static void
give(uint32 idx, uint32 lease_idx, DlockAftermath *after)
{
	DlockWaiter *waiter = dlock_waiter_at(idx);

	waiter->lease = lease_idx;
	waiter->token = dlock_lease_at(lease_idx)->token;
	waiter->joined = dlock_lease_at(lease_idx)->hold_count > 0;
	dlock_hold_add(lease_idx, &waiter->hold, &waiter->spare, after);
	waiter->batch = dlock_hold_batch(after->db, lease_idx, &waiter->hold);
	waiter->must_flush = waiter->batch != 0;
	dlock_waiter_dismiss(idx, DLOCK_WAIT_GRANTED, after);
}

/*
 * share gives a waiter the lease that its client holds already, in place of
 * the one that was kept ready for it.
 */
static void
share(uint32 idx, uint32 lease_idx, DlockAftermath *after)
{
	DlockWaiter *waiter = dlock_waiter_at(idx);

	dlock_client_unpin(waiter->client);
	dlock_lease_free(after->db, waiter->lease, dlock_clock_now());
	give(idx, lease_idx, after);
}

/*
 * promote turns a waiter into an upgrader: its client has got a lease, but in
 * a weaker mode.
 */
static void
promote(uint32 idx, uint32 lease_idx, DlockAftermath *after)
{
	DlockWaiter *waiter = dlock_waiter_at(idx);
	DlockResource *res = dlock_resource_at(waiter->resource);

	dlock_queue_remove(res, idx);
	dlock_client_unpin(waiter->client);
	dlock_lease_free(after->db, waiter->lease, dlock_clock_now());
	waiter->upgrade = true;
	waiter->lease = lease_idx;
	waiter->token = dlock_lease_at(lease_idx)->token;
	dlock_queue_insert(res, idx);
}

/*
 * serve_also serves a waiter whose client has a lease on the resource.
 */
static void
serve_also(uint32 idx, uint32 lease_idx, DlockAftermath *after)
{
	DlockWaiter *waiter = dlock_waiter_at(idx);
	DlockResource *res = dlock_resource_at(waiter->resource);

	if (!dlock_mode_covers(dlock_lease_at(lease_idx)->mode, waiter->mode))
	{
		if (res->nholders > 1)
		{
			if (res->upgrader == DLOCK_NONE)
				promote(idx, lease_idx, after);
			return;
		}
		dlock_lease_strengthen(lease_idx, waiter->mode);
	}
	share(idx, lease_idx, after);
}

/*
 * dlock_client_serve serves the other waiters of a client that has just got a
 * lease, or a stronger mode: they would wait for their own client.
 */
void
dlock_client_serve(DlockResource *res, uint32 lease_idx, DlockAftermath *after)
{
	DlockLease *lease = dlock_lease_at(lease_idx);
	uint32		idx = res->queue_head;

	while (idx != DLOCK_NONE &&
		   pg_atomic_read_u32(&dlock_client_at(lease->client)->waiting) > 0)
	{
		uint32		next = dlock_waiter_at(idx)->next;

		if (dlock_waiter_at(idx)->client == lease->client)
			serve_also(idx, lease_idx, after);
		idx = next;
	}
}

/*
 * serve_head grants what the head of the queue asks for, if it may have it.
 */
static bool
serve_head(uint32 resource, DlockAftermath *after)
{
	DlockResource *res = dlock_resource_at(resource);
	uint32		head = res->queue_head;
	DlockWaiter *waiter = dlock_waiter_at(head);
	uint32		own = dlock_holder_find(res, waiter->client);

	if (own != DLOCK_NONE)
	{
		/* an upgrade could not be made of it, there was one already */
		serve_also(head, own, after);
		return res->queue_head != head;
	}
	if (dlock_holders_conflict(res, waiter->mode))
		return false;
	own = waiter->lease;
	dlock_lease_grant(resource, own, after);
	give(head, own, after);
	dlock_client_serve(res, own, after);
	return true;
}

/*
 * dlock_queue_serve grants whatever the head of the queue may now have, and
 * forgets the resource if nobody is left.
 */
void
dlock_queue_serve(uint32 resource, DlockAftermath *after)
{
	DlockResource *res = dlock_resource_at(resource);

	if (res->upgrader != DLOCK_NONE && res->nholders == 1)
	{
		uint32		lease = dlock_waiter_at(res->upgrader)->lease;

		dlock_lease_strengthen(lease, dlock_waiter_at(res->upgrader)->mode);
		give(res->upgrader, lease, after);
		dlock_client_serve(res, lease, after);
	}
	while (res->upgrader == DLOCK_NONE && res->queue_head != DLOCK_NONE &&
		   serve_head(resource, after))
		;
	resource_tidy(resource);
}

/*
 * dlock_expired_end ends the holders whose time is over, for one who would
 * otherwise wait for them; tells whether there were any.  The resource may be
 * gone afterwards.
 */
bool
dlock_expired_end(uint32 resource, DlockTime now, DlockAftermath *after)
{
	bool		any = false;
	uint32		idx = dlock_resource_at(resource)->holders;

	while (idx != DLOCK_NONE)
	{
		uint32		next = dlock_lease_at(idx)->next;

		if (dlock_lease_at(idx)->deadline <= now &&
			dlock_lease_at(idx)->fences == 0)
		{
			any = true;
			dlock_lease_end(idx, DLOCK_END_EXPIRED, after);
			/* serving the queue may have changed everything behind it */
			break;
		}
		idx = next;
	}
	return any;
}
