/*
 * config.c
 *	  The settings (GUC variables), with their defaults and limits.
 *
 * IDENTIFICATION
 *	  src/base/config.c
 */
#include "postgres.h"

#include <limits.h>

#include "mb/pg_wchar.h"
#include "utils/guc.h"

#include "base/config.h"
#include "base/debug_point.h"
#include "base/key.h"

int			dlock_max_leases;
int			dlock_max_waiters;
int			dlock_max_clients;
int			dlock_max_databases;
int			dlock_default_ttl;
int			dlock_max_ttl;
bool		dlock_durable;
bool		dlock_require_client;
char	   *dlock_client;
int			dlock_deadlock_timeout;
int			dlock_deadlock_policy;
int			dlock_quorum_timeout;
int			dlock_client_retention;

static const struct config_enum_entry policy_options[] = {
	{"detect", DLOCK_POLICY_DETECT, false},
	{"wait_die", DLOCK_POLICY_WAIT_DIE, false},
	{"no_wait", DLOCK_POLICY_NO_WAIT, false},
	{NULL, 0, false}
};

static bool
check_client(char **newval, void **extra, GucSource source)
{
	if (strlen(*newval) > DLOCK_NAME_MAX)
	{
		GUC_check_errdetail("A client name can have at most %d bytes.",
							DLOCK_NAME_MAX);
		return false;
	}
	return true;
}

/*
 * Unless NULL, this is called with the new value of dlock.client before the
 * value takes effect.
 */
void		(*dlock_client_changes) (const char *name) = NULL;

static void
assign_client(const char *newval, void *extra)
{
	if (dlock_client_changes != NULL)
		dlock_client_changes(newval);
}

/*
 * define_size defines a setting that determines the size of shared memory.
 */
static void
define_size(const char *name, const char *short_desc, int *variable,
			int boot_value, int min_value, int max_value)
{
	DefineCustomIntVariable(name, short_desc, NULL, variable,
							boot_value, min_value, max_value,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
}

static void
define_sizes(void)
{
	define_size("dlock.max_leases",
				"Sets the maximum number of leases held or waited for at once.",
				&dlock_max_leases,
				100000, 16, 16777216);
	define_size("dlock.max_waiters",
				"Sets the maximum number of waiters at once.",
				&dlock_max_waiters,
				10000, 4, 1048576);
	define_size("dlock.max_clients",
				"Sets the maximum number of clients that hold or wait at once.",
				&dlock_max_clients,
				25000, 16, 16777216);
	define_size("dlock.max_databases",
				"Sets the maximum number of databases that use dlock at once.",
				&dlock_max_databases,
				64, 4, 4096);
}

#ifdef DLOCK_DEBUG_POINTS

int			dlock_debug_stop;
bool		dlock_debug_no_barrier;

static const struct config_enum_entry stop_point_options[] = {
	{"none", DLOCK_STOP_NONE, false},
	{"batch_collected", DLOCK_STOP_BATCH_COLLECTED, false},
	{"part_collected", DLOCK_STOP_PART_COLLECTED, false},
	{"rows_written", DLOCK_STOP_ROWS_WRITTEN, false},
	{"rows_flushed", DLOCK_STOP_ROWS_FLUSHED, false},
	{"grant_flushed", DLOCK_STOP_GRANT_FLUSHED, false},
	{"grant_acknowledged", DLOCK_STOP_GRANT_ACKNOWLEDGED, false},
	{"leases_loaded", DLOCK_STOP_LEASES_LOADED, false},
	{"writer_starting", DLOCK_STOP_WRITER_STARTING, false},
	{"slots_trimmed", DLOCK_STOP_SLOTS_TRIMMED, false},
	{"writer_idle", DLOCK_STOP_WRITER_IDLE, false},
	{"slot_seen", DLOCK_STOP_SLOT_SEEN, false},
	{"slot_checked", DLOCK_STOP_SLOT_CHECKED, false},
	{"client_looked_up", DLOCK_STOP_CLIENT_LOOKED_UP, false},
	{"clients_chosen", DLOCK_STOP_CLIENTS_CHOSEN, false},
	{"extension_changed", DLOCK_STOP_EXTENSION_CHANGED, false},
	{"deadlock_suspected", DLOCK_STOP_DEADLOCK_SUSPECTED, false},
	{"deadlock_confirmed", DLOCK_STOP_DEADLOCK_CONFIRMED, false},
	{NULL, 0, false}
};

#endif							/* DLOCK_DEBUG_POINTS */

/*
 * define_debug_points defines the settings that only a build for tests has.
 */
static void
define_debug_points(void)
{
#ifdef DLOCK_DEBUG_POINTS
	DefineCustomEnumVariable("dlock.debug_stop",
							 "Makes processes stop at a named point, for tests.",
							 NULL,
							 &dlock_debug_stop,
							 DLOCK_STOP_NONE, stop_point_options,
							 PGC_SUSET, GUC_NOT_IN_SAMPLE,
							 NULL, NULL, NULL);
	DefineCustomBoolVariable("dlock.debug_no_barrier",
							 "Answers renewals before the standbys have confirmed them, for tests.",
							 "This gives up the safety of renewals on a primary that has been replaced.",
							 &dlock_debug_no_barrier,
							 false,
							 PGC_SUSET, GUC_NOT_IN_SAMPLE,
							 NULL, NULL, NULL);
#endif
}

/*
 * dlock_config_define registers all settings with the server.
 */
void
dlock_config_define(void)
{
	define_sizes();
	DefineCustomIntVariable("dlock.default_ttl",
							"Sets the duration of leases for which no \"ttl\" is given.",
							NULL,
							&dlock_default_ttl,
							30 * 1000, 1, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("dlock.max_ttl",
							"Sets the maximum \"ttl\" of a lease.",
							NULL,
							&dlock_max_ttl,
							24 * 60 * 60 * 1000, 1, INT_MAX,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomBoolVariable("dlock.durable",
							 "Waits until a grant is flushed before it is acknowledged.",
							 "When off, a crash may lose a lease that was acknowledged a moment before.",
							 &dlock_durable,
							 true,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("dlock.client",
							   "Sets the name of the client that the session acts as.",
							   "When empty, each session is its own client.",
							   &dlock_client,
							   "",
							   PGC_USERSET, 0, check_client, assign_client, NULL);
	DefineCustomBoolVariable("dlock.require_client",
							 "Refuses calls that name no client.",
							 "Recommended behind a transaction pooler, where a session serves many programs.",
							 &dlock_require_client,
							 false,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("dlock.deadlock_timeout",
							"Sets the time between two searches for deadlocks while any client waits.",
							"Waits and leases that end on their own within this time are ignored.",
							&dlock_deadlock_timeout,
							1000, 1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomEnumVariable("dlock.deadlock_policy",
							 "Sets how to handle a request that would have to wait.",
							 NULL,
							 &dlock_deadlock_policy,
							 DLOCK_POLICY_DETECT, policy_options,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("dlock.quorum_timeout",
							"Sets how long leases may wait for synchronous standbys before requests fail.",
							"A value of 0 lets requests wait as long as their own timeout allows.",
							&dlock_quorum_timeout,
							5 * 1000, 0, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("dlock.client_retention",
							"Sets how long an unused named client is remembered.",
							"A value of 0 keeps clients forever.",
							&dlock_client_retention,
							30 * 24 * 60 * 60, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	define_debug_points();
	MarkGUCPrefixReserved("dlock");
}
