/*
 * client_set.c
 *	  The clients that the writer works on.
 *
 * A set holds the clients of a batch, or of a portion of maintenance.  It is
 * emptied and filled again, so its memory is kept, unless it is much.
 *
 * IDENTIFICATION
 *	  src/worker/client_set.c
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "shared/client.h"
#include "worker/client_set.h"

/* more records than that are not kept */
#define KEEP_MAX 4096

void
dlock_client_set_clear(DlockClientSet *set)
{
	if (set->capacity > KEEP_MAX)
	{
		pfree(set->records);
		set->records = NULL;
		set->capacity = 0;
	}
	set->count = 0;
}

/*
 * dlock_client_set_append makes room for another record, which the caller
 * fills in.  Earlier records may move.
 */
DlockClientRecord *
dlock_client_set_append(DlockClientSet *set)
{
	if (set->count == set->capacity)
	{
		set->capacity = Max(256, 2 * set->capacity);
		set->records = set->records == NULL ?
			MemoryContextAllocHuge(TopMemoryContext,
								   set->capacity * sizeof(DlockClientRecord)) :
			repalloc_huge(set->records,
						  set->capacity * sizeof(DlockClientRecord));
	}
	return &set->records[set->count++];
}

/*
 * dlock_client_set_take adds a client in shared memory, unless the set has it
 * already.  The client is owed its row, so it keeps its slot.
 */
DlockClientRecord *
dlock_client_set_take(DlockClientSet *set, uint32 slot)
{
	DlockClient *client = dlock_client_at(slot);
	DlockClientRecord *record;

	if (client->place < (uint32) set->count &&
		set->records[client->place].slot == slot)
		return &set->records[client->place];
	client->place = set->count;
	record = dlock_client_set_append(set);
	record->slot = slot;
	record->known = false;
	record->row = client->row;
	memcpy(record->name, client->name, client->name_len);
	record->name[client->name_len] = '\0';
	return record;
}
