/*
 * scope.c
 *	  What a transaction or a session has to give back at its end.
 *
 * Process-local.  Events are what the current transaction has asked for and
 * what it holds; each belongs to a subtransaction, and goes with it when that
 * is rolled back.  Session holds last until they are released or the session
 * ends.
 *
 * A release takes effect in XACT_EVENT_COMMIT: the transaction's changes are
 * visible by then, so that the next holder reads them.  A transaction's holds,
 * the leases that it fences and, if it has written something, those that it
 * releases or makes weaker, are checked in XACT_EVENT_PRE_COMMIT, after the
 * deferred triggers have run; from then until the changes are visible nobody else
 * gets them.  The commit also waits until the end of the holder before is durable
 * (see shared/ends.c).
 *
 * Nothing that runs at the end of a transaction allocates or throws, but for
 * that check.  Entries of an opening of the database that has ended are left
 * where they are: the engine finds no lease for them.
 *
 * IDENTIFICATION
 *	  src/session/scope.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "port/pg_bitutils.h"
#include "storage/proc.h"
#include "utils/memutils.h"

#include "base/config.h"
#include "base/errors.h"
#include "engine/holding.h"
#include "session/access.h"
#include "session/flush.h"
#include "session/lost.h"
#include "session/scope.h"
#include "session/session_holds.h"
#include "shared/pending.h"

typedef enum EventKind
{
	EVENT_HOLD,					/* a hold of scope transaction */
	EVENT_GIVEN_BACK,			/* such a hold, which ends at the end anyway */
	EVENT_RELEASE,				/* holds to be released at commit */
	EVENT_DOWNGRADE,			/* a lease to be made shared at commit */
	EVENT_FENCE,				/* a lease that the commit depends on */
} EventKind;

typedef struct Event
{
	EventKind	kind;
	SubTransactionId subxact;
	DlockGate	gate;
	DlockLeaseRef ref;			/* its mode: that of the hold, for HOLD and
								 * RELEASE, else of the lease at the time */
	DlockMode	relied_on;		/* the mode that the commit depends on */
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
} Event;

/* more room than this is not kept from one transaction to the next */
#define KEEP_CAPACITY 1024

/*
 * In the order in which they came.  So those of a subtransaction, and of its own
 * that have committed, stand at the end as long as it is the current one.
 */
static Event *events;
static int	nevents;
static int	event_capacity;		/* a power of two */

/* chains of events by lease, as many as there is room; the newest comes first */
static int *chains;

/* which leases are fenced, by slot and mode; NULL before the first one */
static uint8 *fence_bits;

/* changes whenever a fence may be gone */
static uint64 fence_generation = 1;

static bool
same_lease(const DlockLeaseRef *a, const DlockLeaseRef *b)
{
	return a->lease == b->lease && a->token == b->token;
}

static int *
chain_of(const DlockLeaseRef *ref)
{
	return &chains[ref->lease & (uint32) (event_capacity - 1)];
}

static void
link_event(int i)
{
	int		   *chain = chain_of(&events[i].ref);

	events[i].next = *chain;
	*chain = i;
}

/*
 * pop_event takes the last event off; it is the first of its chain.
 */
static void
pop_event(void)
{
	Event	   *event = &events[--nevents];

	Assert(*chain_of(&event->ref) == nevents);
	*chain_of(&event->ref) = event->next;
}

/*
 * reserve_events makes room for so many more.
 */
static void
reserve_events(int count)
{
	int			wanted;
	int		   *new_chains;

	if (nevents + count <= event_capacity)
		return;
	wanted = (int) pg_nextpower2_32(Max(16, nevents + count));
	new_chains = MemoryContextAllocHuge(TopMemoryContext, wanted * sizeof(int));
	if (events == NULL)
		events = MemoryContextAllocHuge(TopMemoryContext, wanted * sizeof(Event));
	else
		events = repalloc_huge(events, wanted * sizeof(Event));
	if (chains != NULL)
		pfree(chains);
	chains = new_chains;
	event_capacity = wanted;
	memset(chains, 0xFF, wanted * sizeof(int));
	for (int i = 0; i < nevents; i++)
		link_event(i);
}

/*
 * forget_events begins anew, for the next transaction.
 */
static void
forget_events(void)
{
	if (event_capacity > KEEP_CAPACITY)
	{
		pfree(events);
		pfree(chains);
		events = NULL;
		chains = NULL;
		event_capacity = 0;
		nevents = 0;
	}
	while (nevents > 0)
		pop_event();
}

/*
 * dlock_scope_reserve makes room for so many more events and session holds.
 */
void
dlock_scope_reserve(DlockGate gate, int count)
{
	reserve_events(count);
	dlock_session_reserve(gate, count);
}

