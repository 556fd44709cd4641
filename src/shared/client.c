/*
 * client.c
 *	  The clients that hold, wait or are about to, in shared memory.
 *
 * An entry is kept alive by pins.  Unpinning never takes a lock, so that a
 * lease can end anywhere; an entry without pins stays as a cache until its
 * place is needed.  Entries belong to one opening of a database: after DROP
 * and CREATE EXTENSION nobody finds those from before.
 *
 * Locks: the client lock is taken alone, never with a partition lock.
 *
 * IDENTIFICATION
 *	  src/shared/client.c
 */
#include "postgres.h"

#include "port/pg_bitutils.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "base/config.h"
#include "base/record.h"
#include "shared/client.h"

#define TRANCHE_CLIENT "dlock_client"

typedef struct ClientTable
{
	uint32		bucket_mask;	/* constant */
	uint32		used;			/* entries ever used; client lock */
	uint32		hand;			/* where the last sweep ended; client lock */
} ClientTable;

static ClientTable *table;
static uint32 *buckets;			/* client lock */
static DlockClient *clients;
static LWLock *client_lock;

static uint32
bucket_count(void)
{
	return pg_nextpower2_32(dlock_max_clients);
}

/*
 * dlock_client_shmem_size must agree with dlock_client_shmem_init.
 */
Size
dlock_client_shmem_size(void)
{
	Size		size = MAXALIGN(sizeof(ClientTable));

	size = add_size(size, MAXALIGN(mul_size(bucket_count(), sizeof(uint32))));
	return add_size(size, mul_size(dlock_max_clients, sizeof(DlockClient)));
}

void
dlock_client_request_locks(void)
{
	RequestNamedLWLockTranche(TRANCHE_CLIENT, 1);
}

/*
 * dlock_client_shmem_init makes the table, or attaches to it.
 */
void
dlock_client_shmem_init(void)
{
	bool		found;
	char	   *base;

	base = ShmemInitStruct("dlock clients", dlock_client_shmem_size(), &found);
	client_lock = &GetNamedLWLockTranche(TRANCHE_CLIENT)->lock;
	table = (ClientTable *) base;
	buckets = (uint32 *) (base + MAXALIGN(sizeof(ClientTable)));
	clients = (DlockClient *) ((char *) buckets +
							   MAXALIGN(bucket_count() * sizeof(uint32)));
	if (found)
		return;

	memset(base, 0, dlock_client_shmem_size());
	table->bucket_mask = bucket_count() - 1;
	for (uint32 i = 0; i < bucket_count(); i++)
		buckets[i] = DLOCK_NONE;
	for (int i = 0; i < dlock_max_clients; i++)
	{
		pg_atomic_init_u32(&clients[i].pins, 0);
		pg_atomic_init_u32(&clients[i].waiting, 0);
		pg_atomic_init_u32(&clients[i].held, 0);
		pg_atomic_init_u64(&clients[i].born, 0);
	}
}

DlockClient *
dlock_client_at(uint32 idx)
{
	Assert(idx < (uint32) dlock_max_clients);
	return &clients[idx];
}

void
dlock_client_pin(uint32 idx)
{
	pg_atomic_fetch_add_u32(&clients[idx].pins, 1);
}

void
dlock_client_unpin(uint32 idx)
{
	Assert(pg_atomic_read_u32(&clients[idx].pins) > 0);
	pg_atomic_fetch_sub_u32(&clients[idx].pins, 1);
}

/*
 * find walks a chain and pins what it finds.  Caller holds the client lock,
 * so that nobody reuses an entry that has no pin at the moment.
 */
static uint32
find(const DlockKey *key, uint32 epoch)
{
	uint32		idx = buckets[key->hash & table->bucket_mask];

	while (idx != DLOCK_NONE)
	{
		DlockClient *client = &clients[idx];

		if (client->hash == key->hash && client->epoch == epoch &&
			dlock_key_matches(key, client->dboid, client->name,
							  client->name_len))
		{
			dlock_client_pin(idx);
			return idx;
		}
		idx = client->next;
	}
	return DLOCK_NONE;
}

