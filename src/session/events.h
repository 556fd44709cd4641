/*
 * events.h
 *	  What the current transaction has asked for, and what it holds.
 *
 * IDENTIFICATION
 *	  src/session/events.h
 */
#ifndef DLOCK_SESSION_EVENTS_H
#define DLOCK_SESSION_EVENTS_H

#include "engine/lookup.h"

typedef enum DlockEventKind
{
	DLOCK_EVENT_HOLD,					/* a hold of scope transaction */
	DLOCK_EVENT_GIVEN_BACK,			/* such a hold, which ends at the end anyway */
	DLOCK_EVENT_RELEASE,				/* holds to be released at commit */
	DLOCK_EVENT_DOWNGRADE,			/* a lease to be made shared at commit */
	DLOCK_EVENT_FENCE,				/* a lease that the commit depends on */
} DlockEventKind;

typedef struct DlockEvent
{
	DlockEventKind	kind;
	SubTransactionId subxact;
	DlockGate	gate;
	DlockLeaseRef ref;			/* its mode: that of the hold, for HOLD and
								 * RELEASE, else of the lease at the time */
	DlockMode	relied_on;		/* the mode that the commit depends on */
	DlockMode	to;				/* DOWNGRADE: the mode at commit */
	int			next;			/* the one before it in its chain, or -1 */
	int32		asked[2][DLOCK_NMODES]; /* holds of the lease to be released at
										 * commit, by this event and those before
										 * it: own ones, and of other sessions */
	int			open_hold[DLOCK_NMODES];	/* as of this event, the newest HOLD of
											 * the lease in that mode that was not
											 * given back, or -1 */
	int			earlier_hold;	/* HOLD: what open_hold was before it */
	int32		count;			/* RELEASE: how many */
	bool		others;			/* RELEASE: they are other sessions' */
	bool		kept;			/* HOLD: it stops the lease's clock */
	bool		fenced;			/* a fence is up until the end */
} DlockEvent;

/* make room first, so that adding cannot fail, and that there are chains */
extern void dlock_events_reserve(int count);
extern DlockEvent *dlock_events_add(DlockEventKind kind, DlockGate gate,
									const DlockLeaseRef *ref);
extern DlockEvent *dlock_events_last(const DlockLeaseRef *ref);

/* called at transaction end as well: these cannot fail */
extern int	dlock_events_count(void);
extern DlockEvent *dlock_events_at(int i);
extern void dlock_events_pop(void);
extern void dlock_events_forget(void);

#endif							/* DLOCK_SESSION_EVENTS_H */
