/*
 * worker.h
 *	  What dlock's background processes have in common.
 *
 * IDENTIFICATION
 *	  src/worker/worker.h
 */
#ifndef DLOCK_WORKER_WORKER_H
#define DLOCK_WORKER_WORKER_H

#include "postmaster/bgworker.h"
#include "storage/ipc.h"

#include "base/clock.h"
#include "base/compat.h"

/* called at server start, or by the process that starts another */
extern void dlock_worker_describe(BackgroundWorker *worker, const char *type,
								  const char *entry_point, int flags);
extern void dlock_worker_register(const char *type, const char *entry_point,
								  int flags);

/* called by the process itself */
extern void dlock_worker_init(pg_on_exit_callback detach);
extern void dlock_worker_watch_config(void);
extern void dlock_worker_override_settings(void);
extern void dlock_worker_serve_signals(void);
extern bool dlock_worker_sleep(DlockTime until);
extern void dlock_worker_begin_transaction(void);
extern void dlock_worker_end_transaction(void);
pg_noreturn extern void dlock_worker_exit(void);

#endif							/* DLOCK_WORKER_WORKER_H */
