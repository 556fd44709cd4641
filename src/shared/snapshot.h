/*
 * snapshot.h
 *	  Copies of resources with their holders and waiters, for readers.
 *
 * IDENTIFICATION
 *	  src/shared/snapshot.h
 */
#ifndef DLOCK_SHARED_SNAPSHOT_H
#define DLOCK_SHARED_SNAPSHOT_H

#include "base/clock.h"
#include "base/key.h"
#include "base/mode.h"
#include "base/scope.h"
#include "shared/database.h"

typedef struct DlockHolderCopy
{
	int64		token;			/* 0: must not be shown yet */
	DlockMode	mode;
	DlockScope	scope;
	int32		hold_count;
	TimestampTz acquired_at;
	DlockTime	deadline;
	bool		held;			/* acknowledged, and has holds */
	Oid			role;
	char		client[DLOCK_NAME_MAX + 1];
} DlockHolderCopy;

typedef struct DlockWaiterCopy
{
	int64		ticket;
	DlockMode	mode;
	int32		priority;
	int			pid;
	TimestampTz waiting_since;
	DlockTime	deadline;
	Oid			role;
	char		client[DLOCK_NAME_MAX + 1];
} DlockWaiterCopy;

/* one resource, its holders and its waiters in the order of service */
typedef struct DlockResourceCopy
{
	char		resource[DLOCK_NAME_MAX + 1];
	int			nholders;
	int			nwaiters;
	int			holder_capacity;
	int			waiter_capacity;
	DlockHolderCopy *holders;
	DlockWaiterCopy *waiters;
} DlockResourceCopy;

extern void dlock_snapshot_init(DlockResourceCopy *copy);
extern bool dlock_snapshot_by_name(DlockDatabase *db, const DlockKey *key,
								   DlockResourceCopy *copy);
extern bool dlock_snapshot_by_slot(DlockDatabase *db, uint32 slot,
								   DlockResourceCopy *copy);
extern uint32 dlock_snapshot_slots(void);

#endif							/* DLOCK_SHARED_SNAPSHOT_H */
