/*
 * store.h
 *	  The rows of dlock's tables.
 *
 * All but dlock_store_read is for the writer process.  Everything runs in the
 * caller's transaction.  Once that has failed, the store is of no use any
 * more: what it knows of the rows may be wrong, and the process must end.
 *
 * IDENTIFICATION
 *	  src/durable/store.h
 */
#ifndef DLOCK_DURABLE_STORE_H
#define DLOCK_DURABLE_STORE_H

#include "storage/block.h"

#include "base/record.h"

/* everything that the tables say */
typedef struct DlockImage
{
	int			nrecords;
	int			capacity;
	DlockRecord *records;
	int			nclients;		/* those that may have no row of their own */
	int			client_capacity;
	DlockClientRecord *clients;
	int64		token_upto;		/* no token above it was ever given out */
	bool		foreign;		/* written by another database: a copy */
} DlockImage;

/* tokens are given out from blocks of that many */
#define DLOCK_TOKEN_BLOCK 1000000

extern Oid	dlock_store_relation(void);
extern void dlock_store_read(DlockImage *image);

typedef enum DlockStoreStatus
{
	DLOCK_STORE_OPEN,			/* ready for a batch */
	DLOCK_STORE_LOCKED,			/* somebody else has the table locked */
	DLOCK_STORE_GONE,			/* the extension was dropped */
} DlockStoreStatus;

extern DlockStoreStatus dlock_store_open(Oid relid, bool nowait);
extern bool dlock_store_is_stale(void);
extern void dlock_store_clear(void);
extern void dlock_store_barrier(void);
extern void dlock_store_write(const DlockRecord *records, int count);
extern void dlock_store_remove(const uint32 *slots, int count);
extern void dlock_store_close(void);
extern bool dlock_store_has_row(uint32 slot);

extern void dlock_store_bind(const DlockClientRecord *client);
extern void dlock_store_unbind(const DlockClientRecord *client);
extern int64 dlock_store_extend_tokens(int64 last_token, int64 *found);

/* clients.c: may wait for others, or fail */
extern bool dlock_store_lock_clients(void);
extern void dlock_store_insert_clients(DlockClientRecord *clients, int count);
extern void dlock_store_add_clients(DlockClientRecord *clients, int count);
extern void dlock_store_note_clients(DlockClientRecord *clients, int count,
									 TimestampTz before);
extern void dlock_store_delete_clients(const DlockClientRecord *clients,
									   int count, TimestampTz before);
extern void dlock_store_scan_clients(BlockNumber *block, BlockNumber nblocks,
									 TimestampTz before,
									 void (*take) (const DlockClientRecord *client));

#endif							/* DLOCK_DURABLE_STORE_H */
