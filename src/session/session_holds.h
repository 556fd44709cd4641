/*
 * session_holds.h
 *	  The leases that a session must release when it ends.
 *
 * IDENTIFICATION
 *	  src/session/session_holds.h
 */
#ifndef DLOCK_SESSION_SESSION_HOLDS_H
#define DLOCK_SESSION_SESSION_HOLDS_H

#include "engine/lookup.h"

/* call reserve first: it makes room, so that note cannot fail */
extern void dlock_session_holds_reserve(DlockGate gate, int count);
extern void dlock_session_holds_note(DlockGate gate, const DlockLeaseRef *ref);

/* called at the end of a transaction or session: these cannot fail */
extern void dlock_session_holds_tidy(int32 released);
extern void dlock_session_holds_end(void);

#endif							/* DLOCK_SESSION_SESSION_HOLDS_H */
