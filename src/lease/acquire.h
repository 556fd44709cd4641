/*
 * acquire.h
 *	  Take a lease, or change the mode of one, waiting as long as is wanted.
 *
 * IDENTIFICATION
 *	  src/lease/acquire.h
 */
#ifndef DLOCK_LEASE_ACQUIRE_H
#define DLOCK_LEASE_ACQUIRE_H

#include "lease/engine.h"

extern DlockOutcome dlock_acquire_lease(DlockRequest *request, int64 timeout,
										DlockGrant *grant,
										DlockRefusal *refusal);
extern void dlock_acquire_report(const DlockRequest *request,
								 DlockOutcome outcome,
								 const DlockRefusal *refusal)
			pg_attribute_noreturn();
extern void dlock_wait_durable(DlockGate gate, uint64 batch);

#endif							/* DLOCK_LEASE_ACQUIRE_H */
