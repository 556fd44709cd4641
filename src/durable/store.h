/*
 * store.h
 *	  Writing the rows of dlock.locks.
 *
 * The functions are for the writer process and run in its transaction.  After
 * that has failed, what the store remembers of the rows may be wrong: the
 * process must end.
 *
 * IDENTIFICATION
 *	  src/durable/store.h
 */
#ifndef DLOCK_DURABLE_STORE_H
#define DLOCK_DURABLE_STORE_H

#include "base/record.h"
#include "durable/image.h"

typedef enum DlockStoreStatus
{
	DLOCK_STORE_OPEN,			/* ready for a batch */
	DLOCK_STORE_LOCKED,			/* another session has the table locked */
	DLOCK_STORE_GONE,			/* the extension was dropped */
} DlockStoreStatus;

/* called when the leases are loaded */
extern void dlock_store_adopt_lease(uint32 slot, const ItemPointerData *place);
extern void dlock_store_adopt_client(uint32 slot, const ItemPointerData *place);
extern void dlock_store_adopt_surplus(const ItemPointerData *place);
extern void dlock_store_adopt_file(const DlockImageFile *file);
extern bool dlock_store_has_surplus(void);

extern DlockStoreStatus dlock_store_open(Oid relid, bool nowait);
extern bool dlock_store_is_stale(void);
extern void dlock_store_clear(void);
extern void dlock_store_delete_surplus(void);
extern void dlock_store_barrier(void);
extern void dlock_store_write(const DlockRecord *records, int count);
extern void dlock_store_remove(const uint32 *slots, int count);
extern void dlock_store_close(void);
extern bool dlock_store_has_row(uint32 slot);

extern void dlock_store_bind(const DlockClientRecord *client);
extern void dlock_store_unbind(const DlockClientRecord *client);

#endif							/* DLOCK_DURABLE_STORE_H */
