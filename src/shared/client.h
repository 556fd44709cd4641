/*
 * client.h
 *	  The clients that hold leases, wait for them or are about to, in shared
 *	  memory.
 *
 * IDENTIFICATION
 *	  src/shared/client.h
 */
#ifndef DLOCK_SHARED_CLIENT_H
#define DLOCK_SHARED_CLIENT_H

#include "port/atomics.h"

#include "base/key.h"
#include "base/record.h"

/*
 * Fields without a note do not change while the entry is pinned.
 *
 * "Its writer" is the writer of the client's database.
 */
typedef struct DlockClient
{
	pg_atomic_uint32 pins;		/* one for each lease and each session, and
								 * one of its writer if owed; raised from 0
								 * only under the client lock */
	pg_atomic_uint32 waiting;	/* places in queues */
	pg_atomic_uint32 held;		/* leases */
	pg_atomic_uint64 start_token;	/* first token of these: its age */
	uint32		hash;
	uint32		next;			/* hash chain or free list; client lock */
	uint32		epoch;			/* the opening of the database that it belongs
								 * to */
	Oid			dboid;
	uint32		place;			/* position in a list that its writer keeps;
								 * its writer only */
	DlockClientRow row;			/* Written by its writer, under the client
								 * lock.  id 0: there is no row, or the row
								 * may be deleted. */
	bool		named;			/* to have a row in dlock.clients */
	bool		owed;			/* its writer has to write the row, and has a
								 * pin; its writer only */
	uint8		name_len;
	char		name[DLOCK_NAME_MAX];
} DlockClient;

/*
 * An entry of the same bucket was evicted since dlock_client_find: what the
 * caller has read in dlock.clients may be out of date.  Read the row again.
 */
#define DLOCK_CLIENT_AGAIN (DLOCK_NONE - 1)

/* both return a pinned client, or DLOCK_NONE */
extern uint32 dlock_client_find(const DlockKey *key, uint32 epoch, Oid role,
								uint32 *evictions);
extern uint32 dlock_client_create(const DlockKey *key, uint32 epoch,
								  const DlockClientRow *row, bool named,
								  const uint32 *evictions, bool *created);

/* the caller, or a lease under the caller's partition lock, has a pin */
extern void dlock_client_pin(uint32 idx);
extern void dlock_client_unpin(uint32 idx);
extern DlockClient *dlock_client_at(uint32 idx);
extern void dlock_client_add_lease(uint32 idx, int64 token);
extern void dlock_client_restore_age(uint32 idx, int64 token);
extern void dlock_client_drop_lease(uint32 idx);
extern int64 dlock_client_start_token(uint32 idx);

/* called by the client's writer, about rows that it has to write */
extern void dlock_client_owe(uint32 idx);
extern int	dlock_client_settle(const DlockClientRecord *records, int count,
								TimestampTz note_before);
extern uint32 dlock_client_next_owed(Oid dboid, uint32 from);
extern void dlock_client_write_off(Oid dboid);

/* called by the client's writer, about rows that may be deleted */
extern void dlock_client_set_horizon(TimestampTz horizon);
extern bool dlock_client_in_use(const DlockKey *key, uint32 epoch);
extern bool dlock_client_forget(const DlockKey *key, uint32 epoch);
extern void dlock_client_note_use(const DlockKey *key, uint32 epoch,
								  TimestampTz used_at);

/* called at server start */
extern Size dlock_client_shmem_size(void);
extern void dlock_client_shmem_init(void);
extern void dlock_client_request_locks(void);

#endif							/* DLOCK_SHARED_CLIENT_H */
