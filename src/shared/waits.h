/*
 * waits.h
 *	  Copies of all queues at once, for the search for deadlocks.
 *
 * IDENTIFICATION
 *	  src/shared/waits.h
 */
#ifndef DLOCK_SHARED_WAITS_H
#define DLOCK_SHARED_WAITS_H

#include "datatype/timestamp.h"

#include "base/clock.h"
#include "base/key.h"
#include "base/mode.h"

typedef struct DlockHoldCopy
{
	uint32		client;
	DlockMode	mode;
	int64		token;
	DlockTime	deadline;
	int			first_session;	/* sessions that some of its holds end with */
	int			nsessions;
	char		client_name[DLOCK_NAME_MAX + 1];
} DlockHoldCopy;

typedef struct DlockWaitCopy
{
	uint32		slot;
	uint32		client;
	int			queue;			/* index of the queue that it is in */
	int			procno;
	int			pid;
	int64		ticket;			/* never used again in the database */
	int32		priority;
	DlockMode	mode;
	bool		upgrade;		/* is ahead of the queue */
	DlockTime	deadline;
	TimestampTz waiting_since;
	char		client_name[DLOCK_NAME_MAX + 1];
} DlockWaitCopy;

/* a resource that has waiters */
typedef struct DlockQueueCopy
{
	Oid			dboid;
	uint16		database;
	int			first_hold;
	int			nholds;
	int			first_wait;		/* in the order of service */
	int			nwaits;
	char		resource[DLOCK_NAME_MAX + 1];
} DlockQueueCopy;

typedef struct DlockWaits
{
	DlockQueueCopy *queues;
	DlockHoldCopy *holds;
	DlockWaitCopy *waits;
	uint32	   *sessions;		/* numbers of their PGPROCs */
	int			nqueues;
	int			nholds;
	int			nwaits;
	int			nsessions;
	int			queue_capacity;
	int			hold_capacity;
	int			wait_capacity;
	int			session_capacity;
} DlockWaits;

extern uint32 dlock_waits_count(void);
extern void dlock_waits_copy(DlockWaits *waits);

#endif							/* DLOCK_SHARED_WAITS_H */
