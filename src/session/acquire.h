/*
 * acquire.h
 *	  Acquire a lease or change its mode, and wait for that.
 *
 * IDENTIFICATION
 *	  src/session/acquire.h
 */
#ifndef DLOCK_SESSION_ACQUIRE_H
#define DLOCK_SESSION_ACQUIRE_H

#include "base/compat.h"
#include "engine/request.h"

extern DlockOutcome dlock_acquire_lease(DlockRequest *request, int64 timeout,
										DlockGrant *grant,
										DlockRefusal *refusal);
pg_noreturn extern void dlock_acquire_report(const DlockRequest *request,
											 DlockOutcome outcome,
											 const DlockRefusal *refusal);

/* the steps of dlock_acquire_lease, for requests for several leases */
extern DlockOutcome dlock_acquire_prepare(DlockRequest *requests, int count,
										  int64 *timeout, bool *by_setting);
extern DlockOutcome dlock_acquire_wait_in_queue(const DlockRequest *request,
												DlockGrant *grant,
												DlockRefusal *refusal);
extern DlockOutcome dlock_acquire_wait_for_flush(const DlockRequest *request,
												 uint64 batch);

/*
 * The state of the lease slots that have been freed but whose rows the writer
 * has yet to delete: "trimmed" is the number of slots whose deletion is in
 * progress, "untrimmed" counts the slots whose deletion has been completed.
 */
typedef struct DlockSlotsLook
{
	uint32		trimmed;
	uint32		untrimmed;
} DlockSlotsLook;

extern void dlock_acquire_look_at_slots(DlockSlotsLook *look);
extern bool dlock_acquire_slots_come(const DlockRequest *request,
									 DlockOutcome outcome,
									 const DlockSlotsLook *before);
extern bool dlock_acquire_again(const DlockRequest *request,
								DlockOutcome outcome, const DlockGrant *grant);
extern void dlock_acquire_note(const DlockRequest *request,
							   const DlockGrant *grant);

#endif							/* DLOCK_SESSION_ACQUIRE_H */
