/*
 * transition.h
 *	  The single steps by which who holds what changes.  lease/ only.
 *
 * IDENTIFICATION
 *	  src/engine/transition.h
 */
#ifndef DLOCK_ENGINE_TRANSITION_H
#define DLOCK_ENGINE_TRANSITION_H

#include "engine/grant.h"
#include "shared/causes.h"

#define DLOCK_WAKE_ROOM 32

/* what is to be done once the partition lock has been released */
typedef struct DlockAftermath
{
	DlockDatabase *db;
	bool		marked;			/* the writer has something to write */
	bool		urgent;			/* and somebody waits for it */
	int			nprocs;			/* backends to wake */
	uint32		procs[DLOCK_WAKE_ROOM];
} DlockAftermath;

extern void dlock_aftermath_init(DlockAftermath *after, DlockDatabase *db);
extern void dlock_aftermath_run(DlockAftermath *after);

/* the caller holds the partition lock exclusively */
extern bool dlock_lease_is_live(const DlockLease *lease);
extern uint32 dlock_holder_find(const DlockResource *res, uint32 client);
extern bool dlock_holders_conflict(const DlockResource *res, DlockMode mode);
extern void dlock_lease_prepare(uint32 idx, uint32 hash, uint32 client,
								DlockMode mode, int32 priority,
								const DlockHold *hold);
extern void dlock_lease_grant(uint32 resource, uint32 idx,
							  DlockAftermath *after);
extern void dlock_hold_add(uint32 idx, const DlockHold *hold, uint32 *spare,
						   DlockAftermath *after);
extern uint64 dlock_hold_batch(DlockDatabase *db, uint32 idx,
							   const DlockHold *hold);
extern void dlock_clock_restart(uint32 idx, DlockTime now);
extern void dlock_lease_settle(uint32 idx, DlockEndCause cause, bool row,
							   DlockAftermath *after);
extern void dlock_lease_strengthen(uint32 idx, DlockMode mode);
extern void dlock_lease_tell(uint32 idx, const DlockHold *hold);
extern void dlock_lease_settle_mode(uint32 idx, DlockAftermath *after);
extern void dlock_lease_downgrade(uint32 idx);
extern void dlock_duration_set(uint32 idx, int64 duration,
							   DlockAftermath *after);
extern void dlock_lease_promise(uint32 idx, DlockAftermath *after);
extern int64 dlock_duration_sure(const DlockLease *lease);
extern void dlock_lease_end(uint32 idx, DlockEndCause cause,
							DlockAftermath *after);
extern void dlock_waiter_dismiss(uint32 idx, DlockWaitState why,
								 DlockAftermath *after);
extern void dlock_client_serve(DlockResource *res, uint32 lease_idx,
							   DlockAftermath *after);
extern void dlock_queue_serve(uint32 resource, DlockAftermath *after);
extern bool dlock_expired_end(uint32 resource, DlockTime now,
							  DlockAftermath *after);

#endif							/* DLOCK_ENGINE_TRANSITION_H */
