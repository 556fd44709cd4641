/*
 * request.h
 *	  What callers ask of the engine, and what it answers.
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

/* a database, and the opening of it that the backend knows */
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
	DlockTime	arrived;		/* when the client's call began */
	DlockTime	deadline;		/* end of the wait; shown in views */
	int64		token;			/* mode change: the token of the lease; 0: any
								 * lease of the client */
	bool		eager;			/* the backend has more to do after the grant,
								 * before it waits for the flush */
	bool		quorum;			/* grants must be confirmed by standbys */
} DlockRequest;

typedef enum DlockOutcome
{
	DLOCK_GRANTED,				/* see DlockGrant */
	DLOCK_QUEUED,				/* in the queue, as grant.waiter */
	DLOCK_BUSY,					/* it would have to wait, and must not */
	DLOCK_NOT_HELD,				/* mode change: the client has no lease */
	DLOCK_UPGRADE_DEADLOCK,		/* another holder waits for the same upgrade */
	DLOCK_TOO_YOUNG,			/* dlock.deadlock_policy forbids the wait */
	DLOCK_DEADLOCK,				/* ended to break a deadlock, see
								 * grant.deadlock */
	DLOCK_TOO_MANY_HOLDS,		/* the hold count is at its maximum */
	DLOCK_NO_LEASE_SLOT,
	DLOCK_NO_WAITER_SLOT,
	DLOCK_NO_HOLD_SLOT,			/* the leases have too many kinds of holds:
								 * sessions, scopes and modes */
	DLOCK_SHUT,					/* the extension was dropped */
	DLOCK_TIMED_OUT,			/* left the queue without a grant */
	DLOCK_LOCK_TIMEOUT,			/* likewise, because of lock_timeout */
	DLOCK_NO_QUORUM,			/* the standbys do not confirm */
	DLOCK_NOT_DURABLE,			/* granted, but not durable in time */
	DLOCK_LOST,					/* the lease has ended or expired before the
								 * acknowledgement */
} DlockOutcome;

typedef struct DlockGrant
{
	uint32		lease;
	uint32		waiter;			/* DLOCK_NONE: not in the queue */
	int64		token;
	uint64		batch;
	bool		must_flush;		/* not acknowledged: wait for batch */
	bool		joined;			/* the client's lease was there before */
	bool		told;			/* the request was acknowledged */
	bool		again;			/* not acknowledged: make the request again */
	uint32		told_at;		/* if told: the lease's "told" after that */
	uint32		downgrades;		/* an upgrade that was told: the number of
								 * downgrades below its mode at that time */
	uint64		deadlock;		/* the deadlock that ended the wait */
} DlockGrant;

/* why a request was not granted, copied for the message */
typedef struct DlockRefusal
{
	int			nholders;		/* other than the client itself */
	uint64		deadlock;		/* the deadlock that ended the wait */
	int64		token;			/* of the lease that was lost; 0: none */
	int			place;			/* in the queue, 0: was not in it */
	int			nwaiters;
	DlockMode	mode;			/* of the first holder */
	int64		remaining;		/* of the first holder; DLOCK_NEVER: no time
								 * limit */
	char		holder[DLOCK_NAME_MAX + 1];
} DlockRefusal;

/* a renewal: what the caller asks for, and the result */
typedef struct DlockRenewal
{
	int64		duration;		/* new one in microseconds; 0: unchanged */
	bool		quorum;			/* renewals must be confirmed by standbys */
	bool		confirm;		/* out, never reset: wait for a barrier */
	uint64		batch;			/* out: wait for this batch; 0: for none */
	DlockTime	deadline;		/* out: when the lease expires now */
	int			waiters;		/* out: number of waiters */
} DlockRenewal;

#endif							/* DLOCK_ENGINE_REQUEST_H */
