/*
 * xact.c
 *	  Holds, releases and fences at the end of transactions and sessions.
 *
 * All state here is local to the process.  Events record what the current
 * transaction has scheduled and what it holds.  Each event belongs to a
 * subtransaction, and is removed when that subtransaction is rolled back.
 * Session holds last until they are released or the session ends.
 *
 * A release takes effect in XACT_EVENT_COMMIT.  The transaction's changes are
 * visible by then, so the next holder of the lease can read them.
 *
 * A commit depends on the holds of the transaction, on the leases that it has
 * fenced and, if it has written something, on the leases that it releases or
 * downgrades.  XACT_EVENT_PRE_COMMIT, which comes after the deferred triggers,
 * checks that these leases are still held, and throws if one is not.  From the
 * check until the changes are visible, the engine does not grant these
 * resources to another client, even if the lease expires in between.  The
 * commit also waits until the ends of the earlier holders' leases are durable
 * (see wait_for_ends).
 *
 * Apart from XACT_EVENT_PRE_COMMIT, nothing that runs at the end of a
 * transaction allocates memory or throws.
 *
 * If the database was closed and opened again during the transaction, events
 * of the earlier epoch stay in the list.  They do no harm, because the engine
 * finds no lease for them.
 *
 * IDENTIFICATION
 *	  src/session/xact.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "storage/ipc.h"
#include "storage/proc.h"

#include "base/compat.h"
#include "base/errors.h"
#include "engine/holding.h"
#include "session/access.h"
#include "session/events.h"
#include "session/fence.h"
#include "session/flush.h"
#include "session/lost.h"
#include "session/session_holds.h"
#include "session/xact.h"
#include "shared/pending.h"

/*
 * dlock_xact_reserve makes room for "count" more events and session holds.
 * Throws if there is not enough memory.
 */
void
dlock_xact_reserve(DlockGate gate, int count)
{
	dlock_events_reserve(count);
	dlock_session_holds_reserve(gate, count);
}

static DlockLeaseRef
ref_of(const DlockRequest *request, const DlockGrant *grant)
{
	DlockLeaseRef ref = {0};

	ref.lease = grant->lease;
	ref.hash = request->key.hash;
	ref.token = grant->token;
	ref.told = grant->told_at;
	ref.mode = request->mode;
	return ref;
}

/*
 * dlock_xact_note_hold records a hold of scope transaction.  Cannot fail after
 * dlock_xact_reserve.
 */
void
dlock_xact_note_hold(const DlockRequest *request,
					 const DlockGrant *grant)
{
	DlockLeaseRef ref = ref_of(request, grant);
	DlockEvent *event = dlock_events_add(DLOCK_EVENT_HOLD, request->gate, &ref);

	event->kept = !request->hold.duration_given;
	event->earlier_hold = event->open_hold[request->mode];
	event->open_hold[request->mode] = dlock_events_count() - 1;
}

/*
 * dlock_xact_note_session_hold records a hold of scope session.  Cannot fail
 * after dlock_xact_reserve.
 */
void
dlock_xact_note_session_hold(const DlockRequest *request, const DlockGrant *grant)
{
	DlockLeaseRef ref = ref_of(request, grant);

	dlock_session_holds_note(request->gate, &ref);
}

/*
 * give_back_hold records that the transaction's newest hold of a lease in a
 * mode has been released.  Returns false if there is no such hold, or all of
 * them have been released already.  The caller has reserved an event.
 */
static bool
give_back_hold(DlockGate gate, const DlockLeaseRef *ref, DlockMode mode)
{
	const DlockEvent *last = dlock_events_last(ref);
	int			hold = last != NULL ? last->open_hold[mode] : -1;

	if (hold < 0)
		return false;
	dlock_events_add(DLOCK_EVENT_GIVEN_BACK, gate, ref)->open_hold[mode] =
		dlock_events_at(hold)->earlier_hold;
	return true;
}

/*
 * ask_for_release schedules the release of holds of a lease at commit.  It
 * counts them in the lease's newest event, if that is of the same kind and
 * subtransaction, and adds an event otherwise.  The caller has reserved one.
 *
 * relied_on is the mode that the transaction may rely on for what it writes
 * until the commit: the mode that the session has the lease in, but at least
 * the mode of the hold.
 */
static void
ask_for_release(DlockGate gate, const DlockLeaseRef *ref, DlockMode mode,
				bool others, int32 count)
{
	DlockEvent *event = dlock_events_last(ref);

	if (event == NULL || event->kind != DLOCK_EVENT_RELEASE ||
		event->ref.mode != mode || event->others != others ||
		event->subxact != GetCurrentSubTransactionId())
	{
		event = dlock_events_add(DLOCK_EVENT_RELEASE, gate, ref);
		event->ref.mode = mode;
		event->others = others;
		event->relied_on = dlock_mode_covers(ref->own_mode, mode) ?
			ref->own_mode : mode;
	}
	event->count += count;
	event->asked[others][mode] += count;
}

