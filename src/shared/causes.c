/*
 * causes.c
 *	  How leases ended lately, for those who ask for one that they have lost.
 *
 * A table of fixed size, by resource: each place has room for the last few ends
 * of the resources that share it, and the oldest one makes room for the next.
 * So an end is remembered for a while, and nothing depends on it.
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
 * place_count gives a multiple of the number of partitions, both being powers of
 * two: so all resources of a place belong to one partition.
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

void
dlock_causes_shmem_init(void)
{
	bool		found;

	place_mask = place_count() - 1;
	places = ShmemInitStruct("dlock causes", dlock_causes_shmem_size(), &found);
	if (!found)
		memset(places, 0, dlock_causes_shmem_size());
}

static DlockCause *
cause_place(uint32 resource)
{
	Assert(dlock_partition_held(resource));
	return places[resource & place_mask];
}

/*
 * dlock_causes_note remembers how a lease has ended.
 */
void
dlock_causes_note(const DlockCause *cause)
{
	DlockCause *place = cause_place(cause->resource);

	memmove(&place[1], &place[0], (DEPTH - 1) * sizeof(DlockCause));
	place[0] = *cause;
}

/*
 * is_wanted compares by token, which no two leases of a database have, or where
 * that is 0 by resource and client.
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
 * dlock_causes_find completes what is known about the end of a lease; false
 * where that is not remembered.
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
