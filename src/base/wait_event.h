/*
 * wait_event.h
 *	  What a process of dlock waits for, as pg_stat_activity shows it.
 *
 * IDENTIFICATION
 *	  src/base/wait_event.h
 */
#ifndef DLOCK_BASE_WAIT_EVENT_H
#define DLOCK_BASE_WAIT_EVENT_H

typedef enum DlockWaitEvent
{
	DLOCK_WAIT_EVENT_ACQUIRE,	/* for a lease */
	DLOCK_WAIT_EVENT_FLUSH,		/* until a change of a lease is durable */
	DLOCK_WAIT_EVENT_LOAD,		/* until the database's leases are loaded */
	DLOCK_WAIT_EVENT_RELEASE,	/* for a commit that depends on the lease */
	DLOCK_WAIT_EVENT_WORK,		/* a worker without work */
	DLOCK_WAIT_EVENT_DEBUG_POINT,	/* stopped by a test */
} DlockWaitEvent;

#define DLOCK_NWAIT_EVENTS (DLOCK_WAIT_EVENT_DEBUG_POINT + 1)

extern void dlock_wait_event_init(void);
extern uint32 dlock_wait_event(DlockWaitEvent event);

#endif							/* DLOCK_BASE_WAIT_EVENT_H */
