/*
 * view_api.c
 *	  SQL: dlock_status, dlock_list, dlock_queue, dlock_holds,
 *	  dlock_current_client.
 *
 * On a primary these functions return copies of what is in shared memory.  A
 * standby has no leases in memory; there dlock_status, dlock_list and
 * dlock_holds read the replicated table dlock.locks, and the queue is empty.
 *
 * IDENTIFICATION
 *	  src/api/view_api.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "api/args.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/config.h"
#include "base/interval.h"
#include "durable/image.h"
#include "session/access.h"
#include "shared/snapshot.h"

PG_FUNCTION_INFO_V1(dlock_status);
PG_FUNCTION_INFO_V1(dlock_list);
PG_FUNCTION_INFO_V1(dlock_queue);
PG_FUNCTION_INFO_V1(dlock_holds);
PG_FUNCTION_INFO_V1(dlock_current_client);

#define SOURCE_MEMORY "memory"
#define SOURCE_TABLE "table"

/* the time of the call, on both clocks */
typedef struct Now
{
	DlockTime	monotonic;
	TimestampTz wall;
} Now;

/* a row under construction; its values are added in the order of columns */
typedef struct Row
{
	int			n;
	Datum		values[16];
	bool		nulls[16];
} Row;

static Now
get_now(void)
{
	Now			now;

	now.monotonic = dlock_clock_now();
	now.wall = dlock_clock_wall();
	return now;
}

static void
put(Row *row, Datum value)
{
	row->nulls[row->n] = false;
	row->values[row->n++] = value;
}

static void
put_null(Row *row)
{
	row->values[row->n] = (Datum) 0;
	row->nulls[row->n++] = true;
}

static void
put_text(Row *row, const char *value)
{
	put(row, CStringGetTextDatum(value));
}

static void
put_token(Row *row, int64 token)
{
	if (token == 0)
		put_null(row);
	else
		put(row, Int64GetDatum(token));
}

static void
put_role(Row *row, Oid role)
{
	char	   *name = GetUserNameFromId(role, true);

	/* a dropped role has no name: show its OID */
	put_text(row, name != NULL ? name : psprintf("%u", role));
}

static void
put_time(Row *row, DlockTime due, Now now)
{
	if (due == DLOCK_NEVER)
		put_null(row);
	else
		put(row, TimestampTzGetDatum(dlock_clock_to_wall(due, now.monotonic,
														 now.wall)));
}

static void
put_remaining(Row *row, DlockTime due, Now now)
{
	Interval   *span;

	if (due == DLOCK_NEVER)
	{
		put_null(row);
		return;
	}
	span = palloc(sizeof(Interval));
	*span = dlock_interval_from_us(Max(due - now.monotonic, 0));
	put(row, IntervalPGetDatum(span));
}

static void
emit(FunctionCallInfo fcinfo, Row *row)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	tuplestore_putvalues(result->setResult, result->setDesc, row->values,
						 row->nulls);
	row->n = 0;
}

/*
 * Standby
 */

/*
 * from_row converts a row of dlock.locks to a copy like those of the leases in
 * shared memory.
 */
static void
from_row(const DlockRecord *record, DlockHolderCopy *copy, Now now)
{
	copy->token = record->token;
	copy->mode = record->mode;
	copy->scope = record->scope;
	copy->hold_count = record->hold_count;
	copy->acquired_at = record->acquired_at;
	copy->deadline = record->expires_at == DT_NOEND ? DLOCK_NEVER :
		now.monotonic + (record->expires_at - now.wall);
	copy->held = true;
	copy->role = record->role;
	strlcpy(copy->client, record->client, sizeof(copy->client));
}

/* a search for the holders of a resource */
typedef struct Search
{
	const DlockKey *key;
	DlockResourceCopy *copy;
	int			capacity;		/* of the holders in the copy */
	Now			now;
} Search;

/*
 * add_if_holder adds the lease of a row to the copy, if it is on the resource.
 */
static void
add_if_holder(const DlockImageRow *row, void *arg)
{
	Search	   *search = arg;
	DlockResourceCopy *copy = search->copy;
	const DlockKey *key = search->key;

	if (row->kind != DLOCK_IMAGE_LEASE ||
		strlen(row->record.resource) != (size_t) key->len ||
		memcmp(row->record.resource, key->name, key->len) != 0)
		return;
	if (copy->nholders == search->capacity)
	{
		search->capacity *= 2;
		copy->holders = repalloc(copy->holders,
								 search->capacity * sizeof(DlockHolderCopy));
	}
	from_row(&row->record, &copy->holders[copy->nholders++], search->now);
}

/*
 * standby_resource collects the holders of a resource from the table's rows.
 * Returns whether there are any.
 */
static bool
standby_resource(const DlockKey *key, Now now, DlockResourceCopy *copy)
{
	Search		search = {.key = key,.copy = copy,.capacity = 8,.now = now};

	copy->holders = palloc(search.capacity * sizeof(DlockHolderCopy));
	copy->nholders = 0;
	copy->nwaiters = 0;
	dlock_image_read_locks(add_if_holder, &search, NULL);
	return copy->nholders > 0;
}