static DlockLeaseRef
ref_of(const DlockRequest *request, const DlockGrant *grant)
{
	DlockLeaseRef ref = {0};

	ref.lease = grant->lease;
	ref.hash = request->key.hash;
	ref.token = grant->token;
	ref.mode = request->mode;
	return ref;
}

/*
 * last_event gives the newest event about a lease, or NULL.
 */
static Event *
last_event(const DlockLeaseRef *ref)
{
	int			i = *chain_of(ref);

	while (i >= 0 && !same_lease(&events[i].ref, ref))
		i = events[i].next;
	return i < 0 ? NULL : &events[i];
}

static Event *
add_event(EventKind kind, DlockGate gate, const DlockLeaseRef *ref)
{
	Event	   *event = &events[nevents];
	const Event *last = last_event(ref);

	Assert(nevents < event_capacity);
	memset(event, 0, sizeof(*event));
	for (int mode = 0; mode < DLOCK_NMODES; mode++)
		event->open_hold[mode] = last != NULL ? last->open_hold[mode] : -1;
	if (last != NULL)
		memcpy(event->asked, last->asked, sizeof(event->asked));
	event->relied_on = ref->mode;
	event->kind = kind;
	event->subxact = GetCurrentSubTransactionId();
	event->gate = gate;
	event->ref = *ref;
	link_event(nevents++);
	return event;
}

/*
 * dlock_scope_note_transaction remembers a hold of the current transaction.
 */
void
dlock_scope_note_transaction(const DlockRequest *request,
							 const DlockGrant *grant)
{
	DlockLeaseRef ref = ref_of(request, grant);
	Event	   *event = add_event(EVENT_HOLD, request->gate, &ref);

	event->kept = !request->hold.duration_given;
	event->earlier_hold = event->open_hold[request->mode];
	event->open_hold[request->mode] = nevents - 1;
}

/*
 * dlock_scope_note_session remembers a hold of this session.
 */
void
dlock_scope_note_session(const DlockRequest *request, const DlockGrant *grant)
{
	DlockLeaseRef ref = ref_of(request, grant);

	dlock_session_note(request->gate, &ref);
}

/*
 * give_back_hold asks for the release of the newest hold of the transaction on a
 * lease in a mode; false where there is none that it was not asked for yet.
 */
static bool
give_back_hold(DlockGate gate, const DlockLeaseRef *ref, DlockMode mode)
{
	const Event *last = last_event(ref);
	int			hold = last != NULL ? last->open_hold[mode] : -1;

	if (hold < 0)
		return false;
	add_event(EVENT_GIVEN_BACK, gate, ref)->open_hold[mode] =
		events[hold].earlier_hold;
	return true;
}

/*
 * ask_for_release notes that holds of a lease are to be released at commit: with
 * the event before, if that asks for the same in the same subtransaction.  What
 * is written meanwhile is written in the mode that the session has the lease in,
 * or at least that of the hold.
 */
static void
ask_for_release(DlockGate gate, const DlockLeaseRef *ref, DlockMode mode,
				bool others, int32 count)
{
	Event	   *event = last_event(ref);

	if (event == NULL || event->kind != EVENT_RELEASE ||
		event->ref.mode != mode || event->others != others ||
		event->subxact != GetCurrentSubTransactionId())
	{
		event = add_event(EVENT_RELEASE, gate, ref);
		event->ref.mode = mode;
		event->others = others;
		event->relied_on = dlock_mode_covers(ref->own_mode, mode) ?
			ref->own_mode : mode;
	}
	event->count += count;
	event->asked[others][mode] += count;
}

/*
 * available_holds tells how many holds in a mode can be given back, and were not
 * asked for yet.  They may have become weaker since they were asked for, so there
 * must be some left of all modes as well.
 */
static int32
available_holds(const DlockLeaseRef *ref, DlockMode mode, bool others)
{
	const int32 *holds = others ? ref->others : ref->own;
	const Event *last = last_event(ref);
	int32		all = 0;

	for (int i = 0; i < DLOCK_NMODES; i++)
		all += holds[i] - (last != NULL ? last->asked[others][i] : 0);
	return Min(all, holds[mode] - (last != NULL ? last->asked[others][mode] : 0));
}

/*
 * release_counted asks for the release of one hold in a mode that is not a
 * transaction's, or of all; false where all of them are asked for already.
 */
static bool
release_counted(DlockGate gate, const DlockLeaseRef *ref, DlockMode mode,
				bool others, bool all)
{
	int32		available = available_holds(ref, mode, others);

	if (available <= 0)
		return false;
	reserve_events(1);
	ask_for_release(gate, ref, mode, others, all ? available : 1);
	return true;
}

