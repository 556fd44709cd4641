/*
 * client_changes.c
 *	  Changing rows of dlock.clients.
 *
 * Other sessions may have locked the rows, or may have given the table
 * triggers and constraints.  So each change is tried in a subtransaction with
 * a short lock_timeout, first for all clients at once, and then one by one, so
 * that one client cannot keep the others from their rows.
 *
 * IDENTIFICATION
 *	  src/worker/client_changes.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/clock.h"
#include "durable/client_rows.h"
#include "shared/client.h"
#include "worker/client_changes.h"
#include "worker/writer.h"

/* how long to wait for another session's lock on a row of dlock.clients */
#define LOCK_TIMEOUT_SETTING "10ms"

/* after so many clients whose rows were locked, leave the others for later */
#define LOCKED_MAX 4

/* the same error is reported again after that time */
#define COMPLAIN_TIME (60 * USECS_PER_SEC)

static DlockTime complain_at;

/* what is to be done with some rows; not all need the time */
typedef void (*Work) (DlockClientRecord *some, int count, TimestampTz time);

static void
insert_rows(DlockClientRecord *some, int count, TimestampTz time)
{
	dlock_client_rows_insert(some, count);
}

static void
add_rows(DlockClientRecord *some, int count, TimestampTz time)
{
	dlock_client_rows_add(some, count);
}

static void
note_rows(DlockClientRecord *some, int count, TimestampTz time)
{
	dlock_client_rows_note(some, count, time);
}

static void
delete_rows(DlockClientRecord *some, int count, TimestampTz time)
{
	dlock_client_rows_delete(some, count, time);
}

/*
 * forget_what_failed undoes what was noted in records by work that was rolled
 * back.
 */
static void
forget_what_failed(DlockClientRecord *some, int count)
{
	for (int i = 0; i < count; i++)
	{
		some[i].known = false;
		if (some[i].slot != DLOCK_NONE)
			some[i].row = dlock_client_at(some[i].slot)->row;
	}
}

/*
 * complain reports an error.  The same error is reported once in
 * COMPLAIN_TIME, since all that fails is tried again.
 */
static void
complain(void)
{
	static char last[256];
	DlockTime	now = dlock_clock_now();
	ErrorData  *error = CopyErrorData();
	const char *detail = error->detail != NULL ? error->detail : "";

	if (now >= complain_at || strncmp(last, detail, sizeof(last) - 1) != 0)
	{
		complain_at = now + COMPLAIN_TIME;
		strlcpy(last, detail, sizeof(last));
		EmitErrorReport();
	}
	FreeErrorData(error);
}

typedef enum Result
{
	DONE,
	LOCKED,						/* another session has a lock */
	FAILED,						/* any other error */
} Result;

/*
 * attempt does some work in a subtransaction, and returns how that ended.  An
 * error is reported if this is the last attempt.
 */
static Result
attempt(Work work, DlockClientRecord *some, int count, TimestampTz time,
		bool last)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile Result result = DONE;

	BeginInternalSubTransaction(NULL);
	/* what the work allocates is freed by the caller */
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		(void) set_config_option("lock_timeout", LOCK_TIMEOUT_SETTING,
								 PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL,
								 true, 0, false);
		dlock_writer_allow_cancel(true);
		work(some, count, time);
		dlock_writer_allow_cancel(false);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		dlock_writer_allow_cancel(false);
		/* SIGTERM: another process will do it */
		if (ProcDiePending)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		result = geterrcode() == ERRCODE_LOCK_NOT_AVAILABLE ? LOCKED : FAILED;
		if (result == FAILED && last && !dlock_writer_is_leaving())
			complain();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		forget_what_failed(some, count);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return result;
}

/*
 * one_by_one does some work for each client, until too many rows were locked.
 * It begins with another client each time, so that it is not always the same
 * ones that are left.
 */
static void
one_by_one(Work work, DlockClientRecord *some, int count, TimestampTz time)
{
	static uint32 turn = 0;
	int			first = (int) (turn++ % count);
	int			nlocked = 0;

	for (int i = 0; i < count && nlocked < LOCKED_MAX &&
		 !dlock_writer_is_leaving(); i++)
		if (attempt(work, &some[(first + i) % count], 1, time, true) == LOCKED)
			nlocked++;
}

/*
 * work_on does some work for all clients at once or, if that fails, one by
 * one.
 */
static void
work_on(Work work, DlockClientRecord *some, int count, TimestampTz time)
{
	if (count > 0 && attempt(work, some, count, time, count == 1) != DONE &&
		count > 1)
		one_by_one(work, some, count, time);
}

/*
 * dlock_client_changes_add gives clients their rows, as far as possible.  The
 * quickest way is tried first.
 */
void
dlock_client_changes_add(DlockClientRecord *some, int count)
{
	Result		result;

	if (count == 0)
		return;
	result = attempt(insert_rows, some, count, 0, false);
	if (result == LOCKED)
		one_by_one(add_rows, some, count, 0);
	else if (!some[0].known)
		work_on(add_rows, some, count, 0);
}

/*
 * dlock_client_changes_note sets last_used_at of clients that are in use, if
 * their rows say that they were last used before the given time.
 */
void
dlock_client_changes_note(DlockClientRecord *some, int count,
						  TimestampTz before)
{
	work_on(note_rows, some, count, before);
}

/*
 * dlock_client_changes_delete deletes the rows of clients that were not used
 * since the given time.
 */
void
dlock_client_changes_delete(DlockClientRecord *some, int count,
							TimestampTz before)
{
	work_on(delete_rows, some, count, before);
}
