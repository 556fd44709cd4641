/*
 * client.h
 *	  The clients that hold, wait or are about to, in shared memory.
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
 * Fields without a note do not change while anybody has a pin.
 *
 * "Its writer" is the one of the client's database.
 */
typedef struct DlockClient
{
	pg_atomic_uint32 pins;		/* leases, sessions, and its writer if owed;
								 * raised from 0 only under the client lock */
	pg_atomic_uint32 waiting;	/* places in queues */
	pg_atomic_uint32 held;		/* leases */
	pg_atomic_uint64 start_token;	/* token of the first of these; its age */
	uint32		hash;
	uint32		next;			/* hash chain or free list; client lock */
	uint32		epoch;			/* opening of the database it belongs to */
	Oid			dboid;
	uint32		place;			/* in a list of its writer's; its writer only */
	DlockClientRow row;			/* written by its writer, under the client
								 * lock; id 0: no row, or not known to stay */
	bool		named;			/* is to have a row */
	bool		owed;			/* its writer has to see to the row, and has a
								 * pin; its writer only */
	uint8		name_len;
	char		name[DLOCK_NAME_MAX];
} DlockClient;

/* clients whose row is due were forgotten meanwhile: look for the row again */
#define DLOCK_CLIENT_AGAIN (DLOCK_NONE - 1)

/* both give a pinned client, or DLOCK_NONE */
extern uint32 dlock_client_find(const DlockKey *key, uint32 epoch, Oid role,
								uint32 *evictions);
extern uint32 dlock_client_create(const DlockKey *key, uint32 epoch,
								  const DlockClientRow *row, bool named,
								  const uint32 *evictions, bool *created);

/* the caller has a pin already */
extern void dlock_client_pin(uint32 idx);
extern void dlock_client_unpin(uint32 idx);
extern DlockClient *dlock_client_at(uint32 idx);
extern void dlock_client_add_lease(uint32 idx, int64 token);
extern void dlock_client_set_start_token(uint32 idx, int64 token);
extern void dlock_client_drop_lease(uint32 idx);
extern int64 dlock_client_start_token(uint32 idx);

/* the client's writer: what its row says, and what it is still to say */
extern void dlock_client_owe(uint32 idx);
extern int	dlock_client_settle(const DlockClientRecord *records, int count,
								TimestampTz note_before);
extern uint32 dlock_client_next_owed(Oid dboid, uint32 from);
extern void dlock_client_write_off(Oid dboid);

/* the client's writer: rows that nobody may need any more */
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
