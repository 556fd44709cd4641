/*
 * acquire_all.h
 *	  Take several leases, all or none.
 *
 * IDENTIFICATION
 *	  src/lease/acquire_all.h
 */
#ifndef DLOCK_LEASE_ACQUIRE_ALL_H
#define DLOCK_LEASE_ACQUIRE_ALL_H

#include "lease/engine.h"

extern DlockOutcome dlock_acquire_all_leases(DlockRequest *requests, int count,
											 int64 timeout, DlockGrant *grants,
											 int *which,
											 DlockRefusal *refusal);

#endif							/* DLOCK_LEASE_ACQUIRE_ALL_H */
