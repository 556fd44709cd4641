/*
 * release.h
 *	  Release a client's leases at commit, and any lease by force.
 *
 * IDENTIFICATION
 *	  src/session/release.h
 */
#ifndef DLOCK_SESSION_RELEASE_H
#define DLOCK_SESSION_RELEASE_H

#include "base/key.h"
#include "engine/request.h"

extern bool dlock_release_lease(DlockGate gate, const DlockKey *key,
								uint32 client, int64 token);
extern int64 dlock_release_client(DlockGate gate, uint32 client,
								  const DlockKeys *keys);
extern int64 dlock_release_by_force(DlockGate gate, const DlockKey *key,
									int64 token);

#endif							/* DLOCK_SESSION_RELEASE_H */
