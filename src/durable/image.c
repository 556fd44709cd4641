/*
 * image.c
 *	  Reading what dlock's tables say.
 *
 * The writer reads them to load the leases, and a session on a standby to show
 * them.
 *
 * IDENTIFICATION
 *	  src/durable/image.c
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/interval.h"
#include "durable/catalog.h"
#include "durable/extension.h"
#include "durable/image.h"
#include "durable/tables.h"

/*
 * take_apart returns the columns of a row, in the order of the shape.
 */
static void
take_apart(const DlockShape *shape, const AttrNumber *numbers, HeapTuple tuple,
		   TupleDesc desc, Datum *values, bool *nulls)
{
	for (int c = 0; c < shape->ncolumns; c++)
	{
		values[c] = heap_getattr(tuple, numbers[c], desc, &nulls[c]);
		if (nulls[c] && !shape->columns[c].nullable)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("row (%u,%u) of table \"dlock.%s\" has a null in column \"%s\"",
							ItemPointerGetBlockNumber(&tuple->t_self),
							ItemPointerGetOffsetNumber(&tuple->t_self),
							shape->table, shape->columns[c].name)));
	}
}

static void
read_name(Datum value, char *name)
{
	text_to_cstring_buffer(DatumGetTextPP(value), name, DLOCK_NAME_MAX + 1);
}

/*
 * read_client fills in a client from a row of dlock.locks.
 */
static void
read_client(const Datum *values, DlockClientRecord *client)
{
	client->slot = DLOCK_NONE;
	client->known = false;
	client->row.id = 0;
	client->row.role = DatumGetObjectId(values[Anum_locks_owner_role - 1]);
	client->row.used_at = 0;
	read_name(values[Anum_locks_owner - 1], client->name);
}

/*
 * read_lease fills in a record from a row of dlock.locks.
 */
static void
read_lease(const Datum *values, const bool *nulls, DlockRecord *record)
{
	char		word[DLOCK_NAME_MAX + 1];

	record->slot = (uint32) DatumGetInt64(values[Anum_locks_id - 1]);
	record->held = true;
	record->token = DatumGetInt64(values[Anum_locks_token - 1]);
	record->client_id = nulls[Anum_locks_owner_id - 1] ? 0 :
		DatumGetInt64(values[Anum_locks_owner_id - 1]);
	record->client_is_new = !nulls[Anum_locks_owner_id - 1] &&
		record->client_id == 0;
	record->role = DatumGetObjectId(values[Anum_locks_owner_role - 1]);
	record->hold_count = DatumGetInt32(values[Anum_locks_hold_count - 1]);
	record->acquired_at = DatumGetTimestampTz(values[Anum_locks_acquired_at - 1]);
	record->expires_at = nulls[Anum_locks_expiration_at - 1] ? DT_NOEND :
		DatumGetTimestampTz(values[Anum_locks_expiration_at - 1]);
	read_name(values[Anum_locks_resource_name - 1], record->resource);
	read_name(values[Anum_locks_owner - 1], record->client);
	if (!dlock_interval_to_us(DatumGetIntervalP(values[Anum_locks_ttl - 1]),
							  &record->duration))
		elog(ERROR, "unexpected duration in dlock.locks");
	read_name(values[Anum_locks_mode - 1], word);
	if (!dlock_mode_parse(word, &record->mode))
		elog(ERROR, "unexpected mode \"%s\" in dlock.locks", word);
	read_name(values[Anum_locks_scope - 1], word);
	if (!dlock_scope_parse(word, &record->scope))
		elog(ERROR, "unexpected scope \"%s\" in dlock.locks", word);
}

static void
read_row(HeapTuple tuple, TupleDesc desc, const AttrNumber *numbers,
		 DlockImageRow *row)
{
	Datum		values[Natts_locks];
	bool		nulls[Natts_locks];
	char		status[DLOCK_NAME_MAX + 1];

	take_apart(&dlock_locks_shape, numbers, tuple, desc, values, nulls);
	read_name(values[Anum_locks_status - 1], status);
	row->kind = DLOCK_IMAGE_EMPTY;
	row->place = tuple->t_self;
	if (strcmp(status, DLOCK_STATUS_CLIENT) == 0)
	{
		row->kind = DLOCK_IMAGE_CLIENT;
		read_client(values, &row->client);
	}
	else if (strcmp(status, DLOCK_STATUS_HELD) == 0)
	{
		row->kind = DLOCK_IMAGE_LEASE;
		read_lease(values, nulls, &row->record);
	}
}

/*
 * dlock_image_read_locks calls take for each row of dlock.locks, in no
 * particular order, and fills in *file unless that is NULL.  An active
 * snapshot is needed.  Throws if the table is of a version that the library
 * does not work with.
 *
 * A database may have millions of leases, so nothing is kept of a row when
 * take has returned.
 */
void
dlock_image_read_locks(DlockImageTake take, void *arg, DlockImageFile *file)
{
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext,
													  "dlock row",
													  ALLOCSET_DEFAULT_SIZES);
	AttrNumber	numbers[Natts_locks];
	Relation	rel;
	TableScanDesc scan;
	DlockImageRow row;
	HeapTuple	tuple;

	(void) dlock_extension_check(ERROR);
	rel = dlock_tables_open(&dlock_locks_shape, AccessShareLock, numbers);
	scan = table_beginscan_compat(rel, GetActiveSnapshot(), 0, NULL);
	if (file != NULL)
	{
		file->file = dlock_tables_file(rel);
		memcpy(file->numbers, numbers, sizeof(numbers));
	}
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		MemoryContext old_context = MemoryContextSwitchTo(row_context);

		/* a long value may have to be fetched or decompressed */
		read_row(tuple, RelationGetDescr(rel), numbers, &row);
		MemoryContextSwitchTo(old_context);
		MemoryContextReset(row_context);
		take(&row, arg);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	MemoryContextDelete(row_context);
}

/*
 * dlock_image_read_tokens reads dlock.token_blocks.  An active snapshot is
 * needed.
 */
void
dlock_image_read_tokens(DlockImageTokens *tokens)
{
	AttrNumber	numbers[Natts_token_blocks];
	Relation	rel = dlock_tables_open(&dlock_token_blocks_shape,
										AccessShareLock, numbers);
	TableScanDesc scan = table_beginscan_compat(rel, GetActiveSnapshot(), 0, NULL);
	HeapTuple	tuple;
	bool		own = false;
	bool		any = false;

	tokens->upto = 0;
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Datum		values[Natts_token_blocks];
		bool		nulls[Natts_token_blocks];

		take_apart(&dlock_token_blocks_shape, numbers, tuple,
				   RelationGetDescr(rel), values, nulls);
		any = true;
		own |= DatumGetObjectId(values[Anum_token_blocks_database - 1]) == MyDatabaseId;
		tokens->upto = Max(tokens->upto,
						   DatumGetInt64(values[Anum_token_blocks_upto - 1]));
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	tokens->foreign = any && !own;
}
