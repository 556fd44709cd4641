/*
 * args.h
 *	  Read and check the arguments of SQL functions.
 *
 * All of these functions raise 22023 if an argument is not valid.
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

extern DlockKey dlock_args_resource(FunctionCallInfo fcinfo, int n);
extern DlockKey dlock_args_resource_text(const text *name);
extern DlockKeys dlock_args_resources(FunctionCallInfo fcinfo, int n);
extern char *dlock_args_client(FunctionCallInfo fcinfo, int n);
extern DlockMode dlock_args_mode(FunctionCallInfo fcinfo, int n);
extern DlockScope dlock_args_scope(FunctionCallInfo fcinfo, int n,
								   DlockScope otherwise);
extern int64 dlock_args_timeout(FunctionCallInfo fcinfo, int n);
extern int64 dlock_args_ttl(FunctionCallInfo fcinfo, int n);
extern int64 dlock_args_token(FunctionCallInfo fcinfo, int n);
extern int32 dlock_args_priority(FunctionCallInfo fcinfo, int n);

#endif							/* DLOCK_API_ARGS_H */
