/*
 * lease.h
 *	  Changes of a single lease, without regard to the queue of its resource.
 *	  For engine/ only.
 *
 * IDENTIFICATION
 *	  src/engine/lease.h
 */
#ifndef DLOCK_ENGINE_LEASE_H
#define DLOCK_ENGINE_LEASE_H

#include "engine/wakeups.h"
#include "shared/causes.h"
#include "shared/table.h"

/* the caller holds the partition lock, exclusively unless it only reads */
extern bool dlock_lease_is_live(const DlockLease *lease);
extern uint32 dlock_lease_of_client(const DlockResource *res, uint32 client);
extern bool dlock_lease_conflicts(const DlockResource *res, DlockMode mode,
								  uint32 own);
extern void dlock_lease_prepare(uint32 idx, uint32 hash, uint32 client,
								DlockMode mode, int32 priority,
								const DlockHold *hold);
extern void dlock_lease_grant(uint32 resource, uint32 idx,
							  DlockWakeups *wakeups);
extern void dlock_lease_add_hold(uint32 idx, const DlockHold *hold, uint32 *spare,
								 DlockWakeups *wakeups);
extern uint64 dlock_lease_hold_batch(DlockDatabase *db, uint32 idx,
									 const DlockHold *hold);
extern void dlock_lease_restart_clock(uint32 idx, DlockTime now);
extern void dlock_lease_set_duration(uint32 idx, int64 duration,
									 DlockWakeups *wakeups);
extern int64 dlock_lease_sure_duration(const DlockLease *lease);
extern void dlock_lease_promise(uint32 idx, DlockWakeups *wakeups);
extern void dlock_lease_strengthen(uint32 idx, DlockMode mode);
extern void dlock_lease_tell(uint32 idx, const DlockHold *hold);
extern void dlock_lease_set_mode(uint32 idx, DlockMode mode);
extern void dlock_lease_downgrade(uint32 idx, DlockMode mode, uint32 told);
extern void dlock_lease_settle_row(uint32 idx, bool row,
								   DlockWakeups *wakeups);
extern void dlock_lease_settle_row_mode(uint32 idx, DlockWakeups *wakeups);
extern void dlock_lease_remove(uint32 idx, DlockEndCause cause,
							   DlockWakeups *wakeups);

#endif							/* DLOCK_ENGINE_LEASE_H */
