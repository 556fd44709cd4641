/*
 * acquire_all.h
 *	  Acquire several leases, all or none.
 *
 * IDENTIFICATION
 *	  src/session/acquire_all.h
 */
#ifndef DLOCK_SESSION_ACQUIRE_ALL_H
#define DLOCK_SESSION_ACQUIRE_ALL_H

#include "engine/request.h"

extern DlockOutcome dlock_acquire_all_leases(DlockRequest *requests, int count,
											 int64 timeout, DlockGrant *grants,
											 int *which,
											 DlockRefusal *refusal);

#endif							/* DLOCK_SESSION_ACQUIRE_ALL_H */