/*
 * available_holds returns how many holds of a lease in a mode, of this session
 * or of others, can still be scheduled for release.
 *
 * After we have scheduled the release of a hold, another session of the client
 * may downgrade the lease.  Then ref counts the hold in a weaker mode than
 * "asked" does, so a comparison of that mode alone would count it as available
 * once more.  So the result is also limited by the holds of all modes together
 * that have not been scheduled for release.
 */
static int32
available_holds(const DlockLeaseRef *ref, DlockMode mode, bool others)
{
	const int32 *holds = others ? ref->others : ref->own;
	const DlockEvent *last = dlock_events_last(ref);
	int32		all = 0;

	for (int i = 0; i < DLOCK_NMODES; i++)
		all += holds[i] - (last != NULL ? last->asked[others][i] : 0);
	return Min(all, holds[mode] - (last != NULL ? last->asked[others][mode] : 0));
}

/*
 * release_counted schedules the release of one hold in a mode, or of all of
 * them.  It does not consider holds of scope transaction.  Returns false if
 * there is no hold that has not been scheduled for release already.
 */
static bool
release_counted(DlockGate gate, const DlockLeaseRef *ref, DlockMode mode,
				bool others, bool all)
{
	int32		available = available_holds(ref, mode, others);

	if (available <= 0)
		return false;
	dlock_events_reserve(1);
	ask_for_release(gate, ref, mode, others, all ? available : 1);
	return true;
}

/*
 * release_own does the same for the holds of the session and of scope lease,
 * and, after these, for those of scope transaction.  For the latter it only
 * records the release, because they end with the transaction anyway.
 */
static bool
release_own(DlockGate gate, const DlockLeaseRef *ref, DlockMode mode, bool all)
{
	bool		asked = release_counted(gate, ref, mode, false, all);

	while (all || !asked)
	{
		dlock_events_reserve(1);
		if (!give_back_hold(gate, ref, mode))
			break;
		asked = true;
	}
	return asked;
}

/*
 * dlock_xact_release schedules the release of one hold of a lease at commit,
 * or of all of them: first the holds of this session, its transaction and of
 * scope lease, then those of other sessions, each time the strongest first.
 * Returns false if all of them have been scheduled for release already.
 * Throws if there is not enough memory.
 */
bool
dlock_xact_release(DlockGate gate, const DlockLeaseRef *ref, bool all)
{
	bool		asked = false;

	/* create the chains, which the functions below look at */
	dlock_events_reserve(1);
	for (int mode = DLOCK_NMODES - 1; mode >= 0 && (all || !asked); mode--)
		asked |= release_own(gate, ref, (DlockMode) mode, all);
	for (int mode = DLOCK_NMODES - 1; mode >= 0 && (all || !asked); mode--)
		asked |= release_counted(gate, ref, (DlockMode) mode, true, all);
	return asked;
}

/*
 * dlock_xact_downgrade schedules a weaker mode for a lease at commit.  A
 * stronger mode that is acknowledged between now and the commit is kept.
 */
void
dlock_xact_downgrade(DlockGate gate, const DlockLeaseRef *ref, DlockMode mode)
{
	DlockEvent *event;

	dlock_events_reserve(1);
	event = dlock_events_add(DLOCK_EVENT_DOWNGRADE, gate, ref);
	event->relied_on = ref->own_mode;
	event->to = mode;
}

/*
 * Transaction end
 */

/*
 * drop_event undoes the effect of an event at the end of its transaction or
 * subtransaction: it ends a hold and removes a fence.  Cannot fail.
 */
static void
drop_event(const DlockEvent *event)
{
	if (event->kind == DLOCK_EVENT_HOLD)
		dlock_holding_end_transaction(event->gate, &event->ref,
									  MyProcNumber, event->kept);
	if (event->kind == DLOCK_EVENT_FENCE)
		dlock_fence_undo(&event->ref);
	if (event->fenced)
		dlock_holding_let_go(event->gate, &event->ref);
}

