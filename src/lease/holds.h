/*
 * holds.h
 *	  The holds of a lease: whose they are, and what ends them.  lease/ only.
 *
 * IDENTIFICATION
 *	  src/lease/holds.h
 */
#ifndef DLOCK_LEASE_HOLDS_H
#define DLOCK_LEASE_HOLDS_H

#include "shared/table.h"

/* the caller holds the partition lock exclusively */
extern void dlock_holds_init(DlockLease *lease);
extern bool dlock_holds_need_room(DlockLease *lease, const DlockHold *hold);
extern void dlock_holds_add(DlockLease *lease, const DlockHold *hold,
							uint32 *spare);
extern bool dlock_holds_take_back(DlockLease *lease, const DlockHold *hold);
extern void dlock_holds_restore(DlockLease *lease, int32 count);
extern int32 dlock_holds_remove(DlockLease *lease, uint32 session,
								DlockScope scope, int kept, int32 count);
extern int32 dlock_holds_remove_oldest(DlockLease *lease, DlockScope scope,
									   int32 count);
extern void dlock_holds_clear(DlockLease *lease);

/* the partition lock in any mode */
extern bool dlock_holds_of_session(const DlockLease *lease, uint32 session);

#endif							/* DLOCK_LEASE_HOLDS_H */