/*
 * dlock_client_find gives a client that is known here, pinned.
 */
uint32
dlock_client_find(const DlockKey *key, uint32 epoch)
{
	uint32		idx;

	LWLockAcquire(client_lock, LW_SHARED);
	idx = find(key, epoch);
	LWLockRelease(client_lock);
	return idx;
}

static void
unchain(uint32 idx)
{
	uint32	   *link = &buckets[clients[idx].hash & table->bucket_mask];

	while (*link != idx)
		link = &clients[*link].next;
	*link = clients[idx].next;
}

/*
 * get_entry finds a place, taking it from a client without pins if need be.
 * Caller holds the client lock exclusively.
 */
static uint32
get_entry(void)
{
	if (table->used < (uint32) dlock_max_clients)
		return table->used++;
	for (int i = 0; i < dlock_max_clients; i++)
	{
		uint32		idx = table->hand;

		table->hand = (table->hand + 1) % (uint32) dlock_max_clients;
		if (pg_atomic_read_u32(&clients[idx].pins) == 0)
		{
			unchain(idx);
			return idx;
		}
	}
	return DLOCK_NONE;
}

/*
 * dlock_client_create gives the client of that name, pinned, and tells
 * whether it was made for the caller; another session may have been first.
 */
uint32
dlock_client_create(const DlockKey *key, uint32 epoch, Oid role, int64 id,
					bool named, bool *created)
{
	uint32		idx;

	*created = false;
	LWLockAcquire(client_lock, LW_EXCLUSIVE);
	idx = find(key, epoch);
	if (idx == DLOCK_NONE && (idx = get_entry()) != DLOCK_NONE)
	{
		DlockClient *client = &clients[idx];
		uint32	   *head = &buckets[key->hash & table->bucket_mask];

		pg_atomic_write_u32(&client->pins, 1);
		pg_atomic_write_u32(&client->waiting, 0);
		pg_atomic_write_u32(&client->held, 0);
		client->hash = key->hash;
		client->epoch = epoch;
		client->dboid = key->dboid;
		client->role = role;
		client->id = id;
		client->named = named;
		client->name_len = (uint8) key->len;
		memcpy(client->name, key->name, key->len);
		client->next = *head;
		*head = idx;
		*created = true;
	}
	LWLockRelease(client_lock);
	return idx;
}

/*
 * dlock_client_add_lease counts a lease that a client was granted.  Its age
 * goes by the first one since it held none.
 */
void
dlock_client_add_lease(uint32 idx, int64 token)
{
	if (pg_atomic_fetch_add_u32(&clients[idx].held, 1) == 0)
		pg_atomic_write_u64(&clients[idx].born, (uint64) token);
}

/*
 * dlock_client_set_born is for leases that come back newest first.
 */
void
dlock_client_set_born(uint32 idx, int64 token)
{
	pg_atomic_write_u64(&clients[idx].born, (uint64) token);
}

void
dlock_client_drop_lease(uint32 idx)
{
	Assert(pg_atomic_read_u32(&clients[idx].held) > 0);
	pg_atomic_fetch_sub_u32(&clients[idx].held, 1);
}

/*
 * dlock_client_born tells since which token a client has been holding leases;
 * 0 where it holds none.
 */
int64
dlock_client_born(uint32 idx)
{
	if (pg_atomic_read_u32(&clients[idx].held) == 0)
		return 0;
	return (int64) pg_atomic_read_u64(&clients[idx].born);
}

/*
 * dlock_client_set_row notes what the client's row says: its number, and its
 * role, should somebody else have been first.  The caller has no pin, so the
 * place may be another client's by now.
 */
void
dlock_client_set_row(uint32 idx, const DlockKey *key, uint32 epoch, int64 id,
					 Oid role)
{
	DlockClient *client = &clients[idx];

	LWLockAcquire(client_lock, LW_EXCLUSIVE);
	if (client->epoch == epoch &&
		dlock_key_matches(key, client->dboid, client->name, client->name_len))
	{
		client->id = id;
		client->role = role;
	}
	LWLockRelease(client_lock);
}
