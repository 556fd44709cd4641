/*
 * client.c
 *	  The clients that hold, wait or are about to, in shared memory.
 *
 * An entry is kept alive by pins.  Unpinning never takes a lock, so that a
 * lease can end anywhere; an entry without pins stays as a cache until its
 * place is needed.  Entries belong to one opening of a database: after DROP
 * and CREATE EXTENSION nobody finds those from before.
 *
 * An entry ties the name to a role as long as anybody uses it, and as long as
 * there is a row in dlock.clients that does.  As long as the writer owes a
 * client something in that table, it has a pin; so an entry that is gone, or
 * has neither pins nor a row, had no lease that was made durable, or its row
 * says all there is to say.
 *
 * A session that does not find a client here looks for its row, and makes the
 * entry after that.  What it has read is out of date if the client was here
 * and went in between; each bucket counts how often one of its clients was
 * evicted.  It is also out of date if the row was deleted in between.  The
 * writer deletes rows that nobody has used since a certain time, the horizon,
 * and says so before it looks whether the client is here.  So either the
 * writer finds the entry, or the entry is made without relying on the row:
 * it is the client's, and is written anew with the first lease.
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

/* entries looked at in one lock hold */
#define LOOK_MAX 1024

typedef struct ClientTable
{
	uint32		bucket_mask;	/* constant */
	uint32		used;			/* entries ever used; client lock */
	uint32		hand;			/* where the last sweep ended; client lock */
	TimestampTz horizon;		/* rows not used since then may be gone;
								 * client lock */
} ClientTable;

typedef struct Bucket
{
	uint32		first;
	uint32		evictions;
} Bucket;

static ClientTable *table;
static Bucket *buckets;			/* client lock */
static DlockClient *clients;
static LWLock *client_lock;

static uint32
client_buckets(void)
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

	size = add_size(size, MAXALIGN(mul_size(client_buckets(), sizeof(Bucket))));
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
	buckets = (Bucket *) (base + MAXALIGN(sizeof(ClientTable)));
	clients = (DlockClient *) ((char *) buckets +
							   MAXALIGN(client_buckets() * sizeof(Bucket)));
	if (found)
		return;

	memset(base, 0, dlock_client_shmem_size());
	table->bucket_mask = client_buckets() - 1;
	table->horizon = DT_NOBEGIN;
	for (uint32 i = 0; i < client_buckets(); i++)
		buckets[i].first = DLOCK_NONE;
	for (int i = 0; i < dlock_max_clients; i++)
	{
		pg_atomic_init_u32(&clients[i].pins, 0);
		pg_atomic_init_u32(&clients[i].waiting, 0);
		pg_atomic_init_u32(&clients[i].held, 0);
		pg_atomic_init_u64(&clients[i].start_token, 0);
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

static Bucket *
bucket_of(uint32 hash)
{
	return &buckets[hash & table->bucket_mask];
}

/*
 * find walks a chain.  Caller holds the client lock.
 */
static uint32
find_client(const DlockKey *key, uint32 epoch)
{
	uint32		idx = bucket_of(key->hash)->first;

	while (idx != DLOCK_NONE)
	{
		DlockClient *client = &clients[idx];

		if (client->hash == key->hash && client->epoch == epoch &&
			dlock_key_matches(key, client->dboid, client->name,
							  client->name_len))
			return idx;
		idx = client->next;
	}
	return DLOCK_NONE;
}

/*
 * is_nobodys tells whether a client is remembered for no reason: nobody uses
 * it, and no row is known.  Its name is free.  Caller holds the client lock.
 */
static bool
is_nobodys(const DlockClient *client)
{
	return client->row.id == 0 &&
		pg_atomic_read_u32((pg_atomic_uint32 *) &client->pins) == 0;
}

/*
 * dlock_client_find gives a client that is known here, pinned; what is
 * nobody's only to the role that it was made for.  Where there is none, it
 * gives what dlock_client_create wants to know.
 */
uint32
dlock_client_find(const DlockKey *key, uint32 epoch, Oid role,
				  uint32 *evictions)
{
	uint32		idx;

	LWLockAcquire(client_lock, LW_SHARED);
	idx = find_client(key, epoch);
	if (idx != DLOCK_NONE && is_nobodys(&clients[idx]) &&
		clients[idx].row.role != role)
		idx = DLOCK_NONE;
	if (idx != DLOCK_NONE)
		dlock_client_pin(idx);
	else
		*evictions = bucket_of(key->hash)->evictions;
	LWLockRelease(client_lock);
	return idx;
}

/*
 * evict takes an entry out of its chain.  Caller holds the client lock
 * exclusively.
 */
static void
evict(uint32 idx)
{
	Bucket	   *bucket = bucket_of(clients[idx].hash);
	uint32	   *link = &bucket->first;

	while (*link != idx)
		link = &clients[*link].next;
	*link = clients[idx].next;
	bucket->evictions++;
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
			evict(idx);
			return idx;
		}
	}
	return DLOCK_NONE;
}

