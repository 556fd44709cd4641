/*
 * scope.c
 *	  What ends a hold besides its release.
 *
 * IDENTIFICATION
 *	  src/base/scope.c
 */
#include "postgres.h"

#include "base/scope.h"

static const char *const scope_names[DLOCK_NSCOPES] = {
	[DLOCK_SCOPE_LEASE] = "lease",
	[DLOCK_SCOPE_SESSION] = "session",
	[DLOCK_SCOPE_TRANSACTION] = "transaction",
};

/*
 * dlock_scope_name gives the SQL spelling of a scope.
 */
const char *
dlock_scope_name(DlockScope scope)
{
	return scope_names[scope];
}

/*
 * dlock_scope_parse reads a scope; false where there is no such scope.
 */
bool
dlock_scope_parse(const char *name, DlockScope *scope)
{
	for (int i = 0; i < DLOCK_NSCOPES; i++)
	{
		if (strcmp(scope_names[i], name) == 0)
		{
			*scope = (DlockScope) i;
			return true;
		}
	}
	return false;
}
