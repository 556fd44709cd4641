/*
 * mode.h
 *	  Lock modes and scopes, and which modes may be held side by side.
 *
 * IDENTIFICATION
 *	  src/base/mode.h
 */
#ifndef DLOCK_BASE_MODE_H
#define DLOCK_BASE_MODE_H

typedef enum DlockMode
{
	DLOCK_SHARED = 0,			/* beside other shared holders */
	DLOCK_EXCLUSIVE,			/* alone */
} DlockMode;

#define DLOCK_NMODES 2

typedef enum DlockScope
{
	DLOCK_SCOPE_LEASE = 0,		/* until released or expired */
	DLOCK_SCOPE_SESSION,		/* until released or disconnected */
	DLOCK_SCOPE_TRANSACTION,	/* until commit or rollback */
} DlockScope;

#define DLOCK_NSCOPES 3

extern bool dlock_mode_conflicts(DlockMode held, DlockMode wanted);
extern bool dlock_mode_covers(DlockMode held, DlockMode wanted);
extern const char *dlock_mode_name(DlockMode mode);
extern bool dlock_mode_parse(const char *name, DlockMode *mode);
extern const char *dlock_scope_name(DlockScope scope);
extern bool dlock_scope_parse(const char *name, DlockScope *scope);

#endif							/* DLOCK_BASE_MODE_H */
