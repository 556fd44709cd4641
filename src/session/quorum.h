/*
 * quorum.h
 *	  Check that synchronous standbys still confirm what is written.
 *
 * IDENTIFICATION
 *	  src/session/quorum.h
 */
#ifndef DLOCK_SESSION_QUORUM_H
#define DLOCK_SESSION_QUORUM_H

#include "base/clock.h"
#include "base/compat.h"
#include "shared/database.h"

extern bool dlock_quorum_is_wanted(void);
extern DlockTime dlock_quorum_limit(DlockDatabase *db);
extern void dlock_quorum_check(DlockDatabase *db);
pg_noreturn extern void dlock_quorum_report(DlockDatabase *db);

#endif							/* DLOCK_SESSION_QUORUM_H */
