/*
 * change.h
 *	  Release, renew and change leases on behalf of a client.
 *
 * IDENTIFICATION
 *	  src/session/change.h
 */
#ifndef DLOCK_SESSION_CHANGE_H
#define DLOCK_SESSION_CHANGE_H

#include "engine/lookup.h"

/* what dlock_set_options is to change */
typedef struct DlockOptions
{
	bool		mode_given;
	DlockMode	mode;
	int64		duration;		/* 0: none is given */
	bool		priority_given;
	int32		priority;
	int64		timeout;		/* of an upgrade */
} DlockOptions;

extern void dlock_change_lease(DlockRequest *request, const DlockLeaseRef *ref,
							   const DlockOptions *options);
extern void dlock_change_at_commit(DlockGate gate, const DlockLeaseRef *ref,
								   const DlockOptions *options);
extern bool dlock_release_lease(DlockGate gate, const DlockKey *key,
								uint32 client, int64 token);
extern int64 dlock_release_client(DlockGate gate, uint32 client,
								  const DlockKeys *keys);
extern int64 dlock_release_by_force(DlockGate gate, const DlockKey *key,
									int64 token);
extern bool dlock_renew_lease(DlockGate gate, const DlockKey *key,
							  uint32 client, int64 token,
							  DlockRenewal *renewal);
extern int64 dlock_renew_client(DlockGate gate, uint32 client,
								const DlockKeys *keys, int64 duration);

#endif							/* DLOCK_SESSION_CHANGE_H */
