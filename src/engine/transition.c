/*
 * transition.c
 *	  The state transitions of leases and waiters.
 *
 *	  lease:	FREE -> RESERVED		a request takes the slot
 *				RESERVED -> PENDING		granted
 *				RESERVED -> FREE		the waiter left, or shares a lease
 *				PENDING -> HELD			acknowledged
 *				PENDING -> FREE			taken back, or ended
 *				HELD -> FREE			ended
 *				FREE -> TRIMMED			the writer is about to delete its row
 *				TRIMMED -> FREE			it has deleted the row, or could not
 *	  waiter:	QUEUED -> GRANTED		it has the lease
 *				QUEUED -> LOST			an upgrade whose lease has ended
 *				QUEUED -> DEADLOCK		its wait was ended to break a deadlock
 *				QUEUED -> CLOSED		the extension was dropped
 *				or it leaves while it is QUEUED
 *
 * The caller of every function holds the partition lock exclusively.  The
 * functions change shared memory and nothing else, and cannot fail.  Latches
 * are set by dlock_wakeups_run once the lock is released.
 *
 * IDENTIFICATION
 *	  src/engine/transition.c
 */
#include "postgres.h"

#include "engine/hold_modes.h"
#include "engine/holds.h"
#include "engine/lease.h"
#include "engine/transition.h"
#include "shared/client.h"
#include "shared/pending.h"
#include "shared/queue.h"
#include "shared/resource.h"
#include "shared/slots.h"
#include "shared/table.h"

/*
 * dismiss_changers sends away the waiters that mean to change the lease of a
 * client, which is not its client's any more; returns whether there were any.
 */
static bool
dismiss_changers(DlockResource *res, uint32 client, DlockWakeups *wakeups)
{
	uint32		idx = res->queue_head;
	bool		any = false;

	if (res->upgrader != DLOCK_NONE &&
		dlock_table_waiter(res->upgrader)->client == client &&
		!dlock_table_waiter(res->upgrader)->hold.counts)
	{
		dlock_transition_dismiss(res->upgrader, DLOCK_WAIT_LOST, wakeups);
		any = true;
	}
	while (idx != DLOCK_NONE &&
		   pg_atomic_read_u32(&dlock_client_at(client)->waiting) > 0)
	{
		DlockWaiter *waiter = dlock_table_waiter(idx);
		uint32		next = waiter->next;

		if (waiter->client == client && !waiter->hold.counts)
		{
			dlock_client_unpin(client);
			dlock_slots_put_lease(wakeups->db, waiter->lease, dlock_clock_now());
			dlock_transition_dismiss(idx, DLOCK_WAIT_LOST, wakeups);
			any = true;
		}
		idx = next;
	}
	return any;
}

/*
 * dlock_transition_settle adapts a lease after holds were removed; "row" says
 * whether its row shows these.  If no hold is left, the lease ends for that
 * cause or, if it has fences, with the last of them.
 */
void
dlock_transition_settle(uint32 idx, DlockEndCause cause, bool row,
						DlockWakeups *wakeups)
{
	DlockLease *lease = dlock_table_lease(idx);
	DlockResource *res = dlock_table_resource(lease->resource);
	bool		changers_left = false;

	Assert(dlock_lease_is_live(lease));
	if (lease->hold_count <= 0 && lease->fences == 0)
	{
		dlock_transition_end(idx, cause, wakeups);
		return;
	}
	if (lease->hold_count <= 0)
	{
		lease->end_cause = (uint8) cause;
		dlock_lease_downgrade(idx, DLOCK_WEAKEST_MODE, PG_UINT32_MAX);
		changers_left = dismiss_changers(res, lease->client, wakeups);
	}
	dlock_lease_settle_row(idx, row, wakeups);
	if (lease->deadline == DLOCK_NEVER)
		dlock_lease_restart_clock(idx, dlock_clock_now());
	dlock_transition_settle_mode(idx, wakeups);
	if (changers_left)
	{
		dlock_transition_next_upgrade(res, wakeups);
		/* others may have waited for these alone */
		dlock_transition_serve_queue(lease->resource, wakeups);
	}
}

/*
 * dlock_transition_settle_mode makes a lease as weak as its holds and upgrades
 * allow, and grants requests that fit then.  If commits under way depend on
 * the lease, only its row becomes weaker now; the rest waits until the last of
 * them has ended.
 */
