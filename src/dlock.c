/*
 * dlock.c
 *	  Module entry point: settings, shared memory, workers and hooks.
 *
 * dlock needs shared memory for everything, so it must be loaded by
 * shared_preload_libraries.  Otherwise the library can still be loaded, so
 * that CREATE EXTENSION and restoring a dump work, but the functions raise an
 * error that says what is missing.
 *
 * IDENTIFICATION
 *	  src/dlock.c
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "api/fence_api.h"
#include "base/config.h"
#include "base/mode.h"
#include "base/wait_event.h"
#include "session/access.h"
#include "session/xact.h"
#include "shared/alarm.h"
#include "shared/causes.h"
#include "shared/client.h"
#include "shared/database.h"
#include "shared/deadlocks.h"
#include "shared/ends.h"
#include "shared/partition.h"
#include "shared/pending.h"
#include "shared/resource.h"
#include "shared/session_map.h"
#include "shared/slots.h"
#include "shared/table.h"
#include "worker/hooks.h"
#include "worker/launcher.h"
#include "worker/monitor.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

static shmem_request_hook_type previous_shmem_request = NULL;
static shmem_startup_hook_type previous_shmem_startup = NULL;

/* every part of shared memory: functions for its size and its creation */
static const struct
{
	Size		(*size) (void);
	void		(*init) (void);
}			parts[] = {
	{dlock_database_shmem_size, dlock_database_shmem_init},
	{dlock_alarm_shmem_size, dlock_alarm_shmem_init},
	{dlock_table_shmem_size, dlock_table_shmem_init},
	{dlock_partition_shmem_size, dlock_partition_shmem_init},
	{dlock_resource_shmem_size, dlock_resource_shmem_init},
	{dlock_slots_shmem_size, dlock_slots_shmem_init},
	{dlock_client_shmem_size, dlock_client_shmem_init},
	{dlock_ends_shmem_size, dlock_ends_shmem_init},
	{dlock_causes_shmem_size, dlock_causes_shmem_init},
	{dlock_pending_shmem_size, dlock_pending_shmem_init},
	{dlock_session_map_shmem_size, dlock_session_map_shmem_init},
	{dlock_deadlocks_shmem_size, dlock_deadlocks_shmem_init},
};

static void
shmem_request(void)
{
	if (previous_shmem_request != NULL)
		previous_shmem_request();
	for (int i = 0; i < (int) lengthof(parts); i++)
		RequestAddinShmemSpace(parts[i].size());
	dlock_database_request_locks();
	dlock_partition_request_locks();
	dlock_client_request_locks();
	dlock_deadlocks_request_locks();
}

static void
shmem_startup(void)
{
	if (previous_shmem_startup != NULL)
		previous_shmem_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	for (int i = 0; i < (int) lengthof(parts); i++)
		parts[i].init();
	LWLockRelease(AddinShmemInitLock);
	dlock_wait_event_init();
}

/*
 * _PG_init is called when the library is loaded.
 *
 * Before pg_upgrade changes anything, it loads the libraries that the old
 * server uses into the new one.  If dlock is not preloaded there, the error
 * ends pg_upgrade, instead of every call after it.
 */
void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
	{
		if (IsBinaryUpgrade)
			dlock_access_check_preloaded();
		return;
	}

	dlock_mode_check();
	dlock_config_define();
	previous_shmem_request = shmem_request_hook;
	shmem_request_hook = shmem_request;
	previous_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = shmem_startup;
	dlock_launcher_register();
	dlock_monitor_register();
	dlock_hooks_install();
	dlock_fence_api_install();
	dlock_xact_install();
	dlock_access_set_preloaded();
}
