/*
 * access.c
 *	  Permission to use dlock, and the client that a call acts as.
 *
 * The gate is the database's shared state while all its leases are in memory.
 * A call that arrives before the writer has loaded them waits for at most
 * READY_TIMEOUT.
 *
 * A client belongs to the role that first used its name.  Only roles with the
 * privileges of that role may act as the client.  Clients in use are in shared
 * memory; any other client is looked up in dlock.clients.  The writer process
 * inserts the row of a new client together with its first lease, and deletes
 * rows that have not been used for dlock.client_retention.
 *
 * IDENTIFICATION
 *	  src/session/access.c
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "replication/walreceiver.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/spin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "base/config.h"
#include "base/debug_point.h"
#include "base/message.h"
#include "durable/client_rows.h"
#include "durable/extension.h"
#include "session/access.h"
#include "shared/client.h"
#include "shared/session_map.h"

/* how long a call waits for the writer to load the leases */
#define READY_TIMEOUT (15 * USECS_PER_SEC)

/*
 * The same while the server has no worker slot for the writer.  Slots that
 * parallel queries have taken are free again soon.
 */
#define WORKER_TIMEOUT (3 * USECS_PER_SEC)

/* how long a database that the writer has given up is left alone */
#define WANT_AGAIN_TIME USECS_PER_SEC

typedef struct Pinned
{
	bool		valid;
	uint32		idx;
	uint32		epoch;
	char		name[DLOCK_NAME_MAX + 1];
} Pinned;

static bool preloaded = false;
static bool initialized = false;
static void (*first_use) (void) = NULL;
static DlockGate my_gate;
static Pinned last_named;		/* the named client of the last call */
static Pinned anonymous;		/* the session's own client */
static int	anonymous_count = 0;
static bool acts_as_named = false;	/* is DLOCK_SESSION_MAP_NAMED set? */
static bool named_by_setting;	/* by dlock.client, not by an argument */

void
dlock_access_set_preloaded(void)
{
	preloaded = true;
}

/*
 * dlock_access_check_preloaded raises an error if the library was not loaded
 * at server start, because then there is no shared memory for dlock.
 */
void
dlock_access_check_preloaded(void)
{
	if (!preloaded)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("dlock must be loaded via \"shared_preload_libraries\""),
				 errhint("Add dlock to \"shared_preload_libraries\" and restart the server.")));
}

/*
 * act_as publishes in the session map the named client that this session acts
 * as; DLOCK_NONE means none.  The deadlock detector reads the map.
 */
static void
act_as(uint32 client, bool by_setting)
{
	if (client != DLOCK_NONE || acts_as_named)
		dlock_session_map_set(MyProcNumber, DLOCK_SESSION_MAP_NAMED, client);
	acts_as_named = client != DLOCK_NONE;
	named_by_setting = by_setting;
}

/*
 * client_changes is called when dlock.client gets a new value.  If the session
 * acts as the client that the old value named, it stops doing so: SET LOCAL
 * ends with the transaction, and behind a pooler the next transaction may run
 * for another client.  Does not throw.
 */
static void
client_changes(const char *name)
{
	if (acts_as_named && named_by_setting && strcmp(name, last_named.name) != 0)
		act_as(DLOCK_NONE, false);
}

static void
unpin(Pinned *pinned)
{
	if (pinned->valid)
	{
		if (pinned == &last_named)
			act_as(DLOCK_NONE, false);
		else
			dlock_session_map_set(MyProcNumber, DLOCK_SESSION_MAP_OWN, DLOCK_NONE);
		dlock_client_unpin(pinned->idx);
	}
	pinned->valid = false;
}

/*
 * end_transaction is called at the end of each transaction.  A session acts as
 * a client that was named by an argument until the transaction ends; behind a
 * pooler the next transaction may run for another client.  The holds of scope
 * session need no client here: they are counted by session.
 */
static void
end_transaction(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
		event != XACT_EVENT_PREPARE)
		return;
	if (acts_as_named && !named_by_setting)
		act_as(DLOCK_NONE, false);
}

/*
 * dlock_access_forget unpins the session's clients.  From now on the session
 * counts as a new one, with a new anonymous client.
 */
void
dlock_access_forget(void)
{
	unpin(&last_named);
	unpin(&anonymous);
}

static void
forget_at_exit(int code, Datum arg)
{
	dlock_access_forget();
}

/*
 * dlock_access_on_first_use sets a function that each process calls when it
 * uses dlock for the first time.  Exit callbacks that the function registers
 * run before forget_at_exit, so the clients are still pinned then.
 */
