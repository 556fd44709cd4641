/*
 * writer.h
 *	  The process that makes a database's leases durable.
 *
 * IDENTIFICATION
 *	  src/worker/writer.h
 */
#ifndef DLOCK_WORKER_WRITER_H
#define DLOCK_WORKER_WRITER_H

#include "base/compat.h"

/* name of the entry point, for the launcher */
#define DLOCK_WRITER_MAIN "dlock_writer_main"

extern PGDLLEXPORT void dlock_writer_main(Datum main_arg);

extern void dlock_writer_allow_cancel(bool allowed);
extern bool dlock_writer_is_leaving(void);
pg_noreturn extern void dlock_writer_leave(void);

#endif							/* DLOCK_WORKER_WRITER_H */
