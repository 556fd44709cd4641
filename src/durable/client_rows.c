/*
 * client_rows.c
 *	  The rows of dlock.clients.
 *
 * Sessions look for a client's row here; the writer adds, updates and deletes
 * rows.  Any role with the privileges may lock or change the table as well.
 * So the writer's functions may wait for other transactions, or fail, and the
 * writer calls them in a subtransaction.
 *
 * IDENTIFICATION
 *	  src/durable/client_rows.c
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/shape.h"
#include "durable/catalog.h"
#include "durable/client_rows.h"
#include "durable/tables.h"

/* rows added at once */
#define INSERT_MAX 64

static Oid
clients_oid(void)
{
	return get_relname_relid("clients", get_namespace_oid("dlock", false));
}

/*
 * dlock_client_rows_lock locks the table for changes, if that is possible
 * without waiting.
 */
bool
dlock_client_rows_lock(void)
{
	Oid			relid = clients_oid();

	/* its owner may have renamed it */
	return OidIsValid(relid) &&
		ConditionalLockRelationOid(relid, RowExclusiveLock);
}

/*
 * By SQL
 *
 * Everything in the statements is schema-qualified, since the database's
 * search_path is not known.
 */

static ArrayType *
names_of(const DlockClientRecord *clients, int count)
{
	Datum	   *names = palloc(count * sizeof(Datum));

	for (int i = 0; i < count; i++)
		names[i] = CStringGetTextDatum(clients[i].name);
	return construct_array(names, count, TEXTOID, -1, false, TYPALIGN_INT);
}

static ArrayType *
roles_of(const DlockClientRecord *clients, int count)
{
	Datum	   *roles = palloc(count * sizeof(Datum));

	for (int i = 0; i < count; i++)
		roles[i] = ObjectIdGetDatum(clients[i].row.role);
	return construct_array(roles, count, REGROLEOID, sizeof(Oid), true,
						   TYPALIGN_INT);
}

/*
 * run_plan runs a statement, and keeps its plan for the next time.
 */
static void
run_plan(SPIPlanPtr *plan, const char *query, int nargs, Oid *types, Datum *args)
{
	if (*plan == NULL)
	{
		SPIPlanPtr	fresh = SPI_prepare(query, nargs, types);

		if (fresh == NULL || SPI_keepplan(fresh) != 0)
			elog(ERROR, "could not prepare \"%s\"", query);
		*plan = fresh;
	}
	if (SPI_execute_plan(*plan, args, NULL, false, 0) < 0)
		elog(ERROR, "could not run \"%s\"", query);
}

static Datum
column(uint64 row, int number)
{
	bool		isnull;

	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
						 number, &isnull);
}

/*
 * take_rows notes the rows (id, name, role, last_used_at) that the last
 * statement returned.  They come in the order of the clients, more or less, so
 * the search for each continues after the last match.
 */
static void
take_rows(DlockClientRecord *clients, int count)
{
	int			next = 0;

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *name = TextDatumGetCString(column(i, 2));

		for (int tried = 0; tried < count; tried++)
		{
			DlockClientRecord *client = &clients[next];

			next = (next + 1) % count;
			if (strcmp(client->name, name) == 0)
			{
				client->row.id = DatumGetInt64(column(i, 1));
				client->row.role = DatumGetObjectId(column(i, 3));
				client->row.used_at = DatumGetTimestampTz(column(i, 4));
				client->known = true;
				break;
			}
		}
	}
}

/*
 * read_rows reads the rows of some clients.
 */
static void
read_rows(DlockClientRecord *clients, int count)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[1] = {TEXTARRAYOID};
	Datum		args[1];

	args[0] = PointerGetDatum(names_of(clients, count));
	run_plan(&plan,
			 "SELECT id, name, role, last_used_at FROM dlock.clients"
			 " WHERE name OPERATOR(pg_catalog.=) ANY ($1)",
			 1, types, args);
	take_rows(clients, count);
}

/*
 * dlock_client_rows_add adds the clients that have no row yet, and notes what
 * the rows of all of them say.  The names must differ.
 */
void
dlock_client_rows_add(DlockClientRecord *clients, int count)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {TEXTARRAYOID, REGROLEARRAYOID};
	Datum		args[2];

	dlock_tables_check(&dlock_clients_shape);
	SPI_connect();
	args[0] = PointerGetDatum(names_of(clients, count));
	args[1] = PointerGetDatum(roles_of(clients, count));
	run_plan(&plan,
			 "INSERT INTO dlock.clients (name, role)"
			 " SELECT u.name, u.role"
			 " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2))"
			 " AS u (name, role)"
			 " ON CONFLICT (name) DO NOTHING"
			 " RETURNING id, name, role, last_used_at",
			 2, types, args);
	take_rows(clients, count);
	if (SPI_processed < (uint64) count)
		read_rows(clients, count);
	SPI_finish();
}

/*
 * dlock_client_rows_note sets last_used_at of some clients to now, unless it
 * is the given time or later, and notes what their rows say; id 0 if there is
 * no row.  Locked rows are skipped.
 */