void
dlock_access_on_first_use(void (*callback) (void))
{
	first_use = callback;
}

static void
not_ready(const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("dlock is not ready in database \"%s\"",
					dlock_message_text(get_database_name(MyDatabaseId))),
			 errdetail_internal("%s", detail),
			 errhint("%s", hint)));
}

/*
 * gave_up raises the error that the leases were not loaded in time.  db is
 * NULL if no process does that.
 */
static void
gave_up(DlockDatabase *db)
{
	if (db != NULL && dlock_database_lacks_worker(db))
		not_ready("The server has no free worker slot for the writer process.",
				  "You might need to increase \"max_worker_processes\".");
	not_ready("The writer process has not loaded the leases yet.",
			  "See the server log.");
}

/*
 * check_extension throws unless the extension is there for all processes, in a
 * version that the library works with.
 */
static void
check_extension(void)
{
	switch (dlock_extension_presence())
	{
		case DLOCK_ABSENT:
			not_ready("The extension was dropped.",
					  "Create it with CREATE EXTENSION.");
			break;
		case DLOCK_CREATED_HERE:
			not_ready("The extension was created by the current transaction.",
					  "Commit the transaction first.");
			break;
		case DLOCK_PRESENT:
			break;
	}
	(void) dlock_extension_check(ERROR);
}

/*
 * want_database asks for the writer of this database.  Returns its entry, and
 * sets *epoch to 0 if the gate is shut.
 */
static DlockDatabase *
want_database(uint32 *epoch)
{
	DlockDatabase *db = dlock_database_want(MyDatabaseId, epoch);

	if (db == NULL)
		not_ready("Too many databases use dlock.",
				  "You might need to increase \"dlock.max_databases\".");
	return db;
}

/*
 * wait_for_opening waits until the gate is open, but not longer than until the
 * given time.  Returns the entry, and sets *epoch.
 *
 * If the writer gives the database up, it has not found the extension, or does
 * not accept the version.  We look again, too, and throw.  If we see what it
 * does not, such as an update of this transaction, another writer is asked for
 * a second later.
 */
static DlockDatabase *
wait_for_opening(DlockTime until, uint32 *epoch)
{
	DlockTime	worker_until = DLOCK_NEVER;
	DlockTime	want_at = DLOCK_NEVER;
	DlockDatabase *db;

	while (db = dlock_database_look(MyDatabaseId, epoch), *epoch == 0)
	{
		DlockTime	now = dlock_clock_now();

		if (db == NULL && want_at == DLOCK_NEVER)
		{
			/* a wait for a lock resets the latch: join again, look again */
			dlock_database_wait_done();
			check_extension();
			want_at = dlock_clock_after(now, WANT_AGAIN_TIME);
			continue;
		}
		if (db == NULL || !dlock_database_lacks_worker(db))
			worker_until = DLOCK_NEVER;
		else if (worker_until == DLOCK_NEVER)
			worker_until = dlock_clock_after(now, WORKER_TIMEOUT);
		if (db != NULL)
			want_at = DLOCK_NEVER;
		if (!dlock_database_wait(Min(Min(until, worker_until), want_at)))
		{
			if (want_at > Min(until, worker_until))
				gave_up(db);
			(void) want_database(epoch);
			want_at = DLOCK_NEVER;
		}
		CHECK_FOR_INTERRUPTS();
	}
	dlock_database_wait_done();
	return db;
}

/*
 * wait_for_gate waits until the leases of this database are loaded, and then
 * sets my_gate.  Throws if that takes longer than READY_TIMEOUT, if there is
 * no worker slot for WORKER_TIMEOUT, or if the extension was dropped or does
 * not fit the library.  Then no writer opens the gate, so calls that find it
 * open need not look.
 */
static void
wait_for_gate(void)
{
	DlockTime	until = dlock_clock_after(dlock_clock_now(), READY_TIMEOUT);
	DlockDatabase *db;
	uint32		epoch;

	check_extension();
	db = want_database(&epoch);
	if (epoch == 0)
		db = wait_for_opening(until, &epoch);
	my_gate.db = db;
	my_gate.epoch = epoch;
}

/*
 * report_recovery raises the error for calls on a standby.  The hint names the
 * server that this one replicates from: the primary, or, with cascading
 * replication, a standby that is closer to the primary.
 */
