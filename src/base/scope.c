/*
 * scope.c
 *	  Scopes: what ends a hold other than its release.
 *
 * IDENTIFICATION
 *	  src/base/scope.c
 */
#include "postgres.h"

#include "base/scope.h"
#include "base/words.h"

static const char *const scope_names[DLOCK_NSCOPES] = {
	[DLOCK_SCOPE_LEASE] = "lease",
	[DLOCK_SCOPE_SESSION] = "session",
	[DLOCK_SCOPE_TRANSACTION] = "transaction",
};

/*
 * dlock_scope_name returns the name of a scope in SQL.
 */
const char *
dlock_scope_name(DlockScope scope)
{
	return scope_names[scope];
}

/*
 * dlock_scope_parse converts a name to a scope.  Returns false if there is no
 * such scope.
 */
bool
dlock_scope_parse(const char *name, DlockScope *scope)
{
	int			i = dlock_words_find(scope_names, DLOCK_NSCOPES, name);

	if (i < 0)
		return false;
	*scope = (DlockScope) i;
	return true;
}
