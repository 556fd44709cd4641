/*
 * lost.h
 *	  Errors about leases that are no longer held, with the reason.
 *
 * IDENTIFICATION
 *	  src/session/lost.h
 */
#ifndef DLOCK_SESSION_LOST_H
#define DLOCK_SESSION_LOST_H

#include "base/compat.h"
#include "engine/lookup.h"

pg_noreturn extern void dlock_lost_report(DlockGate gate, const DlockKey *key,
										  uint32 client, int64 token);
extern const char *dlock_lost_cause(DlockGate gate, const DlockLeaseRef *ref);

#endif							/* DLOCK_SESSION_LOST_H */
