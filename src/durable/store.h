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

#include "base/record.h"

/* everything that the tables say */
typedef struct DlockImage
{
	int			nrecords;
	int			capacity;
	DlockRecord *records;
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

extern bool dlock_store_add_client(const char *name, int64 *id, Oid *role);
extern int64 dlock_store_extend_tokens(int64 last_token, int64 *found);

#endif							/* DLOCK_DURABLE_STORE_H */
