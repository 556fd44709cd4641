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
 * dlock_wakeups_run once the lock is released.
 *
 * IDENTIFICATION
 *	  src/engine/transition.c
 */
#include "postgres.h"

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
 * client, which is not its client's any more.
 */
static void
dismiss_changers(DlockResource *res, uint32 client, DlockWakeups *wakeups)
{
	uint32		idx = res->queue_head;

	if (res->upgrader != DLOCK_NONE &&
		dlock_table_waiter(res->upgrader)->client == client &&
		!dlock_table_waiter(res->upgrader)->hold.counts)
		dlock_transition_dismiss(res->upgrader, DLOCK_WAIT_LOST, wakeups);
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
		}
		idx = next;
	}
}

/*
 * dlock_transition_settle does what follows when holds were taken away, of which the
 * row tells if "row" is set.  The lease ends with the last one, for that cause,
 * or with its last fence if that is later.
 */
void
dlock_transition_settle(uint32 idx, DlockEndCause cause, bool row,
						DlockWakeups *wakeups)
{
	DlockLease *lease = dlock_table_lease(idx);

	Assert(dlock_lease_is_live(lease));
	if (lease->hold_count <= 0 && lease->fences == 0)
	{
		dlock_transition_end(idx, cause, wakeups);
		return;
	}
	if (lease->hold_count <= 0)
	{
		lease->end_cause = (uint8) cause;
		dlock_lease_downgrade(idx, DLOCK_WEAKEST_MODE);
		dismiss_changers(dlock_table_resource(lease->resource), lease->client,
						 wakeups);
	}
	dlock_lease_settle_row(idx, row, wakeups);
	if (lease->deadline == DLOCK_NEVER)
		dlock_lease_restart_clock(idx, dlock_clock_now());
	dlock_transition_settle_mode(idx, wakeups);
}

/*
 * dlock_transition_settle_mode makes a lease as weak as its holds allow, and lets in
 * whom it kept out.  Where commits depend on it, that waits for the last of
 * them; what the row says does not.
 */
void
dlock_transition_settle_mode(uint32 idx, DlockWakeups *wakeups)
{
	DlockLease *lease = dlock_table_lease(idx);
	DlockMode	mode = dlock_holds_mode(lease);

	dlock_lease_settle_row_mode(idx, wakeups);
	if (lease->fences > 0 || mode == lease->mode)
		return;
	Assert(dlock_mode_covers(lease->mode, mode));
	dlock_lease_set_mode(idx, mode);
	dlock_transition_serve_queue(lease->resource, wakeups);
}

/*
 * resource_tidy forgets a resource that nobody uses.
 */
static void
resource_tidy(uint32 resource)
{
	DlockResource *res = dlock_table_resource(resource);

	if (res->nholders == 0 && res->nwaiters == 0)
		dlock_resource_remove(resource);
}

/*
 * demote makes an ordinary waiter of an upgrader whose lease has just ended,
 * if it asked for a lease; the slot that has become free is kept for it.  One
 * that meant to change its lease has none to change.
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
 * dlock_transition_end frees a lease and serves whom it kept waiting.  The resource
 * may be gone afterwards.
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
	dismiss_changers(res, client, wakeups);
	dlock_transition_serve_queue(resource, wakeups);
}

/*
 * dlock_transition_dismiss takes a waiter out of the queue and tells it why.
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
		/* it need not know before it may say so, unless it has more to do */
		wake = waiter->eager;
		if (!wake)
		{
			dlock_pending_notify(wakeups->db, waiter->procno, waiter->batch);
			/* the end of the lease before may be in a batch under way */
			wake = dlock_pending_is_durable(wakeups->db, waiter->batch);
		}
	}
	/* from here on the waiter may look, once it has the partition lock */
	pg_atomic_write_u32(&waiter->state, why);
	if (wake)
		dlock_wakeups_add(wakeups, waiter->procno);
}

/*
 * give tells a waiter that it has the lease, and counts its hold.
 */
static void
give(uint32 idx, uint32 lease_idx, DlockWakeups *wakeups)
{
	DlockWaiter *waiter = dlock_table_waiter(idx);

	waiter->lease = lease_idx;
	waiter->token = dlock_table_lease(lease_idx)->token;
	waiter->joined = dlock_table_lease(lease_idx)->hold_count > 0 ||
		dlock_table_lease(lease_idx)->fences > 0;
	dlock_lease_add_hold(lease_idx, &waiter->hold, &waiter->spare, wakeups);
	waiter->batch = dlock_lease_hold_batch(wakeups->db, lease_idx, &waiter->hold);
	waiter->must_flush = waiter->batch != 0;
	dlock_transition_dismiss(idx, DLOCK_WAIT_GRANTED, wakeups);
}

/*
 * share gives a waiter the lease that its client holds already, in place of
 * the one that was kept ready for it.
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
 * promote turns a waiter into an upgrader: its client has got a lease, but in
 * a weaker mode.
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
 * serve_also serves a waiter whose client has a lease on the resource.
 */
static void
serve_also(uint32 idx, uint32 lease_idx, DlockWakeups *wakeups)
{
	DlockWaiter *waiter = dlock_table_waiter(idx);
	DlockResource *res = dlock_table_resource(waiter->resource);

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
 * dlock_transition_serve_client serves the other waiters of a client that has just got a
 * lease, or a stronger mode: they would wait for their own client.
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
 * serve_head grants what the head of the queue asks for, if it may have it.
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
		/* an upgrade could not be made of it, there was one already */
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

static bool
may_upgrade(const DlockResource *res)
{
	const DlockWaiter *waiter = dlock_table_waiter(res->upgrader);

	return !dlock_lease_conflicts(res, waiter->mode, waiter->lease);
}

/*
 * dlock_transition_serve_queue grants whatever the head of the queue may now have, and
 * forgets the resource if nobody is left.
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
	}
	while (res->upgrader == DLOCK_NONE && res->queue_head != DLOCK_NONE &&
		   serve_head(resource, wakeups))
		;
	resource_tidy(resource);
}

/*
 * dlock_transition_end_expired ends the holders whose time is over, for one who would
 * otherwise wait for them; tells whether there were any.  The resource may be
 * gone afterwards.
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
			/* serving the queue may have changed everything behind it */
			break;
		}
		idx = next;
	}
	return any;
}
