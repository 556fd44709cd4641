/*
 * session_map.c
 *	  As which clients each session acts.
 *
 * A session that waits for a lock of PostgreSQL keeps the leases of its clients
 * from being released; the search for deadlocks has to know whose these are.
 * Every session tells that itself, as long as it acts as the client.  Holds that
 * end with the session are counted by session, and need no telling.
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
 * dlock_session_map_set says as which client a session acts; DLOCK_NONE: as none.
 * Called by the session itself.
 */
void
dlock_session_map_set(int procno, DlockSessionMapKind kind, uint32 client)
{
	pg_atomic_write_u32(&client_of[procno][kind], client);
}

/*
 * dlock_session_map_has tells whether a session acts as a client.
 */
bool
dlock_session_map_has(int procno, uint32 client)
{
	for (int kind = 0; kind < DLOCK_SESSION_MAP_KINDS; kind++)
		if (pg_atomic_read_u32(&client_of[procno][kind]) == client)
			return true;
	return false;
}
