/*
 * fence_api.h
 *	  The triggers of protected tables.
 *
 * IDENTIFICATION
 *	  src/api/fence_api.h
 */
#ifndef DLOCK_API_FENCE_API_H
#define DLOCK_API_FENCE_API_H

/* names of the trigger functions, in schema dlock */
#define DLOCK_GUARD_ROW "guard_row"
#define DLOCK_GUARD_TRUNCATE "guard_truncate"

extern Oid	dlock_fence_api_guard_function(const char *name, bool missing_ok);

/* called at server start */
extern void dlock_fence_api_install(void);

#endif							/* DLOCK_API_FENCE_API_H */
