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
 * visible by then, so that whoever is granted the lease next reads them.  A
 * transaction's holds, and the leases that it fences, are checked in
 * XACT_EVENT_PRE_COMMIT, after the deferred triggers have run; from then until
 * the changes are visible nobody else gets them.  The commit also waits until
 * the end of whoever had them before is durable (see shared/ends.c).
 *
 * Nothing that runs at the end of a transaction allocates or throws, but for
 * that check.  Entries of an opening of the database that has ended are left
 * where they are: the engine finds no lease for them.
 *
 * IDENTIFICATION
 *	  src/lease/scope.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#include "base/config.h"
#include "base/errors.h"
#include "lease/access.h"
#include "lease/flush.h"
#include "lease/scope.h"
#include "shared/pending.h"

typedef enum EventKind
{
	EVENT_HOLD,					/* a hold of scope transaction */
	EVENT_RELEASE,				/* holds to be released at commit */
	EVENT_DOWNGRADE,			/* a lease to be made shared at commit */
	EVENT_FENCE,				/* a lease that the commit depends on */
} EventKind;

typedef struct Event
{
	EventKind	kind;
	SubTransactionId subxact;
	DlockGate	gate;
	DlockLeaseRef ref;
	int32		count;			/* RELEASE: how many */
	bool		kept;			/* HOLD: it stops the lease's clock */
	bool		fenced;			/* HOLD, FENCE: a fence is up until the end */
	SubTransactionId released_by;	/* HOLD: who asked for its release, or
									 * InvalidSubTransactionId */
} Event;

typedef struct SessionHold
{
	DlockGate	gate;
	DlockLeaseRef ref;
} SessionHold;

static Event *events;
static int	nevents;
static int	event_capacity;

/* which leases are fenced, by slot and mode; NULL before the first one */
static uint8 *fence_bits;

/* changes whenever a fence may be gone */
static uint64 fence_generation = 1;

static SessionHold *session_holds;
static int	nsession_holds;
static int	session_capacity;

static bool
same_lease(const DlockLeaseRef *a, const DlockLeaseRef *b)
{
	return a->lease == b->lease && a->token == b->token;
}

static bool
same_gate(DlockGate a, DlockGate b)
{
	return a.db == b.db && a.epoch == b.epoch;
}

static void
reserve_events(int count)
{
	int			wanted = Max(16, 2 * event_capacity + count);

	if (nevents + count <= event_capacity)
		return;
	if (events == NULL)
		events = MemoryContextAllocHuge(TopMemoryContext, wanted * sizeof(Event));
	else
		events = repalloc_huge(events, wanted * sizeof(Event));
	event_capacity = wanted;
}

/*
 * drop_stale forgets the session's holds in an earlier opening.
 */
static void
drop_stale(DlockGate gate)
{
	if (nsession_holds > 0 && !same_gate(session_holds[0].gate, gate))
		nsession_holds = 0;
}

/*
 * drop_ended forgets the session holds whose leases others have ended.
 */
static void
drop_ended(void)
{
	int			kept = 0;

	for (int i = 0; i < nsession_holds; i++)
		if (dlock_holding_stands(session_holds[i].gate, &session_holds[i].ref))
			session_holds[kept++] = session_holds[i];
	nsession_holds = kept;
}

/*
 * dlock_scope_reserve makes room for so many more events and session holds.
 */
