/*
 * change.h
 *	  Release, renew and change leases on behalf of a client.
 *
 * IDENTIFICATION
 *	  src/lease/change.h
 */
#ifndef DLOCK_LEASE_CHANGE_H
#define DLOCK_LEASE_CHANGE_H

#include "lease/holding.h"

extern bool dlock_release_lease(DlockGate gate, const DlockKey *key,
								uint32 client, int64 token);
extern int64 dlock_release_client(DlockGate gate, uint32 client);
extern int64 dlock_release_by_force(DlockGate gate, const DlockKey *key,
									int64 token);
extern bool dlock_renew_lease(DlockGate gate, const DlockKey *key,
							  uint32 client, int64 token, int64 duration,
							  DlockTime *deadline, int *waiters);
extern int64 dlock_renew_client(DlockGate gate, uint32 client,
								int64 duration);

#endif							/* DLOCK_LEASE_CHANGE_H */
