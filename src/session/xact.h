/*
 * xact.h
 *	  Holds, releases and fences at the end of transactions and sessions.
 *
 * IDENTIFICATION
 *	  src/session/xact.h
 */
#ifndef DLOCK_SESSION_XACT_H
#define DLOCK_SESSION_XACT_H

#include "engine/lookup.h"

/* called by acquire: reserve makes room, so that noting a hold cannot fail */
extern void dlock_xact_reserve(DlockGate gate, int count);
extern void dlock_xact_note_hold(const DlockRequest *request,
								 const DlockGrant *grant);
extern void dlock_xact_note_session_hold(const DlockRequest *request,
										 const DlockGrant *grant);

/* called by release and set_options */
extern bool dlock_xact_release(DlockGate gate, const DlockLeaseRef *ref,
							   bool all);
extern void dlock_xact_downgrade(DlockGate gate, const DlockLeaseRef *ref,
								 DlockMode mode);

/* called at server start */
extern void dlock_xact_install(void);

#endif							/* DLOCK_SESSION_XACT_H */
