/*
 * acquire.c
 *	  Acquire a lease or change its mode, and wait for that.
 *
 * A backend sleeps here first in the resource's queue until it is granted the
 * lease, then until the writer has flushed the batch that makes the grant
 * durable; seldom also for the first tokens of a database, and for lease slots
 * that are about to become free.  If an error or the end of the process interrupts either
 * sleep, abandon_request takes the request back.  So no waiter stays in the
 * queue without a backend, and no lease stays granted whose client was never
 * told about it.
 *
 * IDENTIFICATION
 *	  src/session/acquire.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"

#include "base/compat.h"
#include "base/debug_point.h"
#include "base/errors.h"
#include "base/interval.h"
#include "base/message.h"
#include "base/wait_event.h"
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
 * A grant must become durable before the request's timeout ends, but always
 * has at least this long: a flush takes some time, and a request with timeout
 * 0 must not fail because of that.
 */
#define FLUSH_TIME USECS_PER_SEC

/* how often to check whether lease slots have become free */
#define SLOT_POLL (10 * INT64CONST(1000))

/* what abandon_request must take back if the wait is interrupted */
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
	dlock_pending_unnotify(MyProcNumber);
}

/*
 * dlock_acquire_wait_in_queue sleeps until a queued request has been granted
 * or refused, or its deadline has passed.  Returns the outcome, and sets the
 * fields of "refusal" that describe it.  Throws if the backend is cancelled or
 * terminated; the caller must then take the request back.
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
		dlock_sleep_until(request->deadline, true, DLOCK_WAIT_EVENT_ACQUIRE);
	}
}

/*
 * unflushed returns the outcome of a request whose wait for a flush has
 * failed.
 */
static DlockOutcome
unflushed(DlockFlush flush)
{
	return flush == DLOCK_FLUSH_NO_QUORUM ? DLOCK_NO_QUORUM : DLOCK_NOT_DURABLE;
}

/*
 * dlock_acquire_wait_for_flush sleeps until the batch of a grant is durable,
 * but not beyond the request's deadline or FLUSH_TIME from now, whichever is
 * later.  Returns DLOCK_GRANTED, DLOCK_NOT_DURABLE or DLOCK_NO_QUORUM.  Throws
 * if the backend is cancelled or terminated.
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
 * wait_until_granted waits first for the grant, if the request is queued, and
 * then for the flush, if the grant needs one, and acknowledges the grant.
 * Returns the outcome; if that is not DLOCK_GRANTED, the request has been
 * taken back.
 *
 * While we wait for the flush, the lease may expire, an administrator may
 * release it by force, or DROP EXTENSION may close the database.  Then
 * dlock_grant_acknowledge, which checks this under the partition lock, refuses
 * the grant.
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
 * see_through calls wait_until_granted, and takes the request back if an error
 * or the end of the process interrupts it.
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
	dlock_pending_unnotify(MyProcNumber);
	return result;
}

/*
 * ensure_tokens waits until there is a block of tokens.  Returns
 * DLOCK_GRANTED, or the outcome with which the request fails.
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
 * dlock_acquire_prepare prepares requests of one client that share a deadline:
 * it makes room for their events and session holds, computes the deadline from
 * "timeout", and waits for tokens.  If lock_timeout is shorter than the
 * timeout, it replaces it, and *by_setting is set.  Returns DLOCK_GRANTED, or
 * the outcome with which all of the requests fail.  Throws if there is no
 * quorum of standbys.
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
		requests[i].hold.session = MyProcNumber;
	}
	return ensure_tokens(first);
}

/*
 * dlock_acquire_note records a hold that must end with the transaction or the
 * session.  Cannot fail, because dlock_acquire_prepare has made room.
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
 * is_too_late returns whether the time for repeating a request is over.
 */
static bool
is_too_late(const DlockRequest *request)
{
	return dlock_clock_now() >= Max(request->deadline,
									dlock_clock_after(request->arrived, FLUSH_TIME));
}

/*
 * dlock_acquire_look_at_slots records the state of the freed lease slots.
 * Call it before a request, for dlock_acquire_slots_come.
 */
void
dlock_acquire_look_at_slots(DlockSlotsLook *look)
{
	look->trimmed = dlock_slots_trimmed(&look->untrimmed);
}

/*
 * dlock_acquire_slots_come returns whether a request that has found no free
 * lease slot must be repeated.  That is so if the writer was deleting the rows
 * of freed slots when we looked before the request ("before"), is deleting
 * some now, or has finished in between: these slots become free, although the
 * request did not find them.  If the writer is still at it, the function
 * sleeps for SLOT_POLL first.  Throws if the backend is cancelled or
 * terminated.
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
		dlock_sleep_until(dlock_clock_after(dlock_clock_now(), SLOT_POLL), true,
						  DLOCK_WAIT_EVENT_ACQUIRE);
	return after.trimmed > 0 || before->trimmed > 0 ||
		after.untrimmed != before->untrimmed;
}

/*
 * dlock_acquire_again returns whether a request must be repeated as if it had
 * arrived a moment later.  That is so if the request added a hold to a lease
 * that its client already had, and that lease ended before the hold was
 * durable.  The deadline stays that of the first attempt.
 */
bool
dlock_acquire_again(const DlockRequest *request, DlockOutcome outcome,
					const DlockGrant *grant)
{
	return outcome == DLOCK_LOST && grant->again && !is_too_late(request);
}

/*
 * dlock_acquire_lease makes a request, waits for it, and returns its outcome.
 * "timeout" is in microseconds; 0 means not to wait in the queue, DLOCK_NEVER
 * to wait without a limit.  If the outcome is DLOCK_GRANTED, the grant is
 * acknowledged and, unless it need not be, durable; otherwise the request has
 * left nothing behind, and "refusal" has the facts for dlock_acquire_report.
 * Throws if there is no quorum of standbys, or if the backend is cancelled or
 * terminated; the request is taken back then.
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
 * report_not_durable raises the error for a request that was granted, and was
 * taken back because it did not become durable in time.
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
 * dlock_acquire_report raises the error for an outcome other than
 * DLOCK_GRANTED and DLOCK_QUEUED.
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
					 errdetail("Two holders of resource \"%s\" are waiting for each other to release it.",
							   name),
					 errhint("Release the lease, then acquire one in %s mode.",
							 dlock_mode_name(request->mode))));
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
