/*
 * image.h
 *	  Reading what dlock's tables say.
 *
 * Everything runs in the caller's transaction.
 *
 * IDENTIFICATION
 *	  src/durable/image.h
 */
#ifndef DLOCK_DURABLE_IMAGE_H
#define DLOCK_DURABLE_IMAGE_H

#include "access/attnum.h"
#include "storage/itemptr.h"

#include "base/record.h"
#include "durable/catalog.h"

typedef enum DlockImageKind
{
	DLOCK_IMAGE_LEASE,			/* see record */
	DLOCK_IMAGE_CLIENT,			/* a client that may have no row of its own:
								 * see client */
	DLOCK_IMAGE_EMPTY,			/* the lease that the row showed has ended */
} DlockImageKind;

/* what a row of dlock.locks says */
typedef struct DlockImageRow
{
	DlockImageKind kind;
	ItemPointerData place;
	DlockRecord record;
	DlockClientRecord client;
} DlockImageRow;

/* the file in which places are, and where the table has its columns */
typedef struct DlockImageFile
{
	Oid			file;
	AttrNumber	numbers[Natts_locks];
} DlockImageFile;

/* what dlock.token_blocks says */
typedef struct DlockImageTokens
{
	int64		upto;			/* bound of the tokens; leases may be above */
	bool		foreign;		/* written by another database: a copy */
} DlockImageTokens;

typedef void (*DlockImageTake) (const DlockImageRow *row, void *arg);

extern void dlock_image_read_locks(DlockImageTake take, void *arg,
								   DlockImageFile *file);
extern void dlock_image_read_tokens(DlockImageTokens *tokens);

#endif							/* DLOCK_DURABLE_IMAGE_H */