/*
 * Functions
 */

/*
 * comes_before returns whether dlock_status must show a holder rather than
 * another one.  It shows the holder with the strongest mode, and of several of
 * these the newest.
 */
static bool
comes_before(const DlockHolderCopy *a, const DlockHolderCopy *b)
{
	if (a->mode != b->mode)
		return dlock_mode_covers(a->mode, b->mode);
	return a->token > b->token;
}

static void
put_status(Row *row, const DlockKey *key, const DlockResourceCopy *copy,
		   bool found, Now now)
{
	const DlockHolderCopy *first = NULL;

	for (int i = 0; found && i < copy->nholders; i++)
		if (first == NULL || comes_before(&copy->holders[i], first))
			first = &copy->holders[i];

	put(row, PointerGetDatum(cstring_to_text_with_len(key->name, key->len)));
	if (first == NULL)
	{
		put_text(row, "free");
		put_null(row);
		put(row, Int32GetDatum(0));
		put(row, Int32GetDatum(found ? copy->nwaiters : 0));
		for (int i = 0; i < 4; i++)
			put_null(row);
		return;
	}
	put_text(row, dlock_mode_name(first->mode));
	put_text(row, dlock_mode_name(first->mode));
	put(row, Int32GetDatum(copy->nholders));
	put(row, Int32GetDatum(copy->nwaiters));
	put_token(row, first->token);
	put_text(row, first->client);
	put_time(row, first->deadline, now);
	put_remaining(row, first->deadline, now);
}

/*
 * read_resource copies a resource, on a primary from shared memory, on a
 * standby from the table.  Returns false if it has no holders and no waiters.
 */
static bool
read_resource(const DlockKey *key, DlockResourceCopy *copy, Now *now)
{
	bool		found;

	dlock_snapshot_init(copy);
	if (RecoveryInProgress())
	{
		*now = get_now();
		return standby_resource(key, *now, copy);
	}
	found = dlock_snapshot_by_name(dlock_access_gate().db, key, copy);
	*now = get_now();
	return found;
}

/*
 * dlock_status returns the state of one resource.
 */
Datum
dlock_status(PG_FUNCTION_ARGS)
{
	DlockKey	key;
	TupleDesc	desc;
	DlockResourceCopy copy;
	Row			row = {0};
	Now			now;
	bool		found;

	dlock_access_check_preloaded();
	key = dlock_args_resource(fcinfo, 0);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	found = read_resource(&key, &copy, &now);
	put_status(&row, &key, &copy, found, now);
	put_text(&row, RecoveryInProgress() ? SOURCE_TABLE : SOURCE_MEMORY);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, row.values,
													  row.nulls)));
}

static void
emit_holder(FunctionCallInfo fcinfo, const char *resource,
			const DlockHolderCopy *holder, int waiters, const char *source,
			Now now)
{
	Row			row = {0};

	put_text(&row, resource);
	put_token(&row, holder->token);
	put_text(&row, holder->client);
	put_role(&row, holder->role);
	put_text(&row, dlock_mode_name(holder->mode));
	put_text(&row, dlock_scope_name(holder->scope));
	put(&row, Int32GetDatum(holder->hold_count));
	put(&row, TimestampTzGetDatum(holder->acquired_at));
	put_time(&row, holder->deadline, now);
	put_remaining(&row, holder->deadline, now);
	put(&row, Int32GetDatum(waiters));
	put_text(&row, source);
	emit(fcinfo, &row);
}

static bool
is_listed(const char *client, const DlockHolderCopy *holder)
{
	return client == NULL || strcmp(client, holder->client) == 0;
}

/* a list of leases that is being made */
typedef struct Listing
{
	FunctionCallInfo fcinfo;
	const char *client;			/* NULL: leases of all clients */
	Now			now;
} Listing;

static void
list_row(const DlockImageRow *row, void *arg)
{
	const Listing *listing = arg;
	DlockHolderCopy holder;

	if (row->kind != DLOCK_IMAGE_LEASE)
		return;
	from_row(&row->record, &holder, listing->now);
	if (is_listed(listing->client, &holder))
		emit_holder(listing->fcinfo, row->record.resource, &holder, 0,
					SOURCE_TABLE, listing->now);
}

static void
list_table(FunctionCallInfo fcinfo, const char *client)
{
	Listing		listing = {.fcinfo = fcinfo,.client = client,.now = get_now()};

	dlock_image_read_locks(list_row, &listing, NULL);
}

static void
list_memory(FunctionCallInfo fcinfo, const char *client)
{
	DlockDatabase *db = dlock_access_gate().db;
	DlockResourceCopy copy;
	uint32		slots = dlock_snapshot_slots();

	dlock_snapshot_init(&copy);
	for (uint32 slot = 0; slot < slots; slot++)
	{
		Now			now;

		CHECK_FOR_INTERRUPTS();
		if (!dlock_snapshot_by_slot(db, slot, &copy))
			continue;
		now = get_now();
		for (int i = 0; i < copy.nholders; i++)
			if (is_listed(client, &copy.holders[i]))
				emit_holder(fcinfo, copy.resource, &copy.holders[i],
							copy.nwaiters, SOURCE_MEMORY, now);
	}
}