void
dlock_client_rows_note(DlockClientRecord *clients, int count,
					   TimestampTz before)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {TEXTARRAYOID, TIMESTAMPTZOID};
	Datum		args[2];

	dlock_tables_check(&dlock_clients_shape);
	SPI_connect();
	args[0] = PointerGetDatum(names_of(clients, count));
	args[1] = TimestampTzGetDatum(before);
	run_plan(&plan,
			 "UPDATE dlock.clients SET last_used_at = pg_catalog.now()"
			 " WHERE id OPERATOR(pg_catalog.=) ANY (ARRAY("
			 "SELECT id FROM dlock.clients"
			 " WHERE name OPERATOR(pg_catalog.=) ANY ($1)"
			 " AND last_used_at OPERATOR(pg_catalog.<) $2"
			 " FOR NO KEY UPDATE SKIP LOCKED))",
			 2, types, args);
	for (int i = 0; i < count; i++)
	{
		clients[i].row.id = 0;
		clients[i].known = true;
	}
	read_rows(clients, count);
	SPI_finish();
}

/*
 * dlock_client_rows_delete deletes the rows of clients that were not used
 * since the given time, except those that another session has locked.
 */
void
dlock_client_rows_delete(const DlockClientRecord *clients, int count,
						 TimestampTz before)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {INT8ARRAYOID, TIMESTAMPTZOID};
	Datum	   *ids;
	Datum		args[2];

	dlock_tables_check(&dlock_clients_shape);
	SPI_connect();
	ids = palloc(count * sizeof(Datum));
	for (int i = 0; i < count; i++)
		ids[i] = Int64GetDatum(clients[i].row.id);
	args[0] = PointerGetDatum(construct_array(ids, count, INT8OID,
											  sizeof(int64), FLOAT8PASSBYVAL,
											  TYPALIGN_DOUBLE));
	args[1] = TimestampTzGetDatum(before);
	run_plan(&plan,
			 "DELETE FROM dlock.clients"
			 " WHERE id OPERATOR(pg_catalog.=) ANY (ARRAY("
			 "SELECT id FROM dlock.clients"
			 " WHERE id OPERATOR(pg_catalog.=) ANY ($1)"
			 " AND last_used_at OPERATOR(pg_catalog.<) $2"
			 " FOR UPDATE SKIP LOCKED))",
			 2, types, args);
	SPI_finish();
}

/*
 * dlock_client_rows_find looks up the row of a client by its name, and returns
 * whether there is one.  A session calls it.
 *
 * The lock is not kept: the row only says what a name stands for, and DROP
 * EXTENSION must not wait for our transaction.
 */
bool
dlock_client_rows_find(const char *name, DlockClientRow *row)
{
	AttrNumber	numbers[Natts_clients];
	Oid			index = get_relname_relid("clients_name_key",
										  get_namespace_oid("dlock", false));
	Relation	rel = table_open(dlock_shape_relation(&dlock_clients_shape),
								 AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;

	dlock_shape_check(&dlock_clients_shape, rel, numbers);
	ScanKeyInit(&key, numbers[Anum_clients_name - 1], BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(name));
	key.sk_collation = DEFAULT_COLLATION_OID;
	scan = systable_beginscan(rel, index, OidIsValid(index), snapshot, 1, &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		bool		isnull;

		/*
		 * A row that our own transaction has added may be rolled back, so the
		 * client still needs one: leave the id 0.
		 */
		if (!TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data)))
			row->id = DatumGetInt64(heap_getattr(tuple,
												 numbers[Anum_clients_id - 1],
												 RelationGetDescr(rel),
												 &isnull));
		row->role = DatumGetObjectId(heap_getattr(tuple,
												  numbers[Anum_clients_role - 1],
												  RelationGetDescr(rel),
												  &isnull));
		row->used_at = DatumGetTimestampTz(heap_getattr(tuple,
														numbers[Anum_clients_last_used_at - 1],
														RelationGetDescr(rel),
														&isnull));
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	return found;
}

/*
 * Below SQL
 */

/*
 * is_as_shipped returns whether a row can be added without the executor: the
 * table has no trigger, rule, constraint or column that was added to it.
 */
static bool
is_as_shipped(Relation rel)
{
	AttrNumber	numbers[Natts_clients];
	TupleDesc	desc = RelationGetDescr(rel);

	dlock_shape_check(&dlock_clients_shape, rel, numbers);
	for (int c = 0; c < Natts_clients; c++)
		if (numbers[c] != c + 1)
			return false;
	return desc->natts == Natts_clients &&
		desc->constr != NULL && desc->constr->num_check == 0 &&
		!desc->constr->has_generated_stored &&
		rel->trigdesc == NULL && rel->rd_rules == NULL;
}

/*
 * are_plain returns whether all indexes can be updated without the executor:
 * they are on columns, and check for duplicates at once if they are unique.
 */
