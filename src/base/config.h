/*
 * config.h
 *	  The settings (GUC variables).
 *
 * IDENTIFICATION
 *	  src/base/config.h
 */
#ifndef DLOCK_BASE_CONFIG_H
#define DLOCK_BASE_CONFIG_H

/* dlock.deadlock_policy: what happens to a request that would have to wait */
typedef enum DlockPolicy
{
	DLOCK_POLICY_DETECT,		/* it waits; deadlocks are detected */
	DLOCK_POLICY_WAIT_DIE,		/* it waits only for younger clients */
	DLOCK_POLICY_NO_WAIT,		/* it does not wait */
} DlockPolicy;

/* sizes, fixed at server start */
extern int	dlock_max_leases;
extern int	dlock_max_waiters;
extern int	dlock_max_clients;
extern int	dlock_max_databases;

/* behaviour */
extern int	dlock_default_ttl;	/* milliseconds */
extern int	dlock_max_ttl;		/* milliseconds */
extern bool dlock_durable;
extern bool dlock_require_client;
extern char *dlock_client;
extern void (*dlock_client_changes) (const char *name);
extern int	dlock_deadlock_timeout; /* milliseconds */
extern int	dlock_deadlock_policy;	/* a DlockPolicy */
extern int	dlock_client_retention; /* seconds; 0: forever */
extern int	dlock_quorum_timeout;	/* milliseconds; 0: no limit */

#ifdef DLOCK_DEBUG_POINTS
extern int	dlock_debug_stop;	/* a DlockStopPoint */
extern bool dlock_debug_no_barrier;
#endif

extern void dlock_config_define(void);

#endif							/* DLOCK_BASE_CONFIG_H */
