/*
 * actor.c
 *	  As which clients each session acts.
 *
 * A session that waits for a lock of PostgreSQL keeps the leases of its clients
 * from being released; the search for deadlocks has to know whose these are.
 * Every session tells that itself, as long as it acts as the client.  Holds that
 * end with the session are counted by session, and need no telling.
 *
 * IDENTIFICATION
 *	  src/shared/actor.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/proc.h"
#include "storage/shmem.h"

#include "base/record.h"
#include "shared/actor.h"

static pg_atomic_uint32 (*actors)[DLOCK_ACTOR_KINDS];

static int
proc_count(void)
{
	return MaxBackends + NUM_AUXILIARY_PROCS;
}

/*
 * dlock_actor_shmem_size must agree with dlock_actor_shmem_init.
 */
Size
dlock_actor_shmem_size(void)
{
	return mul_size(proc_count(), sizeof(*actors));
}

void
dlock_actor_shmem_init(void)
{
	bool		found;

	actors = ShmemInitStruct("dlock actors", dlock_actor_shmem_size(), &found);
	if (found)
		return;
	for (int i = 0; i < proc_count(); i++)
		for (int kind = 0; kind < DLOCK_ACTOR_KINDS; kind++)
			pg_atomic_init_u32(&actors[i][kind], DLOCK_NONE);
}

/*
 * dlock_actor_set says as which client a session acts; DLOCK_NONE: as none.
 * Called by the session itself.
 */
void
dlock_actor_set(int procno, DlockActorKind kind, uint32 client)
{
	pg_atomic_write_u32(&actors[procno][kind], client);
}

/*
 * dlock_actor_is tells whether a session acts as a client.
 */
bool
dlock_actor_is(int procno, uint32 client)
{
	for (int kind = 0; kind < DLOCK_ACTOR_KINDS; kind++)
		if (pg_atomic_read_u32(&actors[procno][kind]) == client)
			return true;
	return false;
}
