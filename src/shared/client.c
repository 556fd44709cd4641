/*
 * client.c
 *	  The clients that hold leases, wait for them or are about to, in shared
 *	  memory.
 *
 * Pins keep an entry alive.  Unpinning takes no lock, so that a lease can end
 * anywhere.  An entry without pins stays as a cache until its place is needed.
 * Entries belong to one opening of a database: after DROP and CREATE EXTENSION
 * those of the earlier opening are not found any more.
 *
 * An entry ties the name to a role while it is pinned, and while dlock.clients
 * has a row that does.  While the writer owes a client something in that
 * table, it has a pin.  So if a client has no entry, or an entry with neither
 * pins nor a row, then no lease of it was made durable, or its row in
 * dlock.clients is complete.
 *
 * A session that finds no entry reads the client's row in dlock.clients,
 * without any of dlock's locks, and makes the entry afterwards.  By then the
 * row that it has read may be out of date in two ways:
 *
 * - Another session made the entry, the client's row was written, and the
 *   entry was evicted again.  Each bucket counts its evictions.  If the count
 *   has changed since dlock_client_find, dlock_client_create makes no entry,
 *   and the session reads the row again.
 * - The writer has deleted the row.  It deletes rows that were not used since
 *   a certain time, the horizon.  It announces the horizon first and then
 *   checks whether the client has an entry, both under the client lock.  So
 *   either the writer finds the entry and keeps the row, or the entry is made
 *   after the announcement.  In that case dlock_client_create does not rely on
 *   a row that is older than the horizon: the client keeps its name, and its
 *   first durable lease adds the row again.
 *
 * Locks: the client lock is taken alone, never with a partition lock.
 * Exceptions are the calls that take no lock at all (pins, counts of leases,
 * dlock_client_owe).
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

/* entries read in one hold of the lock */
#define LOOK_MAX 1024

