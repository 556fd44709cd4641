/*
 * record.h
 *	  Plain copies that pass between shared memory and the tables.
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

/* the contents of a row of dlock.locks, which mirrors one lease slot */
typedef struct DlockRecord
{
	uint32		slot;
	bool		held;			/* false: the row, if there is any, is free */
	int64		token;
	uint32		client_slot;	/* in shared memory; only when writing */
	bool		client_is_new;	/* named client that has no row yet */
	bool		client_is_stale;	/* last_used_at of its row is too old */
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

/* the contents of a row of dlock.clients */
typedef struct DlockClientRow
{
	int64		id;				/* 0: there is no row */
	Oid			role;
	TimestampTz used_at;
} DlockClientRow;

/* a named client whose row is being read or written */
typedef struct DlockClientRecord
{
	uint32		slot;			/* in shared memory, or DLOCK_NONE */
	bool		known;			/* has the row been looked up in the table? */
	DlockClientRow row;
	char		name[DLOCK_NAME_MAX + 1];
} DlockClientRecord;

#endif							/* DLOCK_BASE_RECORD_H */