static bool
are_plain(CatalogIndexState indexes)
{
	for (int i = 0; i < indexes->ri_NumIndices; i++)
	{
		const IndexInfo *info = indexes->ri_IndexRelationInfo[i];

		if (info->ii_Expressions != NIL || info->ii_Predicate != NIL ||
			info->ii_ExclusionOps != NULL ||
			!indexes->ri_IndexRelationDescs[i]->rd_index->indimmediate)
			return false;
	}
	return true;
}

/*
 * insert_some adds some clients, and notes what their rows say.
 */
static void
insert_some(Relation rel, CatalogIndexState indexes, Oid sequence,
			DlockClientRecord *clients, int count)
{
	TimestampTz now = dlock_clock_wall();
	TupleTableSlot *slots[INSERT_MAX];

	for (int i = 0; i < count; i++)
	{
		DlockClientRow *row = &clients[i].row;
		Datum	   *values;

		row->id = nextval_internal(sequence, false);
		row->used_at = now;
		slots[i] = MakeSingleTupleTableSlot(RelationGetDescr(rel),
											&TTSOpsHeapTuple);
		values = slots[i]->tts_values;
		memset(slots[i]->tts_isnull, false, Natts_clients * sizeof(bool));
		values[Anum_clients_id - 1] = Int64GetDatum(row->id);
		values[Anum_clients_name - 1] = CStringGetTextDatum(clients[i].name);
		values[Anum_clients_role - 1] = ObjectIdGetDatum(row->role);
		values[Anum_clients_created_at - 1] = TimestampTzGetDatum(now);
		values[Anum_clients_last_used_at - 1] = TimestampTzGetDatum(now);
		ExecStoreVirtualTuple(slots[i]);
	}
	CatalogTuplesMultiInsertWithInfo(rel, slots, count, indexes);
	for (int i = 0; i < count; i++)
	{
		clients[i].known = true;
		ExecDropSingleTupleTableSlot(slots[i]);
	}
}

/*
 * dlock_client_rows_insert adds clients without the executor, and notes what
 * their rows say.  The names must differ.  It is for clients that most likely
 * have no row: if one has, that is an error.  If the table is not as shipped,
 * nothing is done.
 */
void
dlock_client_rows_insert(DlockClientRecord *clients, int count)
{
	Relation	rel = table_open(clients_oid(), RowExclusiveLock);
	Oid			sequence = get_relname_relid("clients_id_seq",
											 RelationGetNamespace(rel));
	CatalogIndexState indexes;

	if (is_as_shipped(rel) && OidIsValid(sequence))
	{
		indexes = CatalogOpenIndexes(rel);
		for (int i = 0; i < count && are_plain(indexes); i += INSERT_MAX)
			insert_some(rel, indexes, sequence, clients + i,
						Min(count - i, INSERT_MAX));
		CatalogCloseIndexes(indexes);
	}
	table_close(rel, NoLock);
}

/*
 * dlock_client_rows_scan reads some blocks of the table, from *block on, and
 * calls take for each client whose row says that it was not used since the
 * given time.  It sets *block to the next block, or to InvalidBlockNumber at
 * the end of the table.
 */
void
dlock_client_rows_scan(BlockNumber *block, BlockNumber nblocks,
					   TimestampTz before,
					   void (*take) (const DlockClientRecord *client))
{
	AttrNumber	numbers[Natts_clients];
	Relation	rel = table_open(clients_oid(), RowExclusiveLock);
	BlockNumber end = RelationGetNumberOfBlocks(rel);
	ItemPointerData first;
	ItemPointerData last;
	TableScanDesc scan;
	TupleTableSlot *slot;

	dlock_shape_check(&dlock_clients_shape, rel, numbers);
	if (*block >= end)
	{
		*block = InvalidBlockNumber;
		table_close(rel, NoLock);
		return;
	}
	nblocks = Min(nblocks, end - *block);
	ItemPointerSet(&first, *block, FirstOffsetNumber);
	ItemPointerSet(&last, *block + nblocks - 1, MaxOffsetNumber);
	slot = table_slot_create(rel, NULL);
	scan = table_beginscan_tidrange_compat(rel, GetActiveSnapshot(), &first, &last);
	while (table_scan_getnextslot_tidrange(scan, ForwardScanDirection, slot))
	{
		DlockClientRecord client = {.slot = DLOCK_NONE};

		slot_getallattrs(slot);
		client.row.used_at =
			DatumGetTimestampTz(slot->tts_values[numbers[Anum_clients_last_used_at - 1] - 1]);
		if (client.row.used_at >= before)
			continue;
		client.row.id = DatumGetInt64(slot->tts_values[numbers[Anum_clients_id - 1] - 1]);
		client.row.role = DatumGetObjectId(slot->tts_values[numbers[Anum_clients_role - 1] - 1]);
		text_to_cstring_buffer(DatumGetTextPP(slot->tts_values[numbers[Anum_clients_name - 1] - 1]),
							   client.name, sizeof(client.name));
		take(&client);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	*block = *block + nblocks < end ? *block + nblocks : InvalidBlockNumber;
	table_close(rel, NoLock);
}
