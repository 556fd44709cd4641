/*
 * compat.h
 *	  What the server has, but its headers do not give everybody.
 *
 * libpq/libpq.h needs the Kerberos headers wherever the server was built with
 * them, and these do not come with the server's own.  What we need of it is
 * declared here as it stands there.
 *
 * IDENTIFICATION
 *	  src/base/compat.h
 */
#ifndef DLOCK_BASE_COMPAT_H
#define DLOCK_BASE_COMPAT_H

#include "storage/latch.h"

/* the events that a backend reads its client with; NULL without a client */
extern PGDLLIMPORT WaitEventSet *FeBeWaitSet;

/* place of the client's socket in it */
#define DLOCK_CLIENT_SOCKET 0

#endif							/* DLOCK_BASE_COMPAT_H */