void
dlock_scope_reserve(DlockGate gate, int count)
{
	int			wanted = Max(16, 2 * session_capacity + count);

	drop_stale(gate);
	reserve_events(count);
	if (nsession_holds + count > session_capacity)
		drop_ended();
	if (nsession_holds + count <= session_capacity)
		return;
	if (session_holds == NULL)
		session_holds = MemoryContextAllocHuge(TopMemoryContext,
											   wanted * sizeof(SessionHold));
	else
		session_holds = repalloc_huge(session_holds,
									  wanted * sizeof(SessionHold));
	session_capacity = wanted;
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

static Event *
add_event(EventKind kind, DlockGate gate, const DlockLeaseRef *ref)
{
	Event	   *event = &events[nevents++];

	Assert(nevents <= event_capacity);
	memset(event, 0, sizeof(*event));
	event->kind = kind;
	event->subxact = GetCurrentSubTransactionId();
	event->gate = gate;
	event->ref = *ref;
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
}

/*
 * dlock_scope_note_session remembers a hold of this session.
 */
void
dlock_scope_note_session(const DlockRequest *request, const DlockGrant *grant)
{
	SessionHold *hold = &session_holds[nsession_holds++];

	Assert(nsession_holds <= session_capacity);
	hold->gate = request->gate;
	hold->ref = ref_of(request, grant);
}

/*
 * dlock_scope_mark tells how much the transaction has asked for so far.
 */
int
dlock_scope_mark(void)
{
	return nevents;
}

/*
 * dlock_scope_release asks for the release of one hold, or of all, at commit;
 * false where all of them are asked for already.  What was asked for is looked
 * for up to mark: whoever releases lease after lease need not look through
 * what it has just asked for.
 */
bool
dlock_scope_release(DlockGate gate, const DlockLeaseRef *ref, bool all,
					int mark)
{
	int32		available = ref->hold_count - ref->transaction_holds;
	bool		asked = false;

	drop_stale(gate);
	for (int i = 0; i < mark; i++)
		if (events[i].kind == EVENT_RELEASE && same_lease(&events[i].ref, ref))
			available -= events[i].count;
	if (available > 0)
	{
		reserve_events(1);
		add_event(EVENT_RELEASE, gate, ref)->count = all ? available : 1;
		asked = true;
	}
	if (asked && !all)
		return true;

	/* those of the transaction end at its end, asked for or not */
	for (int i = mark - 1; i >= 0; i--)
	{
		if (events[i].kind == EVENT_HOLD && same_lease(&events[i].ref, ref) &&
			events[i].released_by == InvalidSubTransactionId)
		{
			events[i].released_by = GetCurrentSubTransactionId();
			asked = true;
			if (!all)
				break;
		}
	}
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
	(void) add_event(EVENT_DOWNGRADE, gate, ref);
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
dlock_scope_is_ours(const DlockLeaseRef *ref)
{
	if (is_fenced(ref, DLOCK_SHARED) || is_fenced(ref, DLOCK_EXCLUSIVE))
		return true;
	for (int i = 0; i < nevents; i++)
		if (events[i].kind == EVENT_HOLD && same_lease(&events[i].ref, ref))
			return true;
	for (int i = 0; i < nsession_holds; i++)
		if (same_lease(&session_holds[i].ref, ref))
			return true;
	return false;
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
 * drop_event forgets a hold or a fence, and lets the lease go.
 */
static void
drop_event(const Event *event)
{
	if (event->kind == EVENT_HOLD)
		dlock_holding_end_transaction(event->gate, &event->ref, event->kept);
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
 * forget_session_holds forgets up to so many holds of the session on a lease,
 * and tells how many there were.
 */
static int32
forget_session_holds(const DlockLeaseRef *ref, int32 count)
{
	int32		found = 0;

	for (int i = nsession_holds - 1; i >= 0 && found < count; i--)
	{
		if (!same_lease(&session_holds[i].ref, ref))
			continue;
		session_holds[i] = session_holds[--nsession_holds];
		found++;
	}
	return found;
}

/*
 * keep_leases sees to it that what the transaction holds or fences is there,
 * and goes to nobody else until its changes are visible.
 */
static void
keep_leases(void)
{
	DlockGate	gate = events[0].gate;
	uint64		batch = 0;

	for (int i = 0; i < nevents; i++)
	{
		Event	   *event = &events[i];

		if (event->kind == EVENT_HOLD)
		{
			if (!dlock_holding_keep(event->gate, &event->ref, &batch))
				ereport(ERROR,
						(errcode(ERRCODE_DLOCK_LEASE_LOST),
						 errmsg("could not commit because a lease was lost"),
						 errdetail("The lease with token %lld, which the transaction holds, is not held in %s mode any more.",
								   (long long) event->ref.token,
								   dlock_mode_name(event->ref.mode)),
						 errhint("Retry the transaction, with a longer lease or without one.")));
			event->fenced = true;
		}
		else if (event->kind == EVENT_FENCE)
		{
			if (!dlock_holding_keep(event->gate, &event->ref, &batch))
				ereport(ERROR,
						(errcode(ERRCODE_DLOCK_LEASE_LOST),
						 errmsg("could not commit because a lease was lost"),
						 errdetail("The lease with token %lld, which the transaction depends on, is not held in %s mode any more.",
								   (long long) event->ref.token,
								   dlock_mode_name(event->ref.mode)),
						 errhint("Acquire the resource again, and read again what is to be changed.")));
			event->fenced = true;
		}
	}
	if (batch > 0 && !dlock_pending_is_durable(gate.db, batch))
	{
		dlock_pending_wake_writer(gate.db, true);
		dlock_flush_wait_change(gate, batch);
	}
}

static void
at_commit(void)
{
	for (int i = 0; i < nevents; i++)
	{
		const Event *event = &events[i];

		switch (event->kind)
		{
			case EVENT_HOLD:
			case EVENT_FENCE:
				drop_event(event);
				break;
			case EVENT_RELEASE:
				dlock_holding_release(event->gate, &event->ref, event->count,
									  forget_session_holds(&event->ref,
														   event->count));
				break;
			case EVENT_DOWNGRADE:
				dlock_holding_downgrade(event->gate, &event->ref);
				break;
		}
	}
	nevents = 0;
}

static void
at_abort(void)
{
	for (int i = 0; i < nevents; i++)
		drop_event(&events[i]);
	nevents = 0;
}

static void
xact_callback(XactEvent xact_event, void *arg)
{
	if (xact_event == XACT_EVENT_COMMIT || xact_event == XACT_EVENT_ABORT ||
		xact_event == XACT_EVENT_PREPARE)
		dlock_access_end_transaction(nsession_holds > 0);
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

static void
subxact_callback(SubXactEvent subxact_event, SubTransactionId mine,
				 SubTransactionId parent, void *arg)
{
	int			kept = 0;

	if (nevents == 0 || (subxact_event != SUBXACT_EVENT_COMMIT_SUB &&
						 subxact_event != SUBXACT_EVENT_ABORT_SUB))
		return;
	for (int i = 0; i < nevents; i++)
	{
		if (events[i].subxact == mine)
		{
			if (subxact_event == SUBXACT_EVENT_ABORT_SUB)
			{
				drop_event(&events[i]);
				continue;
			}
			events[i].subxact = parent;
		}
		if (events[i].released_by == mine)
			events[i].released_by = subxact_event == SUBXACT_EVENT_ABORT_SUB ?
				InvalidSubTransactionId : parent;
		events[kept++] = events[i];
	}
	nevents = kept;
}

/*
 * dlock_scope_end_session gives every hold of the session back.
 */
void
dlock_scope_end_session(void)
{
	while (nsession_holds > 0)
	{
		SessionHold *hold = &session_holds[--nsession_holds];

		dlock_holding_end_session(hold->gate, &hold->ref, 1);
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