/*
 * release_own is the same for all that is the session's or its client's.  Holds of
 * the transaction end with it, asked for or not.
 */
static bool
release_own(DlockGate gate, const DlockLeaseRef *ref, DlockMode mode, bool all)
{
	bool		asked = release_counted(gate, ref, mode, false, all);

	while (all || !asked)
	{
		reserve_events(1);
		if (!give_back_hold(gate, ref, mode))
			break;
		asked = true;
	}
	return asked;
}

/*
 * dlock_scope_release asks for the release of one hold at commit, or of all:
 * first what is the session's or its client's, then what other sessions hold, the
 * strongest first.  False where all of them are asked for already.
 */
bool
dlock_scope_release(DlockGate gate, const DlockLeaseRef *ref, bool all)
{
	bool		asked = false;

	/* there must be chains to look at */
	reserve_events(1);
	for (int mode = DLOCK_NMODES - 1; mode >= 0 && (all || !asked); mode--)
		asked |= release_own(gate, ref, (DlockMode) mode, all);
	for (int mode = DLOCK_NMODES - 1; mode >= 0 && (all || !asked); mode--)
		asked |= release_counted(gate, ref, (DlockMode) mode, true, all);
	return asked;
}

/*
 * dlock_scope_downgrade makes an exclusive lease a shared one at commit, unless
 * it is given out as exclusive again before.
 */
void
dlock_scope_downgrade(DlockGate gate, const DlockLeaseRef *ref)
{
	reserve_events(1);
	add_event(EVENT_DOWNGRADE, gate, ref)->relied_on = ref->own_mode;
}

/*
 * fence_bit tells where it is noted that a lease is fenced as held in a mode.
 * A slot that has gone to another lease since does no harm: the fence on the
 * first one makes the commit fail, and belongs to the same subtransaction or
 * to one around it.
 */
static Size
fence_bit(const DlockLeaseRef *ref, DlockMode mode)
{
	return (Size) ref->lease * DLOCK_NMODES + mode;
}

static bool
is_fenced(const DlockLeaseRef *ref, DlockMode mode)
{
	Size		bit = fence_bit(ref, mode);

	return fence_bits != NULL && (fence_bits[bit / 8] & (1 << (bit % 8))) != 0;
}

/*
 * dlock_scope_fence makes the commit depend on a lease as it is held now.
 */
void
dlock_scope_fence(DlockGate gate, const DlockLeaseRef *ref)
{
	Size		bits = (Size) dlock_max_leases * DLOCK_NMODES;
	Size		bit = fence_bit(ref, ref->mode);

	if (is_fenced(ref, ref->mode))
		return;
	reserve_events(1);
	if (fence_bits == NULL)
		fence_bits = MemoryContextAllocZero(TopMemoryContext, (bits + 7) / 8);
	fence_bits[bit / 8] |= 1 << (bit % 8);
	(void) add_event(EVENT_FENCE, gate, ref);
}

/*
 * dlock_scope_is_ours tells whether this transaction has fenced a lease, or
 * holds it, or this session does, as whatever client.
 */
bool
dlock_scope_is_ours(DlockGate gate, const DlockLeaseRef *ref)
{
	return is_fenced(ref, DLOCK_SHARED) || is_fenced(ref, DLOCK_EXCLUSIVE) ||
		dlock_lookup_of_session(gate, ref, MyProc->pgprocno);
}

/*
 * dlock_scope_fence_generation gives a number that stays the same as long as
 * all fences of the transaction are there.
 */
uint64
dlock_scope_fence_generation(void)
{
	return fence_generation;
}

/*
 * Transaction end
 */

/*
 * drop_event undoes an event: a hold ends, a fence goes.
 */
static void
drop_event(const Event *event)
{
	if (event->kind == EVENT_HOLD)
		dlock_holding_end_transaction(event->gate, &event->ref,
									  MyProc->pgprocno, event->kept);
	if (event->kind == EVENT_FENCE)
	{
		Size		bit = fence_bit(&event->ref, event->ref.mode);

		fence_bits[bit / 8] &= ~(1 << (bit % 8));
		fence_generation++;
	}
	if (event->fenced)
		dlock_holding_let_go(event->gate, &event->ref);
}

/*
 * wait_for_ends waits until those are durable on whose leases the commit would
 * otherwise build.
 */
static void
wait_for_ends(DlockGate gate, uint64 batch)
{
	if (dlock_pending_is_durable(gate.db, batch))
		return;
	dlock_pending_wake_writer(gate.db, true);
	dlock_flush_wait_change(gate, batch);
}

