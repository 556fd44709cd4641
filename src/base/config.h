/*
 * config.h
 *	  Settings.
 *
 * IDENTIFICATION
 *	  src/base/config.h
 */
#ifndef DLOCK_BASE_CONFIG_H
#define DLOCK_BASE_CONFIG_H

/* sizes, fixed at server start */
extern int	dlock_max_leases;
extern int	dlock_max_waiters;
extern int	dlock_max_clients;
extern int	dlock_max_databases;

/* behaviour */
extern int	dlock_default_lease;	/* milliseconds */
extern int	dlock_max_lease;	/* milliseconds */
extern bool dlock_durable;
extern char *dlock_client;
extern int	dlock_quorum_timeout;	/* milliseconds; 0: none */
extern int	dlock_debug_stop;	/* a DlockStopPoint */
extern bool dlock_debug_no_barrier;

extern void dlock_config_define(void);

#endif							/* DLOCK_BASE_CONFIG_H */
