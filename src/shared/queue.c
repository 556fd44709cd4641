/*
 * queue.c
 *	  A resource's waiters, in the order in which they will be served.
 *
 * A doubly linked list by priority, then arrival.  Waiters mostly have one
 * priority, so a place is looked for from the end.  A waiter for a stronger
 * mode of a lease it holds stands apart, ahead of all others.  There is never
 * more than one: mostly two would wait for each other, and where they do not,
 * the second waits in the queue until the place is free.
 *
 * IDENTIFICATION
 *	  src/shared/queue.c
 */
#include "postgres.h"

#include "shared/partition.h"
#include "shared/queue.h"
#include "shared/table.h"

/*
 * dlock_queue_insert puts a waiter behind all waiters of a higher priority,
 * and behind those of the same priority that arrived before it.  Arrival is
 * compared by ticket.  So a waiter whose priority was changed gets the place
 * that it would have if it had come with that priority.  The caller holds the
 * partition lock exclusively.  Cannot fail.
 */
void
dlock_queue_insert(DlockResource *res, uint32 idx)
{
	DlockWaiter *waiter = dlock_table_waiter(idx);
	uint32		prev = res->queue_tail;

	Assert(dlock_partition_held(res->hash));
	res->nwaiters++;
	if (waiter->upgrade)
	{
		Assert(res->upgrader == DLOCK_NONE);
		res->upgrader = idx;
		return;
	}

	while (prev != DLOCK_NONE)
	{
		DlockWaiter *other = dlock_table_waiter(prev);

		if (other->priority > waiter->priority ||
			(other->priority == waiter->priority &&
			 other->ticket < waiter->ticket))
			break;
		prev = other->prev;
	}

	waiter->prev = prev;
	if (prev == DLOCK_NONE)
	{
		waiter->next = res->queue_head;
		res->queue_head = idx;
	}
	else
	{
		waiter->next = dlock_table_waiter(prev)->next;
		dlock_table_waiter(prev)->next = idx;
	}
	if (waiter->next == DLOCK_NONE)
		res->queue_tail = idx;
	else
		dlock_table_waiter(waiter->next)->prev = idx;
}

/*
 * dlock_queue_remove takes a waiter out of the queue.  The caller holds the
 * partition lock exclusively.  Cannot fail.
 */
void
dlock_queue_remove(DlockResource *res, uint32 idx)
{
	DlockWaiter *waiter = dlock_table_waiter(idx);

	Assert(dlock_partition_held(res->hash));
	Assert(res->nwaiters > 0);
	res->nwaiters--;
	if (waiter->upgrade)
	{
		Assert(res->upgrader == idx);
		res->upgrader = DLOCK_NONE;
		return;
	}
	if (waiter->prev == DLOCK_NONE)
		res->queue_head = waiter->next;
	else
		dlock_table_waiter(waiter->prev)->next = waiter->next;
	if (waiter->next == DLOCK_NONE)
		res->queue_tail = waiter->prev;
	else
		dlock_table_waiter(waiter->next)->prev = waiter->prev;
}

/*
 * dlock_queue_place returns a waiter's place in the queue, counted from 1.
 * The waiter is in the queue.  The caller holds the partition lock.
 */
int
dlock_queue_place(const DlockResource *res, uint32 idx)
{
	int			place = 1;

	if (res->upgrader == idx)
		return place;
	if (res->upgrader != DLOCK_NONE)
		place++;
	for (uint32 i = res->queue_head; i != idx; i = dlock_table_waiter(i)->next)
		place++;
	return place;
}