static void
report_lost(const Event *event)
{
	static const char *const relations[] = {
		[EVENT_HOLD] = "holds",
		[EVENT_GIVEN_BACK] = "",
		[EVENT_RELEASE] = "has released",
		[EVENT_DOWNGRADE] = "has made shared",
		[EVENT_FENCE] = "depends on",
	};

	ereport(ERROR,
			(errcode(ERRCODE_DLOCK_LEASE_LOST),
			 errmsg("could not commit because a lease was lost"),
			 errdetail("The lease with token %lld, which the transaction %s, is not held in %s mode any more.%s",
					   (long long) event->ref.token, relations[event->kind],
					   dlock_mode_name(event->relied_on),
					   dlock_lost_cause(event->gate, &event->ref)),
			 event->kind == EVENT_HOLD ?
			 errhint("Retry the transaction, with a longer \"ttl\" or without one.") :
			 errhint("Acquire the resource again, and read again what is to be changed.")));
}

/*
 * is_relied_on tells whether the commit depends on the lease of an event.  What
 * is given back or made weaker counts where something has been written: that was
 * done under the lease, and is to be seen before anybody else has it.
 */
static bool
is_relied_on(const Event *event)
{
	switch (event->kind)
	{
		case EVENT_HOLD:
		case EVENT_FENCE:
			return true;
		case EVENT_RELEASE:
		case EVENT_DOWNGRADE:
			return TransactionIdIsValid(GetTopTransactionIdIfAny());
		case EVENT_GIVEN_BACK:
			break;
	}
	return false;
}

/*
 * keep_leases sees to it that what the commit depends on is there, and goes to
 * nobody else until its changes are visible.
 */
static void
keep_leases(void)
{
	DlockGate	gate = {0};
	uint64		batch = 0;

	for (int i = 0; i < nevents; i++)
	{
		Event	   *event = &events[i];

		if (!is_relied_on(event))
			continue;
		if (!dlock_holding_keep(event->gate, &event->ref, event->relied_on,
								&batch))
			report_lost(event);
		event->fenced = true;
		/* the same for all that stand: that of the present opening */
		gate = event->gate;
	}
	if (batch > 0)
		wait_for_ends(gate, batch);
}

static void
at_commit(void)
{
	int32		released = 0;

	for (int i = 0; i < nevents; i++)
	{
		const Event *event = &events[i];

		drop_event(event);
		if (event->kind == EVENT_RELEASE)
		{
			dlock_holding_release(event->gate, &event->ref, MyProc->pgprocno,
								  event->others, event->count);
			released++;
		}
		if (event->kind == EVENT_DOWNGRADE)
			dlock_holding_downgrade(event->gate, &event->ref);
	}
	forget_events();
	dlock_session_tidy(released);
}

static void
at_abort(void)
{
	for (int i = nevents - 1; i >= 0; i--)
		drop_event(&events[i]);
	forget_events();
}

static void
xact_callback(XactEvent xact_event, void *arg)
{
	if (xact_event == XACT_EVENT_COMMIT || xact_event == XACT_EVENT_ABORT ||
		xact_event == XACT_EVENT_PREPARE)
		dlock_access_end_transaction();
	/* a wait for a batch that was interrupted left its notice */
	if (xact_event == XACT_EVENT_ABORT)
		dlock_pending_unnotify(MyProc->pgprocno);
	if (nevents == 0)
		return;
	switch (xact_event)
	{
		case XACT_EVENT_PRE_COMMIT:
			keep_leases();
			break;
		case XACT_EVENT_COMMIT:
			at_commit();
			break;
		case XACT_EVENT_ABORT:
			at_abort();
			break;
		case XACT_EVENT_PRE_PREPARE:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot PREPARE a transaction that has released or fenced a lease, or holds one of scope \"transaction\"")));
			break;
		default:
			/* a parallel worker has no events, and PREPARE leaves none */
			break;
	}
}

/*
 * subxact_callback undoes what the subtransaction has asked for, or passes it
 * on to its parent.  All of it stands at the end.
 */
static void
subxact_callback(SubXactEvent subxact_event, SubTransactionId mine,
				 SubTransactionId parent, void *arg)
{
	if (subxact_event == SUBXACT_EVENT_ABORT_SUB)
	{
		while (nevents > 0 && events[nevents - 1].subxact == mine)
		{
			drop_event(&events[nevents - 1]);
			pop_event();
		}
	}
	else if (subxact_event == SUBXACT_EVENT_COMMIT_SUB)
	{
		for (int i = nevents - 1; i >= 0 && events[i].subxact == mine; i--)
			events[i].subxact = parent;
	}
}

/*
 * dlock_scope_init registers for the ends of transactions.
 */
void
dlock_scope_init(void)
{
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
}
