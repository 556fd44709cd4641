/*
 * causes.h
 *	  How leases ended recently.
 *
 * IDENTIFICATION
 *	  src/shared/causes.h
 */
#ifndef DLOCK_SHARED_CAUSES_H
#define DLOCK_SHARED_CAUSES_H

#include "base/clock.h"

typedef enum DlockEndCause
{
	DLOCK_END_UNTOLD = 0,		/* never acknowledged to a client: not noted */
	DLOCK_END_RELEASED,
	DLOCK_END_SESSION,			/* the session that held it ended */
	DLOCK_END_TRANSACTION,		/* the transaction that held it ended */
	DLOCK_END_EXPIRED,
	DLOCK_END_FORCED,			/* ended by an administrator */
} DlockEndCause;

/* a lease that has ended */
typedef struct DlockCause
{
	DlockTime	when;
	int64		token;			/* 0: unused */
	Oid			dboid;
	uint32		resource;		/* hash of the resource's name */
	uint32		client;			/* hash of the client's name */
	uint8		cause;			/* a DlockEndCause */
} DlockCause;

/* the caller holds the partition lock, for dlock_causes_note exclusively */
extern void dlock_causes_note(const DlockCause *cause);
extern bool dlock_causes_find(DlockCause *wanted);

/* called at server start */
extern Size dlock_causes_shmem_size(void);
extern void dlock_causes_shmem_init(void);

#endif							/* DLOCK_SHARED_CAUSES_H */
