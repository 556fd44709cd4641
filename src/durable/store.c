/*
 * store.c
 *	  Writing the rows of dlock.locks.
 *
 * Rows are written below the executor.  The store remembers where the row of
 * each lease slot is and updates it there, without an index and, since no
 * column is indexed, in place (HOT).  No other process writes the table, so
 * the place is always right.  VACUUM FULL and the like move the rows; the
 * store notices that by the table's new file, and then all rows are written
 * anew.
 *
 * In an ordinary update, the executor prunes dead row versions when it looks
 * for the row.  An update by place does not look for it, so the store prunes
 * by itself.  Otherwise a page that is only updated would fill up, and the
 * table would grow.
 *
 * If the row of a client in dlock.clients cannot be added at the moment, the
 * client has a row here, so that its name stays with its role after a crash.
 *
 * The table is checked before it is written.  If its columns were changed,
 * that is an error, and the store forgets what it knows of the rows.
 *
 * IDENTIFICATION
 *	  src/durable/store.c
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "port/pg_bitutils.h"
#include "replication/message.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/interval.h"
#include "base/shape.h"
#include "durable/catalog.h"
#include "durable/store.h"
#include "durable/tables.h"

/* the place of each slot's row; invalid: it has none */
typedef struct Places
{
	ItemPointerData *items;
	uint32		count;
} Places;

/* places of rows, in no particular order */
typedef struct PlaceList
{
	ItemPointerData *items;
	uint32		count;
	uint32		capacity;
} PlaceList;

static Relation locks;			/* open during a batch */
static AttrNumber locks_numbers[Natts_locks];	/* of its columns */
static Oid	known_file;			/* the file that places refer to */
static Places lease_places;
static Places client_places;
static PlaceList surplus;		/* adopted rows that are to be deleted */
static BlockNumber pruned_block;	/* the last one pruned in this batch */

/*
 * look_at_locks checks that rows can be written.  If the columns have moved,
 * the table was changed and repaired: its rows may lack what stood in a
 * column, so all are written anew.
 */
static void
look_at_locks(void)
{
	AttrNumber	numbers[Natts_locks];

	dlock_shape_check(&dlock_locks_shape, locks, numbers);
	if (memcmp(numbers, locks_numbers, sizeof(numbers)) != 0)
	{
		memcpy(locks_numbers, numbers, sizeof(numbers));
		known_file = InvalidOid;
	}
	/* rows are written without regard to indexes */
	if (RelationGetIndexList(locks) != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot write leases because table \"dlock.locks\" has an index"),
				 errhint("Drop the index.")));
}

/*
 * dlock_store_open locks dlock.locks for a batch.  If another session has the
 * table locked, that may be because it drops the extension.
 */
DlockStoreStatus
dlock_store_open(Oid relid, bool nowait)
{
	if (relid != get_relname_relid("locks", get_namespace_oid("dlock", true)))
		return DLOCK_STORE_GONE;
	if (nowait && !ConditionalLockRelationOid(relid, RowExclusiveLock))
		return DLOCK_STORE_LOCKED;
	locks = try_table_open(relid, nowait ? NoLock : RowExclusiveLock);
	if (locks == NULL)
		return DLOCK_STORE_GONE;
	look_at_locks();
	pruned_block = InvalidBlockNumber;
	return DLOCK_STORE_OPEN;
}

/*
 * dlock_store_is_stale returns whether the places of the rows are not known.
 * Then the caller must call dlock_store_clear and write all rows.
 */
bool
dlock_store_is_stale(void)
{
	return dlock_tables_file(locks) != known_file;
}

void
dlock_store_close(void)
{
	table_close(locks, NoLock);
	locks = NULL;
}

/*
 * check_changed raises an error if a row could not be changed.
 */
static void
check_changed(TM_Result result, ItemPointer place)
{
	if (result == TM_Ok)
		return;
	known_file = InvalidOid;
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("row (%u,%u) of table \"dlock.locks\" was changed by another process",
					ItemPointerGetBlockNumber(place),
					ItemPointerGetOffsetNumber(place)),
			 errdetail("All rows will be rewritten.")));
}

static void
delete_row(ItemPointer place)
{
	TM_FailureData failure;

	check_changed(heap_delete_compat(locks, place, GetCurrentCommandId(true),
									 InvalidSnapshot, true, &failure),
				  place);
}

/*
 * place_for returns where the place of a slot's row is noted, and makes room
 * for that.
 */
static ItemPointer
place_for(Places *places, uint32 slot)
{
	if (slot >= places->count)
	{
		uint32		wanted = Max(1024, pg_nextpower2_32(slot + 1));
		Size		size = wanted * sizeof(ItemPointerData);

		if (places->items == NULL)
			places->items = MemoryContextAllocHuge(TopMemoryContext, size);
		else
			places->items = repalloc_huge(places->items, size);
		for (uint32 i = places->count; i < wanted; i++)
			ItemPointerSetInvalid(&places->items[i]);
		places->count = wanted;
	}
	return &places->items[slot];
}

