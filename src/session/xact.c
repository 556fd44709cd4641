/*
 * xact.c
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
 *	  src/session/xact.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "storage/ipc.h"
#include "storage/proc.h"

#include "base/config.h"
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
 * dlock_xact_reserve makes room for so many more events and session holds.
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
	ref.mode = request->mode;
	return ref;
}

/*
 * dlock_xact_note_hold remembers a hold of the current transaction.
 */
void
dlock_xact_note_hold(const DlockRequest *request,
							 const DlockGrant *grant)
{
	DlockLeaseRef ref = ref_of(request, grant);
	DlockEvent	   *event = dlock_events_add(DLOCK_EVENT_HOLD, request->gate, &ref);

	event->kept = !request->hold.duration_given;
	event->earlier_hold = event->open_hold[request->mode];
	event->open_hold[request->mode] = dlock_events_count() - 1;
}

/*
 * dlock_xact_note_session_hold remembers a hold of this session.
 */
void
dlock_xact_note_session_hold(const DlockRequest *request, const DlockGrant *grant)
{
	DlockLeaseRef ref = ref_of(request, grant);

	dlock_session_holds_note(request->gate, &ref);
}

/*
 * give_back_hold asks for the release of the newest hold of the transaction on a
 * lease in a mode; false where there is none that it was not asked for yet.
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
 * ask_for_release notes that holds of a lease are to be released at commit: with
 * the event before, if that asks for the same in the same subtransaction.  What
 * is written meanwhile is written in the mode that the session has the lease in,
 * or at least that of the hold.
 */
static void
ask_for_release(DlockGate gate, const DlockLeaseRef *ref, DlockMode mode,
				bool others, int32 count)
{
	DlockEvent	   *event = dlock_events_last(ref);

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
 * available_holds tells how many holds in a mode can be given back, and were not
 * asked for yet.  They may have become weaker since they were asked for, so there
 * must be some left of all modes as well.
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
	dlock_events_reserve(1);
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
		dlock_events_reserve(1);
		if (!give_back_hold(gate, ref, mode))
			break;
		asked = true;
	}
	return asked;
}

/*
 * dlock_xact_release asks for the release of one hold at commit, or of all:
 * first what is the session's or its client's, then what other sessions hold, the
 * strongest first.  False where all of them are asked for already.
 */
bool
dlock_xact_release(DlockGate gate, const DlockLeaseRef *ref, bool all)
{
	bool		asked = false;

	/* there must be chains to look at */
	dlock_events_reserve(1);
	for (int mode = DLOCK_NMODES - 1; mode >= 0 && (all || !asked); mode--)
		asked |= release_own(gate, ref, (DlockMode) mode, all);
	for (int mode = DLOCK_NMODES - 1; mode >= 0 && (all || !asked); mode--)
		asked |= release_counted(gate, ref, (DlockMode) mode, true, all);
	return asked;
}

/*
 * dlock_xact_downgrade gives a lease a weaker mode at commit, unless a stronger
 * one is granted again before.
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
 * drop_event undoes an event: a hold ends, a fence goes.
 */
static void
drop_event(const DlockEvent *event)
{
	if (event->kind == DLOCK_EVENT_HOLD)
		dlock_holding_end_transaction(event->gate, &event->ref,
									  MyProc->pgprocno, event->kept);
	if (event->kind == DLOCK_EVENT_FENCE)
		dlock_fence_undo(&event->ref);
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
 * is_relied_on tells whether the commit depends on the lease of an event.  What
 * is given back or made weaker counts where something has been written: that was
 * done under the lease, and is to be seen before anybody else has it.
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
 * keep_leases sees to it that what the commit depends on is there, and goes to
 * nobody else until its changes are visible.
 */
static void
keep_leases(void)
{
	DlockGate	gate = {0};
	uint64		batch = 0;

	for (int i = 0; i < dlock_events_count(); i++)
	{
		DlockEvent	   *event = dlock_events_at(i);

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

	for (int i = 0; i < dlock_events_count(); i++)
	{
		const DlockEvent *event = dlock_events_at(i);

		drop_event(event);
		if (event->kind == DLOCK_EVENT_RELEASE)
		{
			dlock_holding_release(event->gate, &event->ref, MyProc->pgprocno,
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
	/* a wait for a batch that was interrupted left its notice */
	if (xact_event == XACT_EVENT_ABORT)
		dlock_pending_unnotify(MyProc->pgprocno);
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
 * register_ends registers for the ends of transactions and of the session.
 */
static void
register_ends(void)
{
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
	before_shmem_exit(end_session_holds, (Datum) 0);
}

/*
 * dlock_xact_install sees to it that a process that uses dlock is registered.
 */
void
dlock_xact_install(void)
{
	dlock_access_on_first_use(register_ends);
}
