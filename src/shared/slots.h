/*
 * slots.h
 *	  Free slots of leases, resources, waiters and hold counts.
 *
 * IDENTIFICATION
 *	  src/shared/slots.h
 */
#ifndef DLOCK_SHARED_SLOTS_H
#define DLOCK_SHARED_SLOTS_H

#include "base/clock.h"
#include "shared/database.h"

/*
 * each takes a spinlock and no other lock; DLOCK_NONE: there is no free slot
 */
extern uint32 dlock_slots_get_lease(DlockDatabase *db);
extern void dlock_slots_put_lease(DlockDatabase *db, uint32 idx, DlockTime now);
extern uint32 dlock_slots_get_waiter(void);
extern void dlock_slots_put_waiter(uint32 idx);
extern uint32 dlock_slots_get_hold_count(void);
extern void dlock_slots_put_hold_count(uint32 idx);
extern uint32 dlock_slots_get_resource(void);
extern void dlock_slots_put_resource(uint32 idx);

/* called by the writer, which moves slots from the free list to the pool */
extern uint32 dlock_slots_trim_lease(DlockDatabase *db, DlockTime before);
extern bool dlock_slots_any_free_lease(DlockDatabase *db);
extern void dlock_slots_retire_lease(uint32 idx);
extern void dlock_slots_put_back_lease(DlockDatabase *db, uint32 idx,
									   DlockTime now);
extern uint32 dlock_slots_trimmed(uint32 *untrimmed);

/* upper bounds of the slots that were ever used; the number of waiters */
extern uint32 dlock_slots_leases_used(void);
extern uint32 dlock_slots_resources_used(void);
extern uint32 dlock_slots_waiters_used(void);
extern uint32 dlock_slots_waiters_taken(void);

/* called at server start */
extern Size dlock_slots_shmem_size(void);
extern void dlock_slots_shmem_init(void);

#endif							/* DLOCK_SHARED_SLOTS_H */
