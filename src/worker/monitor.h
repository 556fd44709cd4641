/*
 * monitor.h
 *	  The process that ends expired leases, and deadlocks.
 *
 * IDENTIFICATION
 *	  src/worker/monitor.h
 */
#ifndef DLOCK_WORKER_MONITOR_H
#define DLOCK_WORKER_MONITOR_H

extern void dlock_monitor_register(void);
extern PGDLLEXPORT void dlock_monitor_main(Datum main_arg);

#endif							/* DLOCK_WORKER_MONITOR_H */