static bool
has_place(const Places *places, uint32 slot)
{
	return slot < places->count && ItemPointerIsValid(&places->items[slot]);
}

static void
remove_row(Places *places, uint32 slot)
{
	if (!has_place(places, slot))
		return;
	delete_row(&places->items[slot]);
	ItemPointerSetInvalid(&places->items[slot]);
}

/*
 * Rows that were there before the process
 */

/*
 * dlock_store_adopt_surplus notes that no slot has the row at a place.  It is
 * deleted with the first batch.
 */
void
dlock_store_adopt_surplus(const ItemPointerData *place)
{
	if (surplus.count == surplus.capacity)
	{
		surplus.capacity = Max(1024, 2 * surplus.capacity);
		surplus.items = surplus.items == NULL ?
			MemoryContextAllocHuge(TopMemoryContext,
								   surplus.capacity * sizeof(ItemPointerData)) :
			repalloc_huge(surplus.items,
						  surplus.capacity * sizeof(ItemPointerData));
	}
	surplus.items[surplus.count++] = *place;
}

/*
 * adopt notes where the row of a slot is.  If there was one already, because
 * two rows exclude each other, that one is surplus.
 */
static void
adopt(Places *places, uint32 slot, const ItemPointerData *place)
{
	if (has_place(places, slot))
		dlock_store_adopt_surplus(&places->items[slot]);
	*place_for(places, slot) = *place;
}

/*
 * dlock_store_adopt_lease notes that the row at a place is that of a slot.
 */
void
dlock_store_adopt_lease(uint32 slot, const ItemPointerData *place)
{
	adopt(&lease_places, slot, place);
}

/*
 * dlock_store_adopt_client notes that the row at a place notes the role of a
 * client.
 */
void
dlock_store_adopt_client(uint32 slot, const ItemPointerData *place)
{
	adopt(&client_places, slot, place);
}

/*
 * dlock_store_adopt_file is called when all rows of the table were adopted.
 * Without it, what was adopted has no effect: the rows are written anew.
 */
void
dlock_store_adopt_file(const DlockImageFile *file)
{
	known_file = file->file;
	memcpy(locks_numbers, file->numbers, sizeof(locks_numbers));
}

/*
 * dlock_store_has_surplus returns whether there are rows to be deleted.
 */
bool
dlock_store_has_surplus(void)
{
	return surplus.count > 0;
}

static void
forget_surplus(void)
{
	if (surplus.items != NULL)
		pfree(surplus.items);
	memset(&surplus, 0, sizeof(surplus));
}

/*
 * dlock_store_delete_surplus deletes these rows.
 */
void
dlock_store_delete_surplus(void)
{
	for (uint32 i = 0; i < surplus.count; i++)
		delete_row(&surplus.items[i]);
	forget_surplus();
}

/*
 * Writing
 */

/*
 * dlock_store_clear deletes all rows.
 */
void
dlock_store_clear(void)
{
	TableScanDesc scan = table_beginscan_compat(locks, GetActiveSnapshot(), 0, NULL);
	HeapTuple	tuple;

	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
		delete_row(&tuple->t_self);
	table_endscan(scan);
	lease_places.count = 0;
	client_places.count = 0;
	forget_surplus();
	known_file = dlock_tables_file(locks);
}

/*
 * dlock_store_has_row returns whether a slot has a row.
 */
bool
dlock_store_has_row(uint32 slot)
{
	return has_place(&lease_places, slot);
}

static void
prune(BlockNumber block)
{
	Buffer		buffer;

	if (block == pruned_block)
		return;
	buffer = ReadBuffer(locks, block);
	heap_page_prune_opt_compat(locks, buffer);
	ReleaseBuffer(buffer);
	pruned_block = block;
}

/*
 * put_together makes a row of dlock.locks.  Columns that were dropped from the
 * table are null.
 */
static HeapTuple
put_together(const Datum *values, const bool *nulls)
{
	TupleDesc	desc = RelationGetDescr(locks);
	Datum	   *all_values = palloc0(desc->natts * sizeof(Datum));
	bool	   *all_nulls = palloc(desc->natts * sizeof(bool));

	memset(all_nulls, true, desc->natts * sizeof(bool));
	for (int c = 0; c < Natts_locks; c++)
	{
		all_values[locks_numbers[c] - 1] = values[c];
		all_nulls[locks_numbers[c] - 1] = nulls[c];
	}
	return heap_form_tuple(desc, all_values, all_nulls);
}

