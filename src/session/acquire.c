/*
 * acquire.c
 *	  Take a lease, or change the mode of one, waiting as long as is wanted.
 *
 * All sleeping is done here: first in line for the grant, then for the batch
 * that makes the grant durable.  Whatever ends a sleep early, an error or the
 * end of the process, takes the request back, so that a place in line or a
 * grant nobody heard of never stays behind.
 *
 * IDENTIFICATION
 *	  src/session/acquire.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"

#include "base/debug_point.h"
#include "base/errors.h"
#include "base/interval.h"
#include "base/message.h"
#include "deadlock/detect.h"
#include "engine/enqueue.h"
#include "engine/grant.h"
#include "session/acquire.h"
#include "session/flush.h"
#include "session/lost.h"
#include "session/quorum.h"
#include "session/sleep.h"
#include "session/xact.h"
#include "shared/pending.h"
#include "shared/slots.h"

/*
 * A grant must be durable by the time that the client is willing to wait, but
 * has at least that long: a flush always takes some time, and a request with
 * timeout 0 is not to fail for that.
 */
#define FLUSH_TIME USECS_PER_SEC

/* how often to look whether slots have come */
#define SLOT_POLL (10 * INT64CONST(1000))

/* what must be taken back if we do not come to the end */
typedef struct UnderWay
{
	const DlockRequest *request;
	DlockGrant *grant;
	bool		active;
} UnderWay;

static void
abandon_request(int code, Datum arg)
{
	UnderWay   *under_way = (UnderWay *) DatumGetPointer(arg);

	if (!under_way->active)
		return;
	under_way->active = false;
	dlock_grant_take_back(under_way->request, under_way->grant);
	dlock_pending_unnotify(MyProc->pgprocno);
}

/*
 * dlock_acquire_wait_in_queue sleeps until the request is granted, or its time is over.
 */
DlockOutcome
dlock_acquire_wait_in_queue(const DlockRequest *request, DlockGrant *grant,
				   DlockRefusal *refusal)
{
	for (;;)
	{
		DlockOutcome outcome = dlock_enqueue_result(request, grant);

		if (outcome == DLOCK_DEADLOCK)
			refusal->deadlock = grant->deadlock;
		if (outcome == DLOCK_LOST)
			refusal->token = request->token;
		if (outcome != DLOCK_QUEUED)
			return outcome;
		if (dlock_clock_now() >= request->deadline &&
			dlock_enqueue_leave(request, grant, refusal))
			return DLOCK_TIMED_OUT;
		dlock_sleep_until(request->deadline, true);
	}
}

/*
 * unflushed gives the outcome for a request that was not made durable.
 */
static DlockOutcome
unflushed(DlockFlush flush)
{
	return flush == DLOCK_FLUSH_NO_QUORUM ? DLOCK_NO_QUORUM : DLOCK_NOT_DURABLE;
}

/*
 * dlock_acquire_wait_for_flush sleeps until the batch of a grant is durable, for as long
 * as the request may wait, but at least for a flush.
 */
DlockOutcome
dlock_acquire_wait_for_flush(const DlockRequest *request, uint64 batch)
{
	DlockTime	soonest = dlock_clock_after(dlock_clock_now(), FLUSH_TIME);
	DlockFlush	flush = dlock_flush_wait(request->gate, batch,
										 Max(request->deadline, soonest));

	if (flush != DLOCK_FLUSH_DONE)
		return unflushed(flush);
	DLOCK_DEBUG_POINT(DLOCK_STOP_GRANT_FLUSHED);
	return DLOCK_GRANTED;
}

/*
 * wait_until_granted waits for all that a request has to wait for.
 */
