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

#include "base/record.h"

/* everything that the tables say */
typedef struct DlockImage
{
	int			nrecords;
	int			capacity;
	DlockRecord *records;
	int			nclients;		/* clients that may have no row of their own */
	int			client_capacity;
	DlockClientRecord *clients;
	int64		token_upto;		/* no token above it was given out */
	bool		foreign;		/* written by another database: a copy */
} DlockImage;

extern void dlock_image_read(DlockImage *image);

#endif							/* DLOCK_DURABLE_IMAGE_H */
