/*
 * launcher.h
 *	  The process that starts a writer in every database that uses dlock.
 *
 * IDENTIFICATION
 *	  src/worker/launcher.h
 */
#ifndef DLOCK_WORKER_LAUNCHER_H
#define DLOCK_WORKER_LAUNCHER_H

extern void dlock_launcher_register(void);
extern PGDLLEXPORT void dlock_launcher_main(Datum main_arg);

#endif							/* DLOCK_WORKER_LAUNCHER_H */