/*
 * make_entry gives the client a place in its chain, if there is one.  Caller
 * holds the client lock exclusively.
 */
static uint32
make_entry(const DlockKey *key, uint32 epoch)
{
	uint32		idx = get_entry();

	if (idx != DLOCK_NONE)
	{
		DlockClient *client = &clients[idx];
		Bucket	   *bucket = bucket_of(key->hash);

		client->hash = key->hash;
		client->epoch = epoch;
		client->dboid = key->dboid;
		client->name_len = (uint8) key->len;
		memcpy(client->name, key->name, key->len);
		client->next = bucket->first;
		bucket->first = idx;
	}
	return idx;
}

/*
 * dlock_client_create gives the client of that name, pinned, and tells whether
 * it was made for the caller; another session may have been first.  "row" is
 * what the caller has read after dlock_client_find gave "evictions" (NULL: it
 * is known not to be out of date).
 */
uint32
dlock_client_create(const DlockKey *key, uint32 epoch,
					const DlockClientRow *row, bool named,
					const uint32 *evictions, bool *created)
{
	uint32		idx;

	*created = false;
	LWLockAcquire(client_lock, LW_EXCLUSIVE);
	idx = find_client(key, epoch);
	if (idx != DLOCK_NONE && !is_nobodys(&clients[idx]))
		dlock_client_pin(idx);
	else if (evictions != NULL &&
			 bucket_of(key->hash)->evictions != *evictions)
		idx = DLOCK_CLIENT_AGAIN;
	else if (idx != DLOCK_NONE || (idx = make_entry(key, epoch)) != DLOCK_NONE)
	{
		DlockClient *client = &clients[idx];

		pg_atomic_write_u32(&client->pins, 1);
		pg_atomic_write_u32(&client->waiting, 0);
		pg_atomic_write_u32(&client->held, 0);
		client->named = named;
		client->owed = false;
		client->row = *row;
		if (evictions != NULL && row->used_at < table->horizon)
			client->row.id = 0;
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
		pg_atomic_write_u64(&clients[idx].start_token, (uint64) token);
}

/*
 * dlock_client_set_start_token is for leases that come back newest first.
 */
void
dlock_client_set_start_token(uint32 idx, int64 token)
{
	pg_atomic_write_u64(&clients[idx].start_token, (uint64) token);
}

void
dlock_client_drop_lease(uint32 idx)
{
	Assert(pg_atomic_read_u32(&clients[idx].held) > 0);
	pg_atomic_fetch_sub_u32(&clients[idx].held, 1);
}

/*
 * dlock_client_start_token tells since which token a client has been holding leases;
 * 0 where it holds none.
 */
int64
dlock_client_start_token(uint32 idx)
{
	if (pg_atomic_read_u32(&clients[idx].held) == 0)
		return 0;
	return (int64) pg_atomic_read_u64(&clients[idx].start_token);
}

/*
 * What the writer of a database does about the rows of its clients
 */

/*
 * dlock_client_owe notes that a client's row is to be seen to, and keeps the
 * client until dlock_client_settle.  The caller has a pin, or holds the
 * partition lock of one of its leases.
 */
void
dlock_client_owe(uint32 idx)
{
	if (clients[idx].owed)
		return;
	clients[idx].owed = true;
	dlock_client_pin(idx);
}

/*
 * dlock_client_settle notes what the rows of clients say that are owed
 * something, as far as that is known.  Who has a row that was used at that
 * time or later is owed nothing any more.  Gives how many are.
 */
int
dlock_client_settle(const DlockClientRecord *records, int count,
					TimestampTz note_before)
{
	int			nowed = count;

	LWLockAcquire(client_lock, LW_EXCLUSIVE);
	for (int i = 0; i < count; i++)
	{
		DlockClient *client = &clients[records[i].slot];

		Assert(client->owed);
		if (!records[i].known)
			continue;
		client->row = records[i].row;
		if (client->row.id != 0 && client->row.used_at >= note_before)
		{
			client->owed = false;
			dlock_client_unpin(records[i].slot);
			nowed--;
		}
	}
	LWLockRelease(client_lock);
	return nowed;
}

/*
 * dlock_client_next_owed gives the first client of a database, from a place
 * on, that is owed something; DLOCK_NONE where there is none.
 *
 * With the lock an entry stays one of the same database, and only its writer,
 * who calls this, says whether it is owed anything.
 */
uint32
dlock_client_next_owed(Oid dboid, uint32 from)
{
	uint32		found = DLOCK_NONE;
	uint32		used;

	do
	{
		LWLockAcquire(client_lock, LW_SHARED);
		used = table->used;
		for (uint32 end = Min(used, from + LOOK_MAX);
			 from < end && found == DLOCK_NONE; from++)
			if (clients[from].dboid == dboid && clients[from].owed)
				found = from;
		LWLockRelease(client_lock);
	} while (found == DLOCK_NONE && from < used);
	return found;
}

/*
 * dlock_client_write_off forgets what the clients of a database are owed: its
 * tables are gone.
 */
void
dlock_client_write_off(Oid dboid)
{
	uint32		idx = dlock_client_next_owed(dboid, 0);

	while (idx != DLOCK_NONE)
	{
		clients[idx].owed = false;
		dlock_client_unpin(idx);
		idx = dlock_client_next_owed(dboid, idx + 1);
	}
}

/*
 * dlock_client_set_horizon says that from now on rows may be deleted that were
 * not used since then.
 */
void
dlock_client_set_horizon(TimestampTz horizon)
{
	LWLockAcquire(client_lock, LW_EXCLUSIVE);
	table->horizon = Max(table->horizon, horizon);
	LWLockRelease(client_lock);
}

/*
 * is_pinned tells whether anybody uses a client, if it is here.  Client lock held.
 */
static bool
is_pinned(uint32 idx)
{
	return idx != DLOCK_NONE && pg_atomic_read_u32(&clients[idx].pins) > 0;
}

/*
 * dlock_client_in_use tells whether anybody uses a client.
 */
bool
dlock_client_in_use(const DlockKey *key, uint32 epoch)
{
	bool		result;

	LWLockAcquire(client_lock, LW_SHARED);
	result = is_pinned(find_client(key, epoch));
	LWLockRelease(client_lock);
	return result;
}

/*
 * dlock_client_forget has memory rely no more on the row of a client, which is
 * about to be deleted; false where somebody uses the client.
 */
bool
dlock_client_forget(const DlockKey *key, uint32 epoch)
{
	uint32		idx;
	bool		in_use;

	LWLockAcquire(client_lock, LW_EXCLUSIVE);
	idx = find_client(key, epoch);
	in_use = is_pinned(idx);
	if (idx != DLOCK_NONE && !in_use)
		clients[idx].row.id = 0;
	LWLockRelease(client_lock);
	return !in_use;
}

/*
 * dlock_client_note_use notes that the row of a client, if it is here, says
 * that it was used at that time.
 */
void
dlock_client_note_use(const DlockKey *key, uint32 epoch, TimestampTz used_at)
{
	uint32		idx;

	LWLockAcquire(client_lock, LW_EXCLUSIVE);
	idx = find_client(key, epoch);
	if (idx != DLOCK_NONE && clients[idx].row.used_at < used_at)
		clients[idx].row.used_at = used_at;
	LWLockRelease(client_lock);
}
