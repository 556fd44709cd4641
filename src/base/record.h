/*
 * record.h
 *	  What crosses between shared memory and the tables: plain copies.
 *
 * IDENTIFICATION
 *	  src/base/record.h
 */
#ifndef DLOCK_BASE_RECORD_H
#define DLOCK_BASE_RECORD_H

#include "datatype/timestamp.h"

#include "base/key.h"
#include "base/mode.h"
#include "base/scope.h"
#include "base/slot.h"

/* what the row of one lease slot should say */
typedef struct DlockRecord
{
	uint32		slot;
	bool		held;			/* false: the row, if there is one, is free */
	int64		token;
	uint32		client_slot;	/* in shared memory; when writing only */
	bool		client_is_new;	/* named, but without a row so far */
	bool		client_is_stale;	/* its row does not say that it is in use */
	int64		client_id;		/* 0: none */
	Oid			role;
	DlockMode	mode;
	DlockScope	scope;
	int32		hold_count;
	TimestampTz acquired_at;
	int64		duration;		/* microseconds */
	TimestampTz expires_at;		/* wall-clock estimate; DT_NOEND: none */
	char		resource[DLOCK_NAME_MAX + 1];
	char		client[DLOCK_NAME_MAX + 1];
} DlockRecord;

/* what dlock.clients says of a client */
typedef struct DlockClientRow
{
	int64		id;				/* 0: nothing */
	Oid			role;
	TimestampTz used_at;
} DlockClientRow;

/* a named client, where its row is concerned */
typedef struct DlockClientRecord
{
	uint32		slot;			/* in shared memory, or DLOCK_NONE */
	bool		known;			/* the table has been asked what row is */
	DlockClientRow row;
	char		name[DLOCK_NAME_MAX + 1];
} DlockClientRecord;

#endif							/* DLOCK_BASE_RECORD_H */