static DlockOutcome
wait_until_granted(const DlockRequest *request, DlockOutcome outcome, DlockGrant *grant,
	   DlockRefusal *refusal)
{
	if (outcome == DLOCK_QUEUED)
		outcome = dlock_acquire_wait_in_queue(request, grant, refusal);
	if (outcome != DLOCK_GRANTED)
		return outcome;
	if (grant->must_flush)
	{
		outcome = dlock_acquire_wait_for_flush(request, grant->batch);
		if (outcome != DLOCK_GRANTED)
		{
			dlock_grant_take_back(request, grant);
			return outcome;
		}
	}
	if (!dlock_grant_acknowledge(request, grant))
	{
		refusal->token = grant->token;
		dlock_grant_take_back(request, grant);
		return dlock_database_is_open(request->gate.db, request->gate.epoch) ?
			DLOCK_LOST : DLOCK_SHUT;
	}
	return DLOCK_GRANTED;
}

/*
 * see_through is finish, and takes the request back if that is interrupted.
 */
static DlockOutcome
see_through(const DlockRequest *request, DlockOutcome outcome,
			DlockGrant *grant, DlockRefusal *refusal)
{
	UnderWay	under_way = {request, grant, true};
	DlockOutcome result;

	PG_ENSURE_ERROR_CLEANUP(abandon_request, PointerGetDatum(&under_way));
	{
		result = wait_until_granted(request, outcome, grant, refusal);
		under_way.active = false;
	}
	PG_END_ENSURE_ERROR_CLEANUP(abandon_request, PointerGetDatum(&under_way));
	dlock_pending_unnotify(MyProc->pgprocno);
	return result;
}

/*
 * ensure_tokens sees to it that there are tokens to give out: DLOCK_GRANTED, or
 * the outcome of the request.
 */
static DlockOutcome
ensure_tokens(const DlockRequest *request)
{
	DlockTime	soonest;
	DlockFlush	flush;

	if (likely(pg_atomic_read_u64(&request->gate.db->token_limit) != 0))
		return DLOCK_GRANTED;
	soonest = dlock_clock_after(dlock_clock_now(), FLUSH_TIME);
	flush = dlock_flush_wait_tokens(request->gate, Max(request->deadline, soonest));
	return flush == DLOCK_FLUSH_DONE ? DLOCK_GRANTED : unflushed(flush);
}

/*
 * dlock_acquire_prepare does what comes before several requests of one client
 * that are to end together: DLOCK_GRANTED, or their outcome.  lock_timeout
 * bounds them as it bounds every wait for a lock.
 */
DlockOutcome
dlock_acquire_prepare(DlockRequest *requests, int count, int64 *timeout,
					  bool *by_setting)
{
	DlockRequest *first = &requests[0];

	dlock_xact_reserve(first->gate, count);
	if (first->hold.durable && first->hold.scope != DLOCK_SCOPE_TRANSACTION)
		dlock_quorum_check(first->gate.db);
	*by_setting = LockTimeout > 0 && *timeout > LockTimeout * (int64) 1000;
	if (*by_setting)
		*timeout = LockTimeout * (int64) 1000;
	first->deadline = dlock_clock_after(first->arrived, *timeout);
	for (int i = 0; i < count; i++)
	{
		requests[i].deadline = first->deadline;
		requests[i].quorum = dlock_quorum_is_wanted();
		requests[i].hold.mode = requests[i].mode;
		requests[i].hold.session = MyProc->pgprocno;
	}
	return ensure_tokens(first);
}

/*
 * dlock_acquire_note remembers a hold that ends with the transaction or the
 * session.
 */
void
dlock_acquire_note(const DlockRequest *request, const DlockGrant *grant)
{
	if (request->hold.scope == DLOCK_SCOPE_TRANSACTION)
		dlock_xact_note_hold(request, grant);
	if (request->hold.scope == DLOCK_SCOPE_SESSION)
		dlock_xact_note_session_hold(request, grant);
}

/*
 * is_too_late tells whether a request is not to be made anew any more.
 */
static bool
is_too_late(const DlockRequest *request)
{
	return dlock_clock_now() >= Max(request->deadline,
									dlock_clock_after(request->arrived, FLUSH_TIME));
}