void
dlock_transition_settle_mode(uint32 idx, DlockWakeups *wakeups)
{
	DlockLease *lease = dlock_table_lease(idx);
	DlockMode	mode = dlock_hold_modes_strongest(lease);

	dlock_lease_settle_row_mode(idx, wakeups);
	if (lease->fences > 0 || mode == lease->mode)
		return;
	Assert(dlock_mode_covers(lease->mode, mode));
	dlock_lease_set_mode(idx, mode);
	dlock_transition_serve_queue(lease->resource, wakeups);
}

/*
 * resource_tidy removes a resource that has neither holders nor waiters.
 */
static void
resource_tidy(uint32 resource)
{
	DlockResource *res = dlock_table_resource(resource);

	if (res->nholders == 0 && res->nwaiters == 0)
		dlock_resource_remove(resource);
}

/*
 * demote handles an upgrader whose lease has just ended.  A request for a
 * lease becomes an ordinary waiter, for which the slot that has become free is
 * reserved.  A request that wants to change the lease has none to change, and
 * is dismissed; so is a request for which there is no slot.
 */
static void
demote(uint32 idx, DlockWakeups *wakeups)
{
	DlockWaiter *waiter = dlock_table_waiter(idx);
	DlockResource *res = dlock_table_resource(waiter->resource);
	uint32		slot = DLOCK_NONE;

	if (waiter->hold.counts)
		slot = dlock_slots_get_lease(wakeups->db);
	if (slot == DLOCK_NONE)
	{
		dlock_transition_dismiss(idx, DLOCK_WAIT_LOST, wakeups);
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
 * dlock_transition_end ends a lease that has no fences, and serves the queue.
 * If that leaves neither holders nor waiters, the resource is removed as well.
 */
void
dlock_transition_end(uint32 idx, DlockEndCause cause, DlockWakeups *wakeups)
{
	DlockLease *lease = dlock_table_lease(idx);
	uint32		resource = lease->resource;
	DlockResource *res = dlock_table_resource(resource);
	uint32		client = lease->client;
	uint32		upgrader = DLOCK_NONE;

	Assert(dlock_lease_is_live(lease));
	Assert(lease->fences == 0);
	if (res->upgrader != DLOCK_NONE &&
		dlock_table_waiter(res->upgrader)->lease == idx)
		upgrader = res->upgrader;

	dlock_lease_remove(idx, cause, wakeups);
	if (upgrader != DLOCK_NONE)
		demote(upgrader, wakeups);
	(void) dismiss_changers(res, client, wakeups);
	if (upgrader != DLOCK_NONE)
		dlock_transition_next_upgrade(res, wakeups);
	dlock_transition_serve_queue(resource, wakeups);
}

/*
 * dlock_transition_dismiss takes a waiter out of the queue, sets its state,
 * and has its backend woken.
 *
 * A backend whose grant must be flushed first is woken when the batch is
 * durable, by the notice that is written here; it is woken now only if it has
 * more to do before that (eager).  The batch may be one that the writer is
 * publishing at this moment.  If the writer has read the notices before ours
 * was written, it has set durable_batch before that, and we see it and wake
 * the backend ourselves.
 */
void
dlock_transition_dismiss(uint32 idx, DlockWaitState why, DlockWakeups *wakeups)
{
	DlockWaiter *waiter = dlock_table_waiter(idx);
	DlockResource *res = dlock_table_resource(waiter->resource);
	bool		wake = true;

	Assert(pg_atomic_read_u32(&waiter->state) == DLOCK_WAIT_QUEUED);
	dlock_queue_remove(res, idx);
	pg_atomic_fetch_sub_u32(&dlock_client_at(waiter->client)->waiting, 1);
	if (why == DLOCK_WAIT_GRANTED && waiter->must_flush)
	{
		wakeups->urgent = true;
		/* usually it has nothing to do before the batch is durable */
		wake = waiter->eager;
		if (!wake)
		{
			dlock_pending_notify(wakeups->db, waiter->procno, waiter->batch);
			/* the batch may be durable already: see above */
			wake = dlock_pending_is_durable(wakeups->db, waiter->batch);
		}
	}

	/*
	 * from here on the backend may read the result, under the partition lock
	 */
	pg_atomic_write_u32(&waiter->state, why);
	if (wake)
		dlock_wakeups_add(wakeups, waiter->procno);
}

/*
 * let_expire removes what a client has lost of a lease that has expired and
 * that fences keep, before it gets a new hold.
 */
static void
let_expire(uint32 idx, DlockWakeups *wakeups)
{
	DlockLease *lease = dlock_table_lease(idx);

	if (lease->fences == 0 || lease->deadline > dlock_clock_now() ||
		dlock_holds_expire(lease) == 0)
		return;
	dlock_lease_downgrade(idx, DLOCK_WEAKEST_MODE, PG_UINT32_MAX);
	dlock_lease_settle_row(idx, true, wakeups);
	dlock_lease_settle_row_mode(idx, wakeups);
}

/*
 * give grants a waiter a lease and adds its hold.
 */
static void
give(uint32 idx, uint32 lease_idx, DlockWakeups *wakeups)
{
	DlockWaiter *waiter = dlock_table_waiter(idx);

	waiter->lease = lease_idx;
	waiter->token = dlock_table_lease(lease_idx)->token;
	waiter->joined = dlock_table_lease(lease_idx)->hold_count > 0 ||
		dlock_table_lease(lease_idx)->fences > 0;
	if (waiter->hold.counts)
		let_expire(lease_idx, wakeups);
	dlock_lease_add_hold(lease_idx, &waiter->hold, &waiter->spare, wakeups);
	waiter->batch = dlock_lease_hold_batch(wakeups->db, lease_idx, &waiter->hold);
	waiter->must_flush = waiter->batch != 0;
	dlock_transition_dismiss(idx, DLOCK_WAIT_GRANTED, wakeups);
}

/*
 * share grants a waiter the lease that its client holds already, in place of
 * the slot that was reserved for it.
 */
static void
share(uint32 idx, uint32 lease_idx, DlockWakeups *wakeups)
{
	DlockWaiter *waiter = dlock_table_waiter(idx);

	dlock_client_unpin(waiter->client);
	dlock_slots_put_lease(wakeups->db, waiter->lease, dlock_clock_now());
	give(idx, lease_idx, wakeups);
}

/*
 * promote turns a waiter into the upgrader: its client has got a lease, in a
 * weaker mode than the waiter asks for.
 */
static void
promote(uint32 idx, uint32 lease_idx, DlockWakeups *wakeups)
{
	DlockWaiter *waiter = dlock_table_waiter(idx);
	DlockResource *res = dlock_table_resource(waiter->resource);

	dlock_queue_remove(res, idx);
	dlock_client_unpin(waiter->client);
	dlock_slots_put_lease(wakeups->db, waiter->lease, dlock_clock_now());
	waiter->upgrade = true;
	waiter->lease = lease_idx;
	waiter->token = dlock_table_lease(lease_idx)->token;
	dlock_queue_insert(res, idx);
}

/*
 * is_about_to_end returns whether a lease has expired, and the monitor or a
 * request is about to end it: no hold may be added to it.
 */
static bool
is_about_to_end(uint32 idx)
{
	return dlock_table_lease(idx)->fences == 0 &&
		dlock_table_lease(idx)->deadline <= dlock_clock_now();
}

/*
 * serve_also serves a waiter whose client has a lease on the resource.  If the
 * lease is too weak and cannot be made stronger now, the waiter becomes the
 * upgrader, unless there is one already.
 */
static void
serve_also(uint32 idx, uint32 lease_idx, DlockWakeups *wakeups)
{
	DlockWaiter *waiter = dlock_table_waiter(idx);
	DlockResource *res = dlock_table_resource(waiter->resource);

	if (is_about_to_end(lease_idx))
		return;
	if (!dlock_mode_covers(dlock_table_lease(lease_idx)->mode, waiter->mode))
	{
		if (dlock_lease_conflicts(res, waiter->mode, lease_idx))
		{
			if (res->upgrader == DLOCK_NONE)
				promote(idx, lease_idx, wakeups);
			return;
		}
		dlock_lease_strengthen(lease_idx, waiter->mode);
	}
	share(idx, lease_idx, wakeups);
}

/*
 * dlock_transition_serve_client serves the other waiters of a client that has
 * just got a lease, or a stronger mode.  They would otherwise wait for their
 * own client.
 */
void
dlock_transition_serve_client(DlockResource *res, uint32 lease_idx, DlockWakeups *wakeups)
{
	DlockLease *lease = dlock_table_lease(lease_idx);
	uint32		idx = res->queue_head;

	while (idx != DLOCK_NONE &&
		   pg_atomic_read_u32(&dlock_client_at(lease->client)->waiting) > 0)
	{
		uint32		next = dlock_table_waiter(idx)->next;

		if (dlock_table_waiter(idx)->client == lease->client)
			serve_also(idx, lease_idx, wakeups);
		idx = next;
	}
}

/*
 * serve_head serves the head of the queue if it fits; returns whether the head
 * has left its place.
 */
static bool
serve_head(uint32 resource, DlockWakeups *wakeups)
{
	DlockResource *res = dlock_table_resource(resource);
	uint32		head = res->queue_head;
	DlockWaiter *waiter = dlock_table_waiter(head);
	uint32		own = dlock_lease_of_client(res, waiter->client);

	if (own != DLOCK_NONE)
	{
		/* it stays the head if there is another upgrader already */
		serve_also(head, own, wakeups);
		return res->queue_head != head;
	}
	if (dlock_lease_conflicts(res, waiter->mode, DLOCK_NONE))
		return false;
	own = waiter->lease;
	dlock_lease_grant(resource, own, wakeups);
	give(head, own, wakeups);
	dlock_transition_serve_client(res, own, wakeups);
	return true;
}

/*
 * dlock_transition_next_upgrade is called when the place of the upgrader has
 * become free: the first waiter takes it whose client has a lease already.  In
 * its place in the queue it might wait for waiters that wait for that lease.
 */
void
dlock_transition_next_upgrade(DlockResource *res, DlockWakeups *wakeups)
{
	uint32		idx = res->queue_head;

	while (idx != DLOCK_NONE && res->upgrader == DLOCK_NONE)
	{
		DlockWaiter *waiter = dlock_table_waiter(idx);
		uint32		next = waiter->next;
		uint32		own = DLOCK_NONE;

		/* most waiters hold nothing: do not walk through all holders for them */
		if (pg_atomic_read_u32(&dlock_client_at(waiter->client)->held) > 0)
			own = dlock_lease_of_client(res, waiter->client);
		if (own != DLOCK_NONE)
			serve_also(idx, own, wakeups);
		idx = next;
	}
}

static bool
may_upgrade(const DlockResource *res)
{
	const DlockWaiter *waiter = dlock_table_waiter(res->upgrader);

	return !is_about_to_end(waiter->lease) &&
		!dlock_lease_conflicts(res, waiter->mode, waiter->lease);
}

/*
 * dlock_transition_serve_queue serves the upgrader and then the heads of the
 * queue, as long as they fit.  If neither holders nor waiters are left, the
 * resource is removed.
 */
void
dlock_transition_serve_queue(uint32 resource, DlockWakeups *wakeups)
{
	DlockResource *res = dlock_table_resource(resource);

	if (res->upgrader != DLOCK_NONE && may_upgrade(res))
	{
		uint32		lease = dlock_table_waiter(res->upgrader)->lease;

		dlock_lease_strengthen(lease, dlock_table_waiter(res->upgrader)->mode);
		give(res->upgrader, lease, wakeups);
		dlock_transition_serve_client(res, lease, wakeups);
		dlock_transition_next_upgrade(res, wakeups);
	}
	while (res->upgrader == DLOCK_NONE && res->queue_head != DLOCK_NONE &&
		   serve_head(resource, wakeups))
		;
	resource_tidy(resource);
}

/*
 * dlock_transition_end_expired ends a holder that has expired and has no
 * fences, and returns whether there was one.  The caller repeats the call
 * until it returns false.  The resource may have been removed by then.
 */
bool
dlock_transition_end_expired(uint32 resource, DlockTime now, DlockWakeups *wakeups)
{
	bool		any = false;
	uint32		idx = dlock_table_resource(resource)->holders;

	while (idx != DLOCK_NONE)
	{
		uint32		next = dlock_table_lease(idx)->next;

		if (dlock_table_lease(idx)->deadline <= now &&
			dlock_table_lease(idx)->fences == 0)
		{
			any = true;
			dlock_transition_end(idx, DLOCK_END_EXPIRED, wakeups);
			/* serving the queue may have changed the list of holders */
			break;
		}
		idx = next;
	}
	return any;
}
