/*
 * transition.h
 *	  The state transitions of leases and waiters.  For engine/ only.
 *
 * IDENTIFICATION
 *	  src/engine/transition.h
 */
#ifndef DLOCK_ENGINE_TRANSITION_H
#define DLOCK_ENGINE_TRANSITION_H

#include "engine/wakeups.h"
#include "shared/causes.h"
#include "shared/table.h"

/* the caller holds the partition lock exclusively */
extern void dlock_transition_settle(uint32 idx, DlockEndCause cause, bool row,
									DlockWakeups *wakeups);
extern void dlock_transition_settle_mode(uint32 idx, DlockWakeups *wakeups);
extern void dlock_transition_end(uint32 idx, DlockEndCause cause,
								 DlockWakeups *wakeups);
extern void dlock_transition_dismiss(uint32 idx, DlockWaitState why,
									 DlockWakeups *wakeups);
extern void dlock_transition_serve_client(DlockResource *res, uint32 lease_idx,
										  DlockWakeups *wakeups);
extern void dlock_transition_next_upgrade(DlockResource *res,
										  DlockWakeups *wakeups);
extern void dlock_transition_serve_queue(uint32 resource, DlockWakeups *wakeups);
extern bool dlock_transition_end_expired(uint32 resource, DlockTime now,
										 DlockWakeups *wakeups);

#endif							/* DLOCK_ENGINE_TRANSITION_H */