typedef struct ClientTable
{
	uint32		bucket_mask;	/* constant */
	uint32		used;			/* entries ever used; client lock */
	uint32		hand;			/* place where the next search for a free
								 * entry begins; client lock */
	TimestampTz horizon;		/* rows not used since then may be deleted;
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

/*
 * client_buckets returns the number of hash buckets, a power of two.
 */
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
 * dlock_client_shmem_init creates the table, or attaches to it.
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

/*
 * dlock_client_at returns the client in a slot.  The caller has a pin, or
 * holds a partition lock under which one of the client's leases or waiters
 * stands.
 */
DlockClient *
dlock_client_at(uint32 idx)
{
	Assert(idx < (uint32) dlock_max_clients);
	return &clients[idx];
}

/*
 * dlock_client_pin adds a pin.  There is one already, or the caller holds the
 * client lock.  Takes no lock and cannot fail.
 */
void
dlock_client_pin(uint32 idx)
{
	pg_atomic_fetch_add_u32(&clients[idx].pins, 1);
}

/*
 * dlock_client_unpin takes a pin away.  Takes no lock and cannot fail.
 */
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
 * find_client returns the client of that name in a hash chain, or DLOCK_NONE.
 * The caller holds the client lock.
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
 * is_nobodys returns whether an entry is a mere leftover: it has no pins, and
 * no row is known.  Its name is then free for any role.  The caller holds the
 * client lock.
 */
static bool
is_nobodys(const DlockClient *client)
{
	return client->row.id == 0 &&
		pg_atomic_read_u32((pg_atomic_uint32 *) &client->pins) == 0;
}

/*
 * dlock_client_find returns the client of that name, pinned, or DLOCK_NONE.
 * An entry that is a leftover is returned only to the role that it was made
 * for.  If there is none, it sets *evictions, which dlock_client_create needs.
 * Takes the client lock; cannot fail.
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
 * evict takes an entry out of its chain.  The caller holds the client lock
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
 * get_entry returns a free place, which it takes from a client without pins if
 * need be; DLOCK_NONE if all are pinned.  The caller holds the client lock
 * exclusively.
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
 * make_entry makes an entry of that name and returns it; DLOCK_NONE if there
 * is no free place.  The caller holds the client lock exclusively.
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
 * dlock_client_create returns the client of that name, pinned; it makes the
 * entry if no other session has done so before.  *created says whether it has.
 * "row" is what the caller has read in dlock.clients after dlock_client_find
 * set *evictions; if "evictions" is NULL, the row is known to be up to date.
 *
 * Returns DLOCK_NONE if there is no free place, and DLOCK_CLIENT_AGAIN if the
 * row may be out of date (see above).  Takes the client lock; cannot fail.
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
 * dlock_client_add_lease counts a lease that a client was granted.  The
 * client's age is the token of its first lease since it held none.  The caller
 * holds the lease's partition lock exclusively; the count itself needs no
 * lock.  Cannot fail.
 */
void
dlock_client_add_lease(uint32 idx, int64 token)
{
	if (pg_atomic_fetch_add_u32(&clients[idx].held, 1) == 0)
		pg_atomic_write_u64(&clients[idx].start_token, (uint64) token);
}

/*
 * dlock_client_restore_age is called when a lease of a client has been loaded
 * and counted.  Leases are loaded in any order; the oldest one stands for the
 * client's age.
 */
void
dlock_client_restore_age(uint32 idx, int64 token)
{
	if (pg_atomic_read_u32(&clients[idx].held) == 1 ||
		token < (int64) pg_atomic_read_u64(&clients[idx].start_token))
		pg_atomic_write_u64(&clients[idx].start_token, (uint64) token);
}

/*
 * dlock_client_drop_lease undoes dlock_client_add_lease.  Cannot fail.
 */
void
dlock_client_drop_lease(uint32 idx)
{
	Assert(pg_atomic_read_u32(&clients[idx].held) > 0);
	pg_atomic_fetch_sub_u32(&clients[idx].held, 1);
}

/*
 * dlock_client_start_token returns the token since which a client has been
 * holding leases; 0 if it holds none.  Without a lock, so the answer may be
 * out of date.
 */
int64
dlock_client_start_token(uint32 idx)
{
	if (pg_atomic_read_u32(&clients[idx].held) == 0)
		return 0;
	return (int64) pg_atomic_read_u64(&clients[idx].start_token);
}

/*
 * The writer of a database: rows of its clients
 */

/*
 * dlock_client_owe notes that a client's row must be written, and pins the
 * client until dlock_client_settle.  Called by the client's writer, which has
 * a pin or holds the partition lock of one of the client's leases.  Cannot
 * fail.
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
 * dlock_client_settle copies what is known of the rows of clients that are
 * owed something into their entries.  A client whose row says that it was used
 * at note_before or later is owed nothing any more, and is unpinned.  Returns
 * how many of the clients are still owed something.  Takes the client lock;
 * cannot fail.
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
 * dlock_client_next_owed returns the first client of a database, from a slot
 * on, that is owed something; DLOCK_NONE if there is none.  Takes the client
 * lock for a portion of the slots at a time.
 *
 * Under the lock an entry stays with its database, and "owed" is changed by
 * the database's writer alone, which is the caller.
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
 * dlock_client_write_off drops what the clients of a database are owed,
 * because its tables do not exist any more.  Called by the database's writer.
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
 * dlock_client_set_horizon announces that from now on rows may be deleted that
 * were not used since that time.  Called before dlock_client_forget.  Takes
 * the client lock.
 */
void
dlock_client_set_horizon(TimestampTz horizon)
{
	LWLockAcquire(client_lock, LW_EXCLUSIVE);
	table->horizon = Max(table->horizon, horizon);
	LWLockRelease(client_lock);
}

/*
 * is_pinned returns whether there is an entry, and it is pinned.  The caller
 * holds the client lock.
 */
static bool
is_pinned(uint32 idx)
{
	return idx != DLOCK_NONE && pg_atomic_read_u32(&clients[idx].pins) > 0;
}

/*
 * dlock_client_in_use returns whether the client of that name has an entry
 * with pins.  Takes the client lock.
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
 * dlock_client_forget prepares the deletion of a client's row: the client's
 * entry, if there is one, does not rely on the row any more.  Returns false if
 * the entry is pinned; then the row must stay.  Takes the client lock.
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
 * dlock_client_note_use notes that a client's row now says that it was used at
 * that time; does nothing if the client has no entry.  Takes the client lock.
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
