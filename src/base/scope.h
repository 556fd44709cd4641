/*
 * scope.h
 *	  Scopes: what ends a hold other than its release.
 *
 * IDENTIFICATION
 *	  src/base/scope.h
 */
#ifndef DLOCK_BASE_SCOPE_H
#define DLOCK_BASE_SCOPE_H

typedef enum DlockScope
{
	DLOCK_SCOPE_LEASE = 0,		/* until released or expired */
	DLOCK_SCOPE_SESSION,		/* until released or disconnected */
	DLOCK_SCOPE_TRANSACTION,	/* until commit or rollback */
} DlockScope;

#define DLOCK_NSCOPES 3

extern const char *dlock_scope_name(DlockScope scope);
extern bool dlock_scope_parse(const char *name, DlockScope *scope);

#endif							/* DLOCK_BASE_SCOPE_H */
