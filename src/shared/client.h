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

/*
 * Fields without a note do not change while anybody has a pin.
 */
typedef struct DlockClient
{
	pg_atomic_uint32 pins;		/* leases and sessions; raised from 0 only
								 * under the client lock */
	pg_atomic_uint32 waiting;	/* places in queues */
	pg_atomic_uint32 held;		/* leases */
	pg_atomic_uint64 born;		/* token of the first of these; its age */
	uint32		hash;
	uint32		next;			/* hash chain or free list; client lock */
	uint32		epoch;			/* opening of the database it belongs to */
	Oid			dboid;
	Oid			role;
	int64		id;				/* dlock.clients.id, 0: none (yet); written by
								 * the writer, under the client lock */
	bool		named;			/* is to have a row */
	uint8		name_len;
	char		name[DLOCK_NAME_MAX];
} DlockClient;

/* both give a pinned client, or DLOCK_NONE */
extern uint32 dlock_client_find(const DlockKey *key, uint32 epoch);
extern uint32 dlock_client_create(const DlockKey *key, uint32 epoch, Oid role,
								  int64 id, bool named, bool *created);

/* the caller has a pin already */
extern void dlock_client_pin(uint32 idx);
extern void dlock_client_unpin(uint32 idx);
extern DlockClient *dlock_client_at(uint32 idx);
extern void dlock_client_add_lease(uint32 idx, int64 token);
extern void dlock_client_set_born(uint32 idx, int64 token);
extern void dlock_client_drop_lease(uint32 idx);
extern int64 dlock_client_born(uint32 idx);
extern void dlock_client_set_row(uint32 idx, const DlockKey *key, uint32 epoch,
								 int64 id, Oid role);

/* called at server start */
extern Size dlock_client_shmem_size(void);
extern void dlock_client_shmem_init(void);
extern void dlock_client_request_locks(void);

#endif							/* DLOCK_SHARED_CLIENT_H */