/*
 * dlock_list returns the leases of one client, or of all clients.
 */
Datum
dlock_list(PG_FUNCTION_ARGS)
{
	char	   *client;

	dlock_access_check_preloaded();
	client = dlock_args_client(fcinfo, 0);
	InitMaterializedSRF(fcinfo, 0);
	if (RecoveryInProgress())
		list_table(fcinfo, client);
	else
		list_memory(fcinfo, client);
	return (Datum) 0;
}

static void
emit_waiters(FunctionCallInfo fcinfo, const DlockResourceCopy *copy)
{
	Now			now = get_now();

	for (int i = 0; i < copy->nwaiters; i++)
	{
		const DlockWaiterCopy *waiter = &copy->waiters[i];
		Row			row = {0};

		put_text(&row, copy->resource);
		put(&row, Int32GetDatum(i + 1));
		put(&row, Int64GetDatum(waiter->ticket));
		put_text(&row, waiter->client);
		put_role(&row, waiter->role);
		put_text(&row, dlock_mode_name(waiter->mode));
		put(&row, Int32GetDatum(waiter->priority));
		put(&row, Int32GetDatum(waiter->pid));
		put(&row, TimestampTzGetDatum(waiter->waiting_since));
		put_time(&row, waiter->deadline, now);
		emit(fcinfo, &row);
	}
}

/*
 * dlock_queue returns the waiters for one resource, or for all resources, in
 * the order in which they will be served.
 */
Datum
dlock_queue(PG_FUNCTION_ARGS)
{
	DlockDatabase *db;
	DlockResourceCopy copy;

	dlock_access_check_preloaded();
	InitMaterializedSRF(fcinfo, 0);
	/* on a standby no session can wait for a lease */
	if (RecoveryInProgress())
		return (Datum) 0;
	dlock_snapshot_init(&copy);
	if (!PG_ARGISNULL(0))
	{
		DlockKey	key = dlock_args_resource(fcinfo, 0);

		db = dlock_access_gate().db;
		if (dlock_snapshot_by_name(db, &key, &copy))
			emit_waiters(fcinfo, &copy);
		return (Datum) 0;
	}
	db = dlock_access_gate().db;
	for (uint32 slot = 0, slots = dlock_snapshot_slots(); slot < slots; slot++)
	{
		CHECK_FOR_INTERRUPTS();
		if (dlock_snapshot_by_slot(db, slot, &copy))
			emit_waiters(fcinfo, &copy);
	}
	return (Datum) 0;
}

/*
 * may_be_a_name returns whether an argument is valid as a name.
 */
static bool
may_be_a_name(FunctionCallInfo fcinfo, int n)
{
	int			len = PG_ARGISNULL(n) ? 0 :
		(int) VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(n));

	return len > 0 && len <= DLOCK_NAME_MAX;
}

/*
 * dlock_holds returns whether the caller holds a resource.  It returns false,
 * and does not throw, for a resource name that is not valid, and for a client
 * that the caller may not act as.
 */
Datum
dlock_holds(PG_FUNCTION_ARGS)
{
	const char *me;
	DlockKey	key;
	DlockResourceCopy copy;
	Now			now;

	dlock_access_check_preloaded();
	if (!may_be_a_name(fcinfo, 0))
		PG_RETURN_BOOL(false);
	me = PG_ARGISNULL(2) ? dlock_access_my_name() : dlock_args_client(fcinfo, 2);
	if (me == NULL)
		PG_RETURN_BOOL(false);
	key = dlock_args_resource(fcinfo, 0);
	if (!read_resource(&key, &copy, &now))
		PG_RETURN_BOOL(false);
	for (int i = 0; i < copy.nholders; i++)
	{
		const DlockHolderCopy *holder = &copy.holders[i];

		if (holder->held && strcmp(holder->client, me) == 0 &&
			(PG_ARGISNULL(1) || holder->token == PG_GETARG_INT64(1)))
			PG_RETURN_BOOL(holder->deadline > now.monotonic &&
						   dlock_access_may_act(holder->role));
	}
	PG_RETURN_BOOL(false);
}

/*
 * dlock_current_client returns the name of the client that calls without a
 * client argument act as.  If that would be the anonymous client, it returns
 * NULL on a standby, and if dlock.require_client refuses such calls.
 */
Datum
dlock_current_client(PG_FUNCTION_ARGS)
{
	dlock_access_check_preloaded();
	if (dlock_access_is_anonymous(NULL))
	{
		if (RecoveryInProgress() || dlock_require_client)
			PG_RETURN_NULL();
		(void) dlock_access_client(dlock_access_gate(), NULL, true);
	}
	PG_RETURN_TEXT_P(cstring_to_text(dlock_access_my_name()));
}