static HeapTuple
form_row(const DlockRecord *record)
{
	Datum		values[Natts_locks] = {0};
	bool		nulls[Natts_locks] = {false};
	Interval	duration = dlock_interval_from_us(record->held ? record->duration : 0);

	values[Anum_locks_id - 1] = Int64GetDatum(record->slot);
	values[Anum_locks_token - 1] = Int64GetDatum(record->token);
	values[Anum_locks_ttl - 1] = IntervalPGetDatum(&duration);
	values[Anum_locks_resource_name - 1] =
		CStringGetTextDatum(record->held ? record->resource : "");
	values[Anum_locks_owner - 1] =
		CStringGetTextDatum(record->held ? record->client : "");
	values[Anum_locks_mode - 1] =
		CStringGetTextDatum(record->held ? dlock_mode_name(record->mode) : "");
	values[Anum_locks_scope - 1] =
		CStringGetTextDatum(record->held ? dlock_scope_name(record->scope) : "");
	values[Anum_locks_status - 1] =
		CStringGetTextDatum(record->held ? DLOCK_STATUS_HELD : DLOCK_STATUS_RELEASED);
	values[Anum_locks_owner_role - 1] =
		ObjectIdGetDatum(record->held ? record->role : InvalidOid);
	values[Anum_locks_hold_count - 1] =
		Int32GetDatum(record->held ? record->hold_count : 0);
	values[Anum_locks_acquired_at - 1] =
		TimestampTzGetDatum(record->held ? record->acquired_at : DT_NOBEGIN);
	values[Anum_locks_expiration_at - 1] = TimestampTzGetDatum(record->expires_at);
	nulls[Anum_locks_expiration_at - 1] =
		!record->held || record->expires_at == DT_NOEND;
	values[Anum_locks_owner_id - 1] = Int64GetDatum(record->client_id);
	nulls[Anum_locks_owner_id - 1] = !record->held ||
		(record->client_id == 0 && !record->client_is_new);
	return put_together(values, nulls);
}

static void
write_row(const DlockRecord *record)
{
	ItemPointer place = place_for(&lease_places, record->slot);
	HeapTuple	tuple;

	if (!ItemPointerIsValid(place) && !record->held)
		return;					/* begun and ended between two batches */

	tuple = form_row(record);
	if (!ItemPointerIsValid(place))
		heap_insert(locks, tuple, GetCurrentCommandId(true), 0, NULL);
	else
	{
		TM_FailureData failure;
		LockTupleMode mode;

		prune(ItemPointerGetBlockNumber(place));
		check_changed(heap_update_compat(locks, place, tuple,
										 GetCurrentCommandId(true), InvalidSnapshot,
										 true, &failure, &mode),
					  place);
	}
	*place = tuple->t_self;
}

/*
 * dlock_store_write writes the rows of some slots.
 */
void
dlock_store_write(const DlockRecord *records, int count)
{
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext,
													  "dlock row",
													  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(row_context);

	for (int i = 0; i < count; i++)
	{
		write_row(&records[i]);
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(row_context);
}

/*
 * dlock_store_barrier makes sure that the commit is flushed, and confirmed by
 * the standbys, even if no row has changed.
 */
void
dlock_store_barrier(void)
{
	if (XactLastRecEnd != 0 &&
		TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return;
	(void) LogLogicalMessage_compat("dlock", "", 0, true);
}

/*
 * dlock_store_remove deletes the rows of slots that are free.
 */
void
dlock_store_remove(const uint32 *slots, int count)
{
	for (int i = 0; i < count; i++)
		remove_row(&lease_places, slots[i]);
}

/*
 * dlock_store_bind writes a row that notes the role of a client whose own row
 * is missing.
 */
void
dlock_store_bind(const DlockClientRecord *client)
{
	ItemPointer place = place_for(&client_places, client->slot);
	Datum		values[Natts_locks] = {0};
	bool		nulls[Natts_locks] = {false};
	Interval	none = {0};
	Datum		empty;
	HeapTuple	tuple;

	if (ItemPointerIsValid(place))
		return;
	empty = CStringGetTextDatum("");
	values[Anum_locks_id - 1] = Int64GetDatum(-1 - (int64) client->slot);
	values[Anum_locks_resource_name - 1] = empty;
	values[Anum_locks_token - 1] = Int64GetDatum(0);
	values[Anum_locks_owner_id - 1] = Int64GetDatum(0);
	values[Anum_locks_owner - 1] = CStringGetTextDatum(client->name);
	values[Anum_locks_owner_role - 1] = ObjectIdGetDatum(client->row.role);
	values[Anum_locks_mode - 1] = empty;
	values[Anum_locks_scope - 1] = empty;
	values[Anum_locks_hold_count - 1] = Int32GetDatum(0);
	values[Anum_locks_acquired_at - 1] = TimestampTzGetDatum(DT_NOBEGIN);
	values[Anum_locks_ttl - 1] = IntervalPGetDatum(&none);
	nulls[Anum_locks_expiration_at - 1] = true;
	values[Anum_locks_status - 1] = CStringGetTextDatum(DLOCK_STATUS_CLIENT);
	tuple = put_together(values, nulls);
	heap_insert(locks, tuple, GetCurrentCommandId(true), 0, NULL);
	*place = tuple->t_self;
}

/*
 * dlock_store_unbind deletes that row, if there is one.
 */
void
dlock_store_unbind(const DlockClientRecord *client)
{
	remove_row(&client_places, client->slot);
}
