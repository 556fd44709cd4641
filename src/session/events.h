/*
 * events.h
 *	  Releases, downgrades, fences and holds of the current transaction.
 *
 * IDENTIFICATION
 *	  src/session/events.h
 */
#ifndef DLOCK_SESSION_EVENTS_H
#define DLOCK_SESSION_EVENTS_H

#include "engine/lookup.h"

typedef enum DlockEventKind
{
	DLOCK_EVENT_HOLD,			/* a hold of scope transaction */
	DLOCK_EVENT_GIVEN_BACK,		/* such a hold has been released; it ends with
								 * the transaction all the same */
	DLOCK_EVENT_RELEASE,		/* holds to release at commit */
	DLOCK_EVENT_DOWNGRADE,		/* a weaker mode for a lease at commit */
	DLOCK_EVENT_FENCE,			/* a lease that the commit depends on */
} DlockEventKind;

typedef struct DlockEvent
{
	DlockEventKind kind;
	SubTransactionId subxact;
	DlockGate	gate;
	DlockLeaseRef ref;			/* ref.mode is that of the hold in a HOLD and
								 * RELEASE, else that of the lease then */
	DlockMode	relied_on;		/* the mode that the commit depends on */
	DlockMode	to;				/* DOWNGRADE: the mode at commit */
	int			next;			/* the next older event of its chain, or -1 */
	int32		asked[2][DLOCK_NMODES]; /* number of holds of the lease to
										 * release at commit, by this event
										 * and the older ones: [0] own holds,
										 * [1] holds of other sessions */
	int			open_hold[DLOCK_NMODES];	/* as of this event, the newest
											 * HOLD of the lease in that mode
											 * that has not been given back,
											 * or -1 */
	int			earlier_hold;	/* HOLD: open_hold of its mode before it */
	int32		count;			/* RELEASE: how many holds */
	bool		others;			/* RELEASE: holds of other sessions? */
	bool		kept;			/* HOLD: does it stop the lease's clock? */
	bool		fenced;			/* has at_commit or at_abort to call
								 * dlock_holding_let_go? */
} DlockEvent;

/* call reserve first: it makes the chains, and room so that add cannot fail */
extern void dlock_events_reserve(int count);
extern DlockEvent *dlock_events_add(DlockEventKind kind, DlockGate gate,
									const DlockLeaseRef *ref);
extern DlockEvent *dlock_events_last(const DlockLeaseRef *ref);

/* also called at the end of a transaction: these cannot fail */
extern int	dlock_events_count(void);
extern DlockEvent *dlock_events_at(int i);
extern void dlock_events_pop(void);
extern void dlock_events_forget(void);

#endif							/* DLOCK_SESSION_EVENTS_H */