static void
report_recovery(void)
{
	char		host[NI_MAXHOST];
	int			port;
	bool		known;

	SpinLockAcquire(&WalRcv->mutex);
	known = WalRcv->ready_to_display && WalRcv->sender_host[0] != '\0';
	strlcpy(host, WalRcv->sender_host, sizeof(host));
	port = WalRcv->sender_port;
	SpinLockRelease(&WalRcv->mutex);

	ereport(ERROR,
			(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
			 errmsg("cannot change leases during recovery"),
			 known ? errhint("Connect to the primary server. This server replicates from host \"%s\", port %d.",
							 dlock_message_text(host), port) :
			 errhint("Connect to the primary server, for example with \"target_session_attrs=read-write\".")));
}

/*
 * dlock_access_gate checks that dlock can be used here and now, and returns
 * this database's shared state.  Throws if dlock is not preloaded or not
 * ready, in a parallel worker, and during recovery.
 */
DlockGate
dlock_access_gate(void)
{
	dlock_access_check_preloaded();
	if (IsParallelWorker())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_STATE),
				 errmsg("cannot use dlock in a parallel worker")));
	if (RecoveryInProgress())
		report_recovery();
	if (!initialized)
	{
		before_shmem_exit(forget_at_exit, (Datum) 0);
		RegisterXactCallback(end_transaction, NULL);
		dlock_client_changes = client_changes;
		first_use();
		initialized = true;
	}
	if (my_gate.db == NULL ||
		!dlock_database_is_open(my_gate.db, my_gate.epoch))
		wait_for_gate();
	return my_gate;
}

static void
refuse_role(Oid client_role, const char *name)
{
	char	   *role = GetUserNameFromId(client_role, true);

	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for dlock client \"%s\"",
					dlock_message_text(name)),
			 role == NULL ? errdetail("The role that the client belongs to no longer exists.") :
			 dlock_message_detail(psprintf("The client belongs to role \"%s\".",
										   role))));
}

/*
 * dlock_access_may_act returns whether the caller may act as a client that
 * belongs to the role.
 */
bool
dlock_access_may_act(Oid role)
{
	return role == GetUserId() || has_privs_of_role(GetUserId(), role);
}

static void
check_role(const DlockClient *client, const char *name)
{
	if (!dlock_access_may_act(client->row.role))
		refuse_role(client->row.role, name);
}

/*
 * dlock_access_check_holder throws unless the caller may rely on a lease whose
 * client belongs to the role.  Inside a SECURITY DEFINER function, the lease
 * may belong to a client of the function's owner or of the function's caller.
 */
void
dlock_access_check_holder(Oid role, const char *name)
{
	if (!dlock_access_may_act(role) &&
		!has_privs_of_role(GetOuterUserId(), role))
		refuse_role(role, name);
}

static void
check_name(const char *name)
{
	if (name[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("client name must not be empty")));
	if (strlen(name) > DLOCK_NAME_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("client name is too long"),
				 errdetail("The name has %zu bytes; at most %d are allowed.",
						   strlen(name), DLOCK_NAME_MAX)));
}

static void
out_of_clients(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("out of dlock client slots"),
			 errhint("You might need to increase \"dlock.max_clients\".")));
}

/*
 * find_named returns the client with that name, pinned.  If there is none, it
 * creates the client if "create" is set, and otherwise returns DLOCK_NONE.
 * Throws if a client must be created and there is no free slot.
 *
 * Between our read of dlock.clients and the creation of the entry, another
 * backend may have created, used and evicted an entry of that name, and the
 * writer may have changed its row.  Then the row that we have read is out of
 * date; dlock_client_create notices that evictions have taken place since
 * dlock_client_find, returns DLOCK_CLIENT_AGAIN, and we start over.
 */
static uint32
find_named(DlockGate gate, const char *name, bool create)
{
	DlockKey	key = dlock_key_make(MyDatabaseId, name, (int) strlen(name));
	uint32		idx;
	uint32		evictions;
	bool		created;

	do
	{
		DlockClientRow row = {.id = 0,.role = GetUserId(),.used_at = 0};

		idx = dlock_client_find(&key, gate.epoch, GetUserId(), &evictions);
		if (idx != DLOCK_NONE)
			return idx;
		if (!dlock_client_rows_find(name, &row) && !create)
			return DLOCK_NONE;
		DLOCK_DEBUG_POINT(DLOCK_STOP_CLIENT_LOOKED_UP);
		idx = dlock_client_create(&key, gate.epoch, &row, true, &evictions,
								  &created);
	} while (idx == DLOCK_CLIENT_AGAIN);

	/*
	 * Without "create" we need an entry only to look at the client's leases.
	 * A client without an entry in shared memory has none, so a lack of slots
	 * does no harm then.
	 */
	if (idx == DLOCK_NONE && create)
		out_of_clients();
	return idx;
}

