/*
 * enqueue.h
 *	  A place in a resource's queue: take it, read the result, leave it.
 *
 * IDENTIFICATION
 *	  src/engine/enqueue.h
 */
#ifndef DLOCK_ENGINE_ENQUEUE_H
#define DLOCK_ENGINE_ENQUEUE_H

#include "engine/request.h"

/* the caller holds the partition lock exclusively; engine/ only */
struct DlockResource;
extern void dlock_enqueue_refusal(const struct DlockResource *res, uint32 own,
								  uint32 waiter, DlockRefusal *refusal);
extern DlockOutcome dlock_enqueue_may_wait(const DlockRequest *request,
										   const struct DlockResource *res,
										   bool upgrade, bool wait);
extern DlockOutcome dlock_enqueue_request(const DlockRequest *request,
										  uint32 resource, DlockGrant *grant);
extern DlockOutcome dlock_enqueue_upgrade(const DlockRequest *request,
										  uint32 resource, uint32 own,
										  DlockGrant *grant);

/* these take the partition lock */
extern DlockOutcome dlock_enqueue_result(const DlockRequest *request,
										 DlockGrant *grant);
extern bool dlock_enqueue_leave(const DlockRequest *request,
								DlockGrant *grant, DlockRefusal *refusal);
extern bool dlock_enqueue_give_up(const DlockKey *key, DlockDatabase *db,
								  uint32 slot, int64 ticket, uint64 deadlock);

#endif							/* DLOCK_ENGINE_ENQUEUE_H */
