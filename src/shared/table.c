/*
 * table.c
 *	  The lock table in shared memory: leases, resources, waiters, holds.
 *
 * Fixed arrays.  partition.c has the locks, resource.c finds resources by
 * name, slots.c hands out free slots.
 *
 * IDENTIFICATION
 *	  src/shared/table.c
 */
#include "postgres.h"

#include "storage/shmem.h"

#include "base/config.h"
#include "shared/table.h"

static uint32 *lease_client;	/* by slot; written under partition locks */
DlockLease *dlock_table_leases;
DlockResource *dlock_table_resources;
DlockWaiter *dlock_table_waiters;
DlockHoldCount *dlock_table_holds;

/*
 * dlock_table_hold_counts returns the size of the pool of hold counts.  There
 * is one for each lease that has a second kind of holds, of another session,
 * scope or mode, and one for each waiter.
 */
int
dlock_table_hold_counts(void)
{
	return dlock_max_leases + dlock_max_waiters;
}

/*
 * dlock_table_shmem_size must agree with dlock_table_shmem_init.
 */
Size
dlock_table_shmem_size(void)
{
	Size		size = MAXALIGN(mul_size(dlock_max_leases, sizeof(uint32)));

	size = add_size(size, mul_size(dlock_max_leases, sizeof(DlockLease)));
	size = add_size(size, MAXALIGN(mul_size(dlock_max_leases, sizeof(DlockResource))));
	size = add_size(size, mul_size(dlock_max_waiters, sizeof(DlockWaiter)));
	size = add_size(size, mul_size(dlock_table_hold_counts(),
								   sizeof(DlockHoldCount)));
	return size;
}

/*
 * dlock_table_shmem_init creates the table, or attaches to it.
 */
void
dlock_table_shmem_init(void)
{
	bool		found;
	char	   *base;

	base = ShmemInitStruct("dlock table", dlock_table_shmem_size(), &found);
	if (!found)
		memset(base, 0, dlock_table_shmem_size());

	lease_client = (uint32 *) base;
	base += MAXALIGN(dlock_max_leases * sizeof(uint32));
	dlock_table_leases = (DlockLease *) base;
	base += dlock_max_leases * sizeof(DlockLease);
	dlock_table_resources = (DlockResource *) base;
	base += MAXALIGN(dlock_max_leases * sizeof(DlockResource));
	dlock_table_waiters = (DlockWaiter *) base;
	base += dlock_max_waiters * sizeof(DlockWaiter);
	dlock_table_holds = (DlockHoldCount *) base;

	for (int i = 0; !found && i < dlock_max_leases; i++)
		lease_client[i] = DLOCK_NONE;
}

/*
 * dlock_table_lease_client returns the client that holds the lease in a slot;
 * DLOCK_NONE if there is no such lease.  Needs no lock, so the answer may be
 * out of date.
 */
uint32
dlock_table_lease_client(uint32 idx)
{
	return *(volatile uint32 *) &lease_client[idx];
}

/*
 * dlock_table_set_lease_client sets what dlock_table_lease_client returns.
 * The caller holds the lease's partition lock exclusively.
 */
void
dlock_table_set_lease_client(uint32 idx, uint32 client)
{
	*(volatile uint32 *) &lease_client[idx] = client;
}