/*
 * wait_for_ends waits until the ends of earlier holders' leases are durable.
 *
 * Suppose that session A of a client upgrades a shared lease, which needs the
 * end of another holder's lease, and waits until that end is durable.  In the
 * meantime session B of the same client writes under the lease, exclusively,
 * and commits.  If the server crashed then, the other holder's lease would be
 * loaded again although B's commit, which relied on its end, is durable.  So B
 * waits for the batch that carries the end.
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
report_lost(const DlockEvent *event)
{
	static const char *const relations[] = {
		[DLOCK_EVENT_HOLD] = "holds",
		[DLOCK_EVENT_GIVEN_BACK] = "",
		[DLOCK_EVENT_RELEASE] = "has released",
		[DLOCK_EVENT_DOWNGRADE] = "has downgraded",
		[DLOCK_EVENT_FENCE] = "depends on",
	};

	ereport(ERROR,
			(errcode(ERRCODE_DLOCK_LEASE_LOST),
			 errmsg("could not commit because a lease was lost"),
			 errdetail("The lease with token %lld, which the transaction %s, is no longer held in %s mode.%s",
					   (long long) event->ref.token, relations[event->kind],
					   dlock_mode_name(event->relied_on),
					   dlock_lost_cause(event->gate, &event->ref)),
			 event->kind == DLOCK_EVENT_HOLD ?
			 errhint("Retry the transaction, with a longer \"ttl\" or without one.") :
			 errhint("Acquire the resource again, and read the data again before changing it.")));
}

/*
 * is_relied_on returns whether the commit depends on the lease of an event.  A
 * release or downgrade counts only if the transaction has written something:
 * it did so under the lease, and its changes must be visible before another
 * client gets the resource.
 */
static bool
is_relied_on(const DlockEvent *event)
{
	switch (event->kind)
	{
		case DLOCK_EVENT_HOLD:
		case DLOCK_EVENT_FENCE:
			return true;
		case DLOCK_EVENT_RELEASE:
		case DLOCK_EVENT_DOWNGRADE:
			return TransactionIdIsValid(GetTopTransactionIdIfAny());
		case DLOCK_EVENT_GIVEN_BACK:
			break;
	}
	return false;
}

/*
 * keep_leases checks each lease that the commit depends on, and keeps its
 * resource from being granted to another client until drop_event runs, when
 * the transaction's changes are visible.  Throws if a lease has been lost, if
 * there is no quorum of standbys, or if the backend is cancelled or
 * terminated; the commit fails then.
 */
static void
keep_leases(void)
{
	DlockGate	gate = {0};
	uint64		batch = 0;

	for (int i = 0; i < dlock_events_count(); i++)
	{
		DlockEvent *event = dlock_events_at(i);

		if (!is_relied_on(event))
			continue;
		if (!dlock_holding_keep(event->gate, &event->ref, event->relied_on,
								&batch))
			report_lost(event);
		event->fenced = true;
		/* leases that are held all belong to the present epoch */
		gate = event->gate;
	}
	if (batch > 0)
		wait_for_ends(gate, batch);
}

static void
at_commit(void)
{
	int32		released = 0;

	for (int i = 0; i < dlock_events_count(); i++)
	{
		const DlockEvent *event = dlock_events_at(i);

		drop_event(event);
		if (event->kind == DLOCK_EVENT_RELEASE)
		{
			dlock_holding_release(event->gate, &event->ref, MyProcNumber,
								  event->others, event->count);
			released++;
		}
		if (event->kind == DLOCK_EVENT_DOWNGRADE)
			dlock_holding_downgrade(event->gate, &event->ref, event->to);
	}
	dlock_events_forget();
	dlock_session_holds_tidy(released);
}

static void
at_abort(void)
{
	for (int i = dlock_events_count() - 1; i >= 0; i--)
		drop_event(dlock_events_at(i));
	dlock_events_forget();
}

static void
xact_callback(XactEvent xact_event, void *arg)
{
	/* an error may have interrupted a wait for a batch, and left its notice */
	if (xact_event == XACT_EVENT_ABORT)
		dlock_pending_unnotify(MyProcNumber);
	if (dlock_events_count() == 0)
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
			/* neither PREPARE nor a parallel worker gets here with events */
			break;
	}
}

/*
 * subxact_callback undoes the events of a subtransaction that is rolled back,
 * or assigns them to the parent of one that commits.  These events are at the
 * end of the list.
 */
static void
subxact_callback(SubXactEvent subxact_event, SubTransactionId mine,
				 SubTransactionId parent, void *arg)
{
	if (subxact_event == SUBXACT_EVENT_ABORT_SUB)
	{
		while (dlock_events_count() > 0 && dlock_events_at(dlock_events_count() - 1)->subxact == mine)
		{
			drop_event(dlock_events_at(dlock_events_count() - 1));
			dlock_events_pop();
		}
	}
	else if (subxact_event == SUBXACT_EVENT_COMMIT_SUB)
	{
		for (int i = dlock_events_count() - 1; i >= 0 && dlock_events_at(i)->subxact == mine; i--)
			dlock_events_at(i)->subxact = parent;
	}
}

static void
end_session_holds(int code, Datum arg)
{
	dlock_session_holds_end();
}

/*
 * register_ends registers the callbacks for the ends of transactions and of
 * the session.  A process calls it when it uses dlock for the first time.
 */
static void
register_ends(void)
{
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
	before_shmem_exit(end_session_holds, (Datum) 0);
}

/*
 * dlock_xact_install arranges that every process that uses dlock calls
 * register_ends.  Called at server start.
 */
void
dlock_xact_install(void)
{
	dlock_access_on_first_use(register_ends);
}