/*
 * dlock_acquire_look_at_slots notes how it stands with slots, before a request is made.
 */
void
dlock_acquire_look_at_slots(DlockSlotsLook *look)
{
	look->trimmed = dlock_slots_trimmed(&look->untrimmed);
}

/*
 * dlock_acquire_slots_come tells whether a request that has found no slot is to be made
 * anew: ended leases gave some up, and the writer was deleting their rows, or has
 * just done so.  Waits a moment where it still is.
 */
bool
dlock_acquire_slots_come(const DlockRequest *request, DlockOutcome outcome,
				 const DlockSlotsLook *before)
{
	DlockSlotsLook after;

	if (outcome != DLOCK_NO_LEASE_SLOT || is_too_late(request))
		return false;
	dlock_acquire_look_at_slots(&after);
	if (after.trimmed > 0)
		dlock_sleep_until(dlock_clock_after(dlock_clock_now(), SLOT_POLL), true);
	return after.trimmed > 0 || before->trimmed > 0 ||
		after.untrimmed != before->untrimmed;
}

/*
 * dlock_acquire_again tells whether a request that has come to nothing is to
 * be made anew, as if it had come a moment later: the lease that it joined has
 * ended before the hold was durable.  Its time is that of the first attempt.
 */
bool
dlock_acquire_again(const DlockRequest *request, DlockOutcome outcome,
					const DlockGrant *grant)
{
	return outcome == DLOCK_LOST && grant->again && !is_too_late(request);
}

/*
 * dlock_acquire_lease serves a request; timeout in microseconds, 0: do not
 * wait in line, DLOCK_NEVER: no limit.
 */
DlockOutcome
dlock_acquire_lease(DlockRequest *request, int64 timeout, DlockGrant *grant,
					DlockRefusal *refusal)
{
	bool		by_setting;
	DlockOutcome outcome = dlock_acquire_prepare(request, 1, &timeout,
												 &by_setting);

	if (outcome == DLOCK_GRANTED)
	{
		DlockSlotsLook look;

		do
		{
			CHECK_FOR_INTERRUPTS();
			dlock_acquire_look_at_slots(&look);
			outcome = dlock_grant_request(request, timeout > 0, grant,
										   refusal);
			if (outcome == DLOCK_QUEUED ||
				(outcome == DLOCK_GRANTED && grant->must_flush))
				outcome = see_through(request, outcome, grant, refusal);
		} while (dlock_acquire_again(request, outcome, grant) ||
				 dlock_acquire_slots_come(request, outcome, &look));
	}

	if (outcome == DLOCK_GRANTED && request->hold.counts)
		dlock_acquire_note(request, grant);
	DLOCK_DEBUG_POINT(DLOCK_STOP_GRANT_ACKNOWLEDGED);
	if (outcome == DLOCK_TIMED_OUT && by_setting)
		return DLOCK_LOCK_TIMEOUT;
	return outcome;
}

/*
 * Messages
 */

static int
refusal_detail(const DlockRequest *request, const DlockRefusal *refusal)
{
	StringInfoData buf;

	initStringInfo(&buf);
	if (refusal->nholders == 0)
		appendStringInfoString(&buf, "Other requests are waiting ahead");
	else
	{
		appendStringInfo(&buf, "The resource is held in %s mode by client \"%s\"",
						 dlock_mode_name(refusal->mode), refusal->holder);
		if (refusal->nholders > 1)
			appendStringInfo(&buf, " and %d more", refusal->nholders - 1);
		if (refusal->remaining == DLOCK_NEVER)
			appendStringInfoString(&buf, ", without a time limit");
		else
			appendStringInfo(&buf, ", for another %s",
							 dlock_interval_text(refusal->remaining));
	}
	if (refusal->place > 0)
		appendStringInfo(&buf, "; the request was at place %d of %d in the queue",
						 refusal->place, refusal->nwaiters);
	else if (refusal->nwaiters > 0)
		appendStringInfo(&buf, refusal->nwaiters == 1 ?
						 "; %d request is waiting" :
						 "; %d requests are waiting", refusal->nwaiters);
	appendStringInfoChar(&buf, '.');
	return dlock_message_detail(buf.data);
}

