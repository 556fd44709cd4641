/*
 * config.h
 *	  Settings.
 *
 * IDENTIFICATION
 *	  src/base/config.h
 */
#ifndef DLOCK_BASE_CONFIG_H
#define DLOCK_BASE_CONFIG_H

/* what a request does that would have to wait */
typedef enum DlockPolicy
{
	DLOCK_POLICY_DETECT,		/* it waits; deadlocks are found */
	DLOCK_POLICY_WAIT_DIE,		/* it waits for younger clients only */
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
extern int	dlock_client_retention; /* seconds, 0: for ever */
extern int	dlock_quorum_timeout;	/* milliseconds; 0: none */

#ifdef DLOCK_DEBUG_POINTS
extern int	dlock_debug_stop;	/* a DlockStopPoint */
extern bool dlock_debug_no_barrier;
#endif

extern void dlock_config_define(void);

#endif							/* DLOCK_BASE_CONFIG_H */
