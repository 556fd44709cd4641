/*
 * args.c
 *	  Read and check the arguments of SQL functions.
 *
 * IDENTIFICATION
 *	  src/api/args.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "api/args.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/config.h"
#include "base/interval.h"
#include "base/message.h"

static void
require(FunctionCallInfo fcinfo, int n, const char *what)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be null", what)));
}

/*
 * dlock_args_resource_text checks a resource name, and returns a key that
 * points to it.
 */
DlockKey
dlock_args_resource_text(const text *name)
{
	int			len = (int) VARSIZE_ANY_EXHDR(name);

	if (len == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("resource name must not be empty")));
	if (len > DLOCK_NAME_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("resource name is too long"),
				 errdetail("The name has %d bytes; at most %d are allowed.",
						   len, DLOCK_NAME_MAX)));
	return dlock_key_make(MyDatabaseId, VARDATA_ANY(name), len);
}

/*
 * dlock_args_resource reads a resource name.
 */
DlockKey
dlock_args_resource(FunctionCallInfo fcinfo, int n)
{
	require(fcinfo, n, "resource name");
	return dlock_args_resource_text(PG_GETARG_TEXT_PP(n));
}

static int
by_name(const void *a, const void *b)
{
	const DlockKey *left = a;
	const DlockKey *right = b;
	int			order = memcmp(left->name, right->name, Min(left->len, right->len));

	return order != 0 ? order : left->len - right->len;
}

/*
 * dlock_args_resources reads an array of resource names.  Returns them sorted,
 * without duplicates.
 */
DlockKeys
dlock_args_resources(FunctionCallInfo fcinfo, int n)
{
	Datum	   *names;
	bool	   *nulls;
	int			nnames;
	DlockKeys	result = {0};
	DlockKey   *keys;

	require(fcinfo, n, "resources");
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(n), TEXTOID, -1, false, TYPALIGN_INT,
					  &names, &nulls, &nnames);
	keys = palloc(Max(nnames, 1) * sizeof(DlockKey));
	for (int i = 0; i < nnames; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("resource name must not be null")));
		keys[i] = dlock_args_resource_text(DatumGetTextPP(names[i]));
	}
	qsort(keys, nnames, sizeof(DlockKey), by_name);
	result.keys = keys;
	for (int i = 0; i < nnames; i++)
		if (result.count == 0 || by_name(&keys[result.count - 1], &keys[i]) != 0)
			keys[result.count++] = keys[i];
	return result;
}

/*
 * dlock_args_client reads a client name.  Returns NULL if none is given.
 */
char *
dlock_args_client(FunctionCallInfo fcinfo, int n)
{
	if (PG_ARGISNULL(n))
		return NULL;
	return text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/*
 * dlock_args_mode reads a mode.
 */
DlockMode
dlock_args_mode(FunctionCallInfo fcinfo, int n)
{
	DlockMode	mode;
	char	   *name;

	require(fcinfo, n, "mode");
	name = text_to_cstring(PG_GETARG_TEXT_PP(n));
	if (!dlock_mode_parse(name, &mode))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized lease mode: \"%s\"",
						dlock_message_text(name)),
				 errhint("Valid modes are \"shared\" and \"exclusive\".")));
	return mode;
}

/*
 * dlock_args_scope reads a scope.  Returns "otherwise" if none is given.
 */
DlockScope
dlock_args_scope(FunctionCallInfo fcinfo, int n, DlockScope otherwise)
{
	DlockScope	scope;
	char	   *name;

	if (PG_ARGISNULL(n))
		return otherwise;
	name = text_to_cstring(PG_GETARG_TEXT_PP(n));
	if (!dlock_scope_parse(name, &scope))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized lease scope: \"%s\"",
						dlock_message_text(name)),
				 errhint("Valid scopes are \"lease\", \"session\" and \"transaction\".")));
	return scope;
}

static int64
read_interval(FunctionCallInfo fcinfo, int n, const char *what)
{
	int64		us;

	if (!dlock_interval_to_us(PG_GETARG_INTERVAL_P(n), &us))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is out of range", what)));
	return us;
}

/*
 * dlock_args_timeout reads a timeout and returns it in microseconds, or
 * DLOCK_NEVER if the argument is NULL.
 */
int64
dlock_args_timeout(FunctionCallInfo fcinfo, int n)
{
	int64		us;

	if (PG_ARGISNULL(n))
		return DLOCK_NEVER;
	us = read_interval(fcinfo, n, "timeout");
	if (us < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("timeout must not be negative"),
				 errdetail("The timeout is %s.", dlock_interval_text(us)),
				 errhint("Use 0 to avoid waiting, or NULL to wait without a limit.")));
	return us;
}

/*
 * dlock_args_ttl reads a duration and returns it in microseconds, or 0 if none
 * is given.
 */
int64
dlock_args_ttl(FunctionCallInfo fcinfo, int n)
{
	int64		max = (int64) dlock_max_ttl * 1000;
	int64		us;

	if (PG_ARGISNULL(n))
		return 0;
	us = read_interval(fcinfo, n, "ttl");
	if (us < 1000 || us > max)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ttl is out of range"),
				 errdetail("The ttl is %s, but must be between %s and %s.",
						   dlock_interval_text(us), dlock_interval_text(1000),
						   dlock_interval_text(max)),
				 us > max ? errhint("The maximum is set by \"dlock.max_ttl\".") : 0));
	return us;
}

/*
 * dlock_args_token reads a token.  Returns 0 if none is given.
 */
int64
dlock_args_token(FunctionCallInfo fcinfo, int n)
{
	int64		token;

	if (PG_ARGISNULL(n))
		return 0;
	token = PG_GETARG_INT64(n);
	if (token <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("token must be positive")));
	return token;
}

/*
 * dlock_args_priority reads a priority.
 */
int32
dlock_args_priority(FunctionCallInfo fcinfo, int n)
{
	require(fcinfo, n, "priority");
	return PG_GETARG_INT32(n);
}