static void
report_no_slot(const char *what, const char *setting)
{
	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("out of dlock %s slots", what),
			 errhint("You might need to increase \"%s\".", setting)));
}

/*
 * report_not_durable: the request was granted, and has been taken back.
 */
static void
report_not_durable(DlockDatabase *db, const char *name)
{
	DlockWriterReport report;

	dlock_database_report_writer(db, &report);
	ereport(ERROR,
			(errcode(ERRCODE_DLOCK_NOT_DURABLE),
			 errmsg("could not make a lease on resource \"%s\" durable in time",
					name),
			 dlock_flush_writer_detail(&report),
			 errhint("The request was withdrawn. Try again with a longer timeout, or see the server log for what is delaying the writer.")));
}

/*
 * dlock_acquire_report raises the error that an outcome stands for.
 */
void
dlock_acquire_report(const DlockRequest *request, DlockOutcome outcome,
					 const DlockRefusal *refusal)
{
	const char *name = dlock_message_text(pnstrdup(request->key.name,
												   request->key.len));

	switch (outcome)
	{
		case DLOCK_BUSY:
		case DLOCK_TIMED_OUT:
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("could not obtain a lease on resource \"%s\"", name),
					 refusal_detail(request, refusal)));
			break;
		case DLOCK_LOCK_TIMEOUT:
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("canceling statement due to lock timeout"),
					 refusal_detail(request, refusal),
					 errcontext("while waiting for a lease on resource \"%s\"",
								name)));
			break;
		case DLOCK_UPGRADE_DEADLOCK:
			ereport(ERROR,
					(errcode(ERRCODE_T_R_DEADLOCK_DETECTED),
					 errmsg("deadlock detected"),
					 errdetail("Two holders of resource \"%s\" are waiting for each other to release their shared leases.",
							   name),
					 errhint("Release the shared lease, then acquire an exclusive one.")));
			break;
		case DLOCK_TOO_YOUNG:
			ereport(ERROR,
					(errcode(ERRCODE_T_R_DEADLOCK_DETECTED),
					 errmsg("cannot wait for a lease on resource \"%s\"", name),
					 errdetail("The request would wait for a client that has held leases for longer, and \"dlock.deadlock_policy\" is \"wait_die\"."),
					 errhint("Release the leases that the client holds, then try again.")));
			break;
		case DLOCK_DEADLOCK:
			dlock_detect_report(refusal->deadlock);
			break;
		case DLOCK_NOT_HELD:
		case DLOCK_LOST:
			dlock_lost_report(request->gate, &request->key, request->client,
							  outcome == DLOCK_LOST ? refusal->token : request->token);
			break;
		case DLOCK_TOO_MANY_HOLDS:
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("lease on resource \"%s\" is held too many times", name)));
			break;
		case DLOCK_NO_LEASE_SLOT:
			report_no_slot("lease", "dlock.max_leases");
			break;
		case DLOCK_NO_HOLD_SLOT:
			report_no_slot("hold", "dlock.max_leases");
			break;
		case DLOCK_NO_WAITER_SLOT:
			report_no_slot("waiter", "dlock.max_waiters");
			break;
		case DLOCK_SHUT:
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("dlock is no longer available"),
					 errdetail("The extension was dropped.")));
			break;
		case DLOCK_NO_QUORUM:
			dlock_quorum_report(request->gate.db);
			break;
		case DLOCK_NOT_DURABLE:
			report_not_durable(request->gate.db, name);
			break;
		case DLOCK_GRANTED:
		case DLOCK_QUEUED:
			break;
	}
	elog(ERROR, "unexpected outcome %d", (int) outcome);
}