/*
 * named_client makes the session act as the client with that name, and returns
 * the client, or DLOCK_NONE as find_named does.  Throws if the caller lacks
 * the privileges of the client's role.  The client stays pinned until a call
 * names another one, because most sessions use only one.
 */
static uint32
named_client(DlockGate gate, const char *name, bool by_setting, bool create)
{
	if (!last_named.valid || last_named.epoch != gate.epoch ||
		strcmp(last_named.name, name) != 0)
	{
		uint32		idx;

		check_name(name);
		unpin(&last_named);
		idx = find_named(gate, name, create);
		if (idx == DLOCK_NONE)
			return DLOCK_NONE;
		last_named.valid = true;
		last_named.idx = idx;
		last_named.epoch = gate.epoch;
		strlcpy(last_named.name, name, sizeof(last_named.name));
	}
	check_role(dlock_client_at(last_named.idx), name);
	act_as(last_named.idx, by_setting);
	return last_named.idx;
}

/*
 * anonymous_client returns the session's own client, and creates it first if
 * necessary.  The client's name contains the process id and the start time of
 * the process, so that no two sessions ever have the same name.
 */
static uint32
anonymous_client(DlockGate gate)
{
	while (!anonymous.valid || anonymous.epoch != gate.epoch)
	{
		DlockClientRow row = {.id = 0,.role = GetUserId(),.used_at = 0};
		DlockKey	key;
		bool		created;

		unpin(&anonymous);
		snprintf(anonymous.name, sizeof(anonymous.name),
				 "session/%d/%llx/%d", MyProcPid,
				 (unsigned long long) MyStartTimestamp, ++anonymous_count);
		key = dlock_key_make(MyDatabaseId, anonymous.name,
							 (int) strlen(anonymous.name));
		anonymous.idx = dlock_client_create(&key, gate.epoch, &row, false,
											NULL, &created);
		if (anonymous.idx == DLOCK_NONE)
			out_of_clients();
		anonymous.epoch = gate.epoch;
		anonymous.valid = true;
		dlock_session_map_set(MyProcNumber, DLOCK_SESSION_MAP_OWN, anonymous.idx);
		/* a named client has that very name already: take the next number */
		if (!created)
			unpin(&anonymous);
	}
	check_role(dlock_client_at(anonymous.idx), anonymous.name);
	return anonymous.idx;
}

/*
 * dlock_access_is_anonymous returns whether a call with that client argument
 * (NULL if none is given) acts as the session's own client.
 */
bool
dlock_access_is_anonymous(const char *name)
{
	return name == NULL && dlock_client[0] == '\0';
}

/*
 * dlock_access_my_name returns the name of the client that calls without a
 * client argument act as, or NULL if that is the session's own client and it
 * has not been created yet.
 */
const char *
dlock_access_my_name(void)
{
	if (dlock_client[0] != '\0')
		return dlock_client;
	return anonymous.valid && anonymous.epoch == my_gate.epoch ?
		anonymous.name : NULL;
}

static void
refuse_anonymous(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("client name is required"),
			 errdetail("The call names no client, \"dlock.client\" is empty, and \"dlock.require_client\" is on."),
			 errhint("Set \"dlock.client\", or pass the argument \"client\".")));
}

/*
 * dlock_access_client returns the client that a call acts as: the one given by
 * name, else the one that dlock.client names, else the session's own.  If the
 * named client does not exist, it is created if "create" is set; otherwise the
 * function returns DLOCK_NONE, and the client has no leases.  Throws if the
 * caller may not act as the client.
 */
uint32
dlock_access_client(DlockGate gate, const char *name, bool create)
{
	if (name == NULL && dlock_client[0] != '\0')
		return named_client(gate, dlock_client, true, create);
	if (name != NULL)
		return named_client(gate, name, false, create);
	if (dlock_require_client)
		refuse_anonymous();
	return anonymous_client(gate);
}

/*
 * dlock_access_is_me returns whether the client of a lease is the one that a
 * call without a client argument acts as.
 */
bool
dlock_access_is_me(DlockGate gate, uint32 client, const char *name)
{
	if (dlock_client[0] != '\0')
		return strcmp(dlock_client, name) == 0;
	return anonymous.valid && anonymous.epoch == gate.epoch &&
		anonymous.idx == client;
}
