/*
 * compat.h
 *	  Declarations from server headers that cannot be included everywhere.
 *
 * If the server was built with Kerberos, libpq/libpq.h needs the Kerberos
 * headers, which are not part of the server's development package.  So this
 * file repeats the declarations that dlock needs from it.
 *
 * IDENTIFICATION
 *	  src/base/compat.h
 */
#ifndef DLOCK_BASE_COMPAT_H
#define DLOCK_BASE_COMPAT_H

#include "storage/latch.h"

/* the events that a backend waits for while idle; NULL if it has no client */
extern PGDLLIMPORT WaitEventSet *FeBeWaitSet;

/* position of the client's socket in that set */
#define DLOCK_CLIENT_SOCKET 0

#endif							/* DLOCK_BASE_COMPAT_H */
