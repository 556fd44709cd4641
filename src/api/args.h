/*
 * args.h
 *	  Arguments of SQL calls: read and checked.
 *
 * All raise 22023 with what is wrong and what is allowed.
 *
 * IDENTIFICATION
 *	  src/api/args.h
 */
#ifndef DLOCK_API_ARGS_H
#define DLOCK_API_ARGS_H

#include "fmgr.h"

#include "base/key.h"
#include "base/mode.h"
#include "base/scope.h"

extern DlockKey dlock_arg_resource(FunctionCallInfo fcinfo, int n);
extern DlockKey dlock_arg_resource_text(const text *name);
extern DlockKeys dlock_arg_resources(FunctionCallInfo fcinfo, int n);
extern char *dlock_arg_client(FunctionCallInfo fcinfo, int n);
extern DlockMode dlock_arg_mode(FunctionCallInfo fcinfo, int n);
extern DlockScope dlock_arg_scope(FunctionCallInfo fcinfo, int n,
								  DlockScope otherwise);
extern int64 dlock_arg_timeout(FunctionCallInfo fcinfo, int n);
extern int64 dlock_arg_ttl(FunctionCallInfo fcinfo, int n);
extern int64 dlock_arg_token(FunctionCallInfo fcinfo, int n);
extern int32 dlock_arg_priority(FunctionCallInfo fcinfo, int n);

#endif							/* DLOCK_API_ARGS_H */
