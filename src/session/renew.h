/*
 * renew.h
 *	  Renew leases on behalf of a client.
 *
 * IDENTIFICATION
 *	  src/session/renew.h
 */
#ifndef DLOCK_SESSION_RENEW_H
#define DLOCK_SESSION_RENEW_H

#include "base/key.h"
#include "engine/request.h"

extern bool dlock_renew_lease(DlockGate gate, const DlockKey *key,
							  uint32 client, int64 token,
							  DlockRenewal *renewal);
extern int64 dlock_renew_client(DlockGate gate, uint32 client,
								const DlockKeys *keys, int64 duration);

#endif							/* DLOCK_SESSION_RENEW_H */
