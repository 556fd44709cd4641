/*
 * causes.c
 *	  How leases ended recently, for messages about lost leases.
 *
 * A hash table of fixed size, by resource.  Each place holds the last few ends
 * of the resources that share it; a new end replaces the oldest.  So an end is
 * remembered for a while only, and nothing but messages depends on it.
 *
 * IDENTIFICATION
 *	  src/shared/causes.c
 */
#include "postgres.h"

#include "port/pg_bitutils.h"
#include "storage/shmem.h"

#include "base/config.h"
#include "shared/causes.h"
#include "shared/partition.h"
#include "shared/table.h"

/* ends in one place */
#define DEPTH 4

/* leases for each place */
#define LEASES_PER_PLACE 64

static DlockCause (*places)[DEPTH]; /* partition locks; the newest first */
static uint32 place_mask;		/* constant */

/*
 * place_count returns a power of two that is a multiple of the number of
 * partitions.  So all resources of a place belong to one partition.
 */
static uint32
place_count(void)
{
	return pg_nextpower2_32(Max(dlock_max_leases / LEASES_PER_PLACE,
								DLOCK_NPARTITIONS));
}

/*
 * dlock_causes_shmem_size must agree with dlock_causes_shmem_init.
 */
Size
dlock_causes_shmem_size(void)
{
	return mul_size(place_count(), sizeof(*places));
}

/*
 * dlock_causes_shmem_init creates the table, or attaches to it.
 */
void
dlock_causes_shmem_init(void)
{
	bool		found;

	place_mask = place_count() - 1;
	places = ShmemInitStruct("dlock causes", dlock_causes_shmem_size(), &found);
	if (!found)
		memset(places, 0, dlock_causes_shmem_size());
}

/*
 * cause_place returns the place of a resource.  The caller holds the partition
 * lock.
 */
static DlockCause *
cause_place(uint32 resource)
{
	Assert(dlock_partition_held(resource));
	return places[resource & place_mask];
}

/*
 * dlock_causes_note remembers how a lease has ended.  The caller holds the
 * partition lock exclusively.  Cannot fail.
 */
void
dlock_causes_note(const DlockCause *cause)
{
	DlockCause *place = cause_place(cause->resource);

	memmove(&place[1], &place[0], (DEPTH - 1) * sizeof(DlockCause));
	place[0] = *cause;
}

/*
 * is_same_lease returns whether an end is the wanted one.  It compares tokens,
 * which no two leases of a database share; if the wanted token is 0, resource
 * and client.
 */
static bool
is_same_lease(const DlockCause *cause, const DlockCause *wanted)
{
	if (cause->token == 0 || cause->dboid != wanted->dboid ||
		cause->resource != wanted->resource)
		return false;
	return wanted->token != 0 ? cause->token == wanted->token :
		cause->client == wanted->client;
}

/*
 * dlock_causes_find completes *wanted with what is known about the end of that
 * lease.  Returns false if the end is not remembered.  The caller holds the
 * partition lock.
 */
bool
dlock_causes_find(DlockCause *wanted)
{
	const DlockCause *place = cause_place(wanted->resource);

	for (int i = 0; i < DEPTH; i++)
	{
		if (is_same_lease(&place[i], wanted))
		{
			*wanted = place[i];
			return true;
		}
	}
	return false;
}
