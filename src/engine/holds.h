/*
 * holds.h
 *	  The holds of a lease: to which session they belong, and what ends them.
 *	  For engine/ only.
 *
 * IDENTIFICATION
 *	  src/engine/holds.h
 */
#ifndef DLOCK_ENGINE_HOLDS_H
#define DLOCK_ENGINE_HOLDS_H

#include "shared/table.h"

/*
 * dlock_holds_next returns the next count of a lease, or NULL.
 */
static inline DlockHoldCount *
dlock_holds_next(const DlockHoldCount *count)
{
	return count->next == DLOCK_NONE ? NULL : dlock_table_hold_count(count->next);
}

/* the caller holds the partition lock exclusively */
extern void dlock_holds_init(DlockLease *lease);
extern bool dlock_holds_need_room(DlockLease *lease, const DlockHold *hold);
extern void dlock_holds_add(DlockLease *lease, const DlockHold *hold,
							uint32 *spare);
extern void dlock_holds_tell(DlockLease *lease, const DlockHold *hold);
extern bool dlock_holds_take_back(DlockLease *lease, const DlockHold *hold,
								  bool told);
extern void dlock_holds_restore(DlockLease *lease, DlockMode mode,
								int32 count);
extern int32 dlock_holds_release(DlockLease *lease, uint32 session,
								 DlockMode mode, bool others, int32 count);
extern int32 dlock_holds_end_session(DlockLease *lease, uint32 session);
extern bool dlock_holds_end_transaction(DlockLease *lease, uint32 session,
										DlockMode mode, bool kept);
extern void dlock_holds_weaken(DlockLease *lease, DlockMode mode,
							   uint32 told);
extern void dlock_holds_tell_anew(DlockLease *lease);
extern void dlock_holds_lost(DlockLease *lease);
extern int32 dlock_holds_expire(DlockLease *lease);
extern void dlock_holds_clear(DlockLease *lease);

/* the caller holds the partition lock in any mode */
extern bool dlock_holds_of_session(const DlockLease *lease, uint32 session);

#endif							/* DLOCK_ENGINE_HOLDS_H */
