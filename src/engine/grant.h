/*
 * grant.h
 *	  A request from its arrival to its acknowledgement.
 *
 * IDENTIFICATION
 *	  src/engine/grant.h
 */
#ifndef DLOCK_ENGINE_GRANT_H
#define DLOCK_ENGINE_GRANT_H

#include "engine/request.h"

extern DlockOutcome dlock_grant_request(const DlockRequest *request, bool wait,
										DlockGrant *grant,
										DlockRefusal *refusal);
extern DlockOutcome dlock_grant_all(const DlockRequest *requests,
									int count, DlockGrant *grants,
									int *which,
									DlockRefusal *refusal);
extern void dlock_grant_init(DlockGrant *grant);
extern bool dlock_grant_acknowledge(const DlockRequest *request,
									DlockGrant *grant);
extern void dlock_grant_take_back(const DlockRequest *request,
								  DlockGrant *grant);

#endif							/* DLOCK_ENGINE_GRANT_H */
