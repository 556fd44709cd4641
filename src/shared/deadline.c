/*
 * deadline.c
 *	  The leases of a partition in the order in which they expire.
 *
 * A pairing heap.  Its links are slot numbers in the lease slots themselves,
 * so it needs no memory of its own.  Adding a lease takes one comparison.
 * Most leases end long before their deadline, and leave the heap without
 * having moved in it.
 *
 * A renewal does not change the heap.  heap_key is a lease's place in the
 * heap, deadline is when it expires, and heap_key <= deadline always.  A lease
 * that reaches the top before its deadline is put back then, at its true
 * place.
 *
 * IDENTIFICATION
 *	  src/shared/deadline.c
 */
#include "postgres.h"

#include "shared/alarm.h"
#include "shared/database.h"
#include "shared/deadline.h"
#include "shared/partition.h"
#include "shared/table.h"

/*
 * merge joins two heaps, either of which may be empty, and returns the root.
 * The caller holds the partition lock exclusively, here and below.
 */
static uint32
merge(uint32 a, uint32 b)
{
	DlockLease *parent;
	DlockLease *child;

	if (a == DLOCK_NONE)
		return b;
	if (b == DLOCK_NONE)
		return a;
	if (dlock_table_lease(b)->heap_key < dlock_table_lease(a)->heap_key)
	{
		uint32		swap = a;

		a = b;
		b = swap;
	}
	parent = dlock_table_lease(a);
	child = dlock_table_lease(b);
	child->heap_next = parent->heap_child;
	child->heap_prev = a;
	if (parent->heap_child != DLOCK_NONE)
		dlock_table_lease(parent->heap_child)->heap_prev = b;
	parent->heap_child = b;
	return a;
}

/*
 * merge_children joins a list of siblings into one heap and returns its root.
 * In two passes: pairs from left to right, then all of these from right to
 * left.
 */
static uint32
merge_children(uint32 first)
{
	uint32		pairs = DLOCK_NONE;
	uint32		root = DLOCK_NONE;

	while (first != DLOCK_NONE)
	{
		uint32		second = dlock_table_lease(first)->heap_next;
		uint32		rest = DLOCK_NONE;
		uint32		pair;

		if (second != DLOCK_NONE)
			rest = dlock_table_lease(second)->heap_next;
		pair = merge(first, second);
		dlock_table_lease(pair)->heap_next = pairs;
		pairs = pair;
		first = rest;
	}
	while (pairs != DLOCK_NONE)
	{
		uint32		next = dlock_table_lease(pairs)->heap_next;

		root = merge(root, pairs);
		pairs = next;
	}
	if (root != DLOCK_NONE)
	{
		dlock_table_lease(root)->heap_next = DLOCK_NONE;
		dlock_table_lease(root)->heap_prev = DLOCK_NONE;
	}
	return root;
}

/*
 * heap_add puts a lease into the heap, at the place that its heap_key gives.
 */
static void
heap_add(uint32 idx)
{
	DlockLease *lease = dlock_table_lease(idx);
	uint32	   *root = dlock_partition_heap(dlock_partition_of(lease->hash));

	lease->heap_child = DLOCK_NONE;
	lease->heap_next = DLOCK_NONE;
	lease->heap_prev = DLOCK_NONE;
	lease->in_heap = true;
	*root = merge(*root, idx);
}

/*
 * heap_remove takes a lease out of the heap.
 */
static void
heap_remove(uint32 idx)
{
	DlockLease *lease = dlock_table_lease(idx);
	uint32	   *root = dlock_partition_heap(dlock_partition_of(lease->hash));
	uint32		children = merge_children(lease->heap_child);

	if (*root == idx)
		*root = children;
	else
	{
		/* heap_prev is the left sibling, or the parent for a first child */
		DlockLease *prev = dlock_table_lease(lease->heap_prev);

		if (prev->heap_child == idx)
			prev->heap_child = lease->heap_next;
		else
			prev->heap_next = lease->heap_next;
		if (lease->heap_next != DLOCK_NONE)
			dlock_table_lease(lease->heap_next)->heap_prev = lease->heap_prev;
		*root = merge(*root, children);
	}
	lease->in_heap = false;
}

/*
 * dlock_deadline_set sets when a lease expires; DLOCK_NEVER stops its clock.
 * Wakes the monitor if the deadline comes before its next pass.  The caller
 * holds the partition lock exclusively.  Cannot fail.
 */
void
dlock_deadline_set(uint32 idx, DlockTime deadline)
{
	DlockLease *lease = dlock_table_lease(idx);

	Assert(dlock_partition_held(lease->hash));
	if (deadline == DLOCK_NEVER)
	{
		dlock_deadline_clear(idx);
		return;
	}
	lease->deadline = deadline;
	if (lease->in_heap)
	{
		if (deadline >= lease->heap_key)
			return;
		heap_remove(idx);
	}
	lease->heap_key = deadline;
	heap_add(idx);
	dlock_alarm_set(deadline);
}

/*
 * dlock_deadline_clear stops a lease's clock.  The caller holds the partition
 * lock exclusively.  Cannot fail.
 */
void
dlock_deadline_clear(uint32 idx)
{
	DlockLease *lease = dlock_table_lease(idx);

	lease->deadline = DLOCK_NEVER;
	if (lease->in_heap)
		heap_remove(idx);
}

/*
 * dlock_deadline_first returns a lease of the partition that has expired and
 * has no fences.  If there is none, it returns DLOCK_NONE and lowers *next to
 * the time when to check again.  The caller holds the partition lock
 * exclusively.  Cannot fail.
 */
uint32
dlock_deadline_first(int partition, DlockTime now, DlockTime *next)
{
	uint32	   *root = dlock_partition_heap(partition);

	Assert(dlock_partition_held(partition));
	while (*root != DLOCK_NONE)
	{
		uint32		idx = *root;
		DlockLease *lease = dlock_table_lease(idx);

		if (lease->heap_key > now)
		{
			*next = Min(*next, lease->heap_key);
			return DLOCK_NONE;
		}
		if (lease->deadline <= now && lease->fences == 0)
			return idx;
		heap_remove(idx);

		/*
		 * an expired lease with fences is added again when its last fence
		 * ends
		 */
		if (lease->deadline <= now)
			continue;
		lease->heap_key = lease->deadline;
		heap_add(idx);
	}
	return DLOCK_NONE;
}
