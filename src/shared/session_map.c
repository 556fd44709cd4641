/*
 * session_map.c
 *	  The clients that each session acts as.
 *
 * A session that waits for one of PostgreSQL's locks cannot release the leases
 * of its clients.  The search for deadlocks therefore has to know which
 * clients a session acts as.  Every session publishes that itself, as long as
 * it acts as the client.  Holds that end with the session need no entry here,
 * since a lease counts them by session.
 *
 * IDENTIFICATION
 *	  src/shared/session_map.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/proc.h"
#include "storage/shmem.h"

#include "base/slot.h"
#include "shared/session_map.h"

static pg_atomic_uint32 (*client_of)[DLOCK_SESSION_MAP_KINDS];

/*
 * proc_count returns the number of PGPROCs, except for those of prepared
 * transactions.
 */
static int
proc_count(void)
{
	return MaxBackends + NUM_AUXILIARY_PROCS;
}

/*
 * dlock_session_map_shmem_size must agree with dlock_session_map_shmem_init.
 */
Size
dlock_session_map_shmem_size(void)
{
	return mul_size(proc_count(), sizeof(*client_of));
}

/*
 * dlock_session_map_shmem_init creates the map, or attaches to it.
 */
void
dlock_session_map_shmem_init(void)
{
	bool		found;

	client_of = ShmemInitStruct("dlock session map", dlock_session_map_shmem_size(), &found);
	if (found)
		return;
	for (int i = 0; i < proc_count(); i++)
		for (int kind = 0; kind < DLOCK_SESSION_MAP_KINDS; kind++)
			pg_atomic_init_u32(&client_of[i][kind], DLOCK_NONE);
}

/*
 * dlock_session_map_set publishes which client a session acts as; DLOCK_NONE:
 * none.  Called by the session itself.  Takes no lock and cannot fail.
 */
void
dlock_session_map_set(int procno, DlockSessionMapKind kind, uint32 client)
{
	pg_atomic_write_u32(&client_of[procno][kind], client);
}

/*
 * dlock_session_map_has returns whether a session acts as a client.  Takes no
 * lock, so the answer may be out of date.
 */
bool
dlock_session_map_has(int procno, uint32 client)
{
	for (int kind = 0; kind < DLOCK_SESSION_MAP_KINDS; kind++)
		if (pg_atomic_read_u32(&client_of[procno][kind]) == client)
			return true;
	return false;
}
