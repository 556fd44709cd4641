/*
 * request.h
 *	  What is asked of the engine, and what it answers.
 *
 * IDENTIFICATION
 *	  src/engine/request.h
 */
#ifndef DLOCK_ENGINE_REQUEST_H
#define DLOCK_ENGINE_REQUEST_H

#include "base/clock.h"
#include "base/key.h"
#include "base/mode.h"
#include "base/record.h"
#include "shared/database.h"
#include "shared/hold.h"

/* a database as a backend knows it */
typedef struct DlockGate
{
	DlockDatabase *db;
	uint32		epoch;
} DlockGate;

typedef struct DlockRequest
{
	DlockGate	gate;
	DlockKey	key;
	uint32		client;			/* pinned by the caller */
	DlockMode	mode;
	int32		priority;
	DlockHold	hold;
	DlockTime	arrived;		/* when the call began */
	DlockTime	deadline;		/* of the wait, to be shown */
	int64		token;			/* mode change: of this lease; 0: any */
	bool		eager;			/* has more to do before it waits for the
								 * flush */
	bool		quorum;			/* grants are confirmed by standbys */
} DlockRequest;

typedef enum DlockOutcome
{
	DLOCK_GRANTED,				/* see the grant */
	DLOCK_QUEUED,				/* stands in line as grant.waiter */
	DLOCK_BUSY,					/* would have to wait, and was not to */
	DLOCK_NOT_HELD,				/* mode change: the client has no lease */
	DLOCK_UPGRADE_DEADLOCK,		/* another holder waits for the same */
	DLOCK_TOO_YOUNG,			/* dlock.deadlock_policy does not let it wait */
	DLOCK_DEADLOCK,				/* chosen to give up, see grant.deadlock */
	DLOCK_TOO_MANY_HOLDS,		/* the hold count is at its maximum */
	DLOCK_NO_LEASE_SLOT,
	DLOCK_NO_WAITER_SLOT,
	DLOCK_NO_HOLD_SLOT,			/* too many sessions, scopes and modes that
								 * hold leases together */
	DLOCK_SHUT,					/* the extension was dropped */
	DLOCK_TIMED_OUT,			/* left the queue unserved */
	DLOCK_LOCK_TIMEOUT,			/* likewise, because of lock_timeout */
	DLOCK_NO_QUORUM,			/* the standbys do not confirm */
	DLOCK_NOT_DURABLE,			/* granted, but not durable in time */
	DLOCK_LOST,					/* the lease ended while it was waited upon */
} DlockOutcome;

typedef struct DlockGrant
{
	uint32		lease;
	uint32		waiter;			/* DLOCK_NONE: did not have to wait */
	int64		token;
	uint64		batch;
	bool		must_flush;		/* not acknowledged yet: wait for batch */
	bool		joined;			/* was held before, by the same client */
	bool		told;			/* acknowledged */
	bool		again;			/* not acknowledged: ask anew */
	uint32		downgrades;		/* told: the lease's, then */
	uint64		deadlock;		/* number of the one that ended the wait */
} DlockGrant;

/* why a request was not granted, copied for the message */
typedef struct DlockRefusal
{
	int			nholders;		/* the client itself left out */
	uint64		deadlock;		/* number of the one that ended the wait */
	int64		token;			/* of the lease that was lost; 0: none */
	int			place;			/* in the queue, 0: did not stand in it */
	int			nwaiters;
	DlockMode	mode;			/* of the first holder */
	int64		remaining;		/* of the first holder; DLOCK_NEVER: no end */
	char		holder[DLOCK_NAME_MAX + 1];
} DlockRefusal;

/* a renewal: what is asked for, and what came of it */
typedef struct DlockRenewal
{
	int64		duration;		/* new one in microseconds; 0: as it was */
	bool		quorum;			/* renewals are confirmed by standbys */
	bool		confirm;		/* out, never reset: wait for a barrier */
	uint64		batch;			/* out: wait for this batch; 0: for none */
	DlockTime	deadline;		/* out: the new end */
	int			waiters;		/* out: how many wait for the resource */
} DlockRenewal;

#endif							/* DLOCK_ENGINE_REQUEST_H */
