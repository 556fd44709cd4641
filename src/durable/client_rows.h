/*
 * client_rows.h
 *	  The rows of dlock.clients.
 *
 * IDENTIFICATION
 *	  src/durable/client_rows.h
 */
#ifndef DLOCK_DURABLE_CLIENT_ROWS_H
#define DLOCK_DURABLE_CLIENT_ROWS_H

#include "storage/block.h"

#include "base/record.h"

/* called by sessions */
extern bool dlock_client_rows_find(const char *name, DlockClientRow *row);

/* called by the writer */
extern bool dlock_client_rows_lock(void);
extern void dlock_client_rows_insert(DlockClientRecord *clients, int count);
extern void dlock_client_rows_add(DlockClientRecord *clients, int count);
extern void dlock_client_rows_note(DlockClientRecord *clients, int count,
								   TimestampTz before);
extern void dlock_client_rows_delete(const DlockClientRecord *clients,
									 int count, TimestampTz before);
extern void dlock_client_rows_scan(BlockNumber *block, BlockNumber nblocks,
								   TimestampTz before,
								   void (*take) (const DlockClientRecord *client));

#endif							/* DLOCK_DURABLE_CLIENT_ROWS_H */
