/*
 * quorum.c
 *	  Check that synchronous standbys still confirm what is written.
 *
 * A primary that has lost its standbys must neither grant nor renew leases,
 * because one of the standbys may have been promoted.  It does not, because
 * each grant and renewal waits until the standbys have confirmed it.  This
 * file only keeps clients from waiting without hope: when the batch of the
 * writer process has not been confirmed for dlock.quorum_timeout, all calls
 * that would wait for it fail, until the standbys are back and have confirmed
 * the batch.
 *
 * Whether standbys are configured depends on synchronous_standby_names as this
 * session sees it.
 *
 * IDENTIFICATION
 *	  src/session/quorum.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "lib/stringinfo.h"
#include "replication/syncrep.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "storage/spin.h"
#include "utils/backend_status.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/config.h"
#include "base/errors.h"
#include "base/message.h"
#include "session/quorum.h"
#include "shared/pending.h"

/*
 * dlock_quorum_is_wanted returns whether synchronous standbys are configured.
 */
bool
dlock_quorum_is_wanted(void)
{
	return max_wal_senders > 0 && SyncRepStandbyNames != NULL &&
		SyncRepStandbyNames[0] != '\0';
}

/*
 * dlock_quorum_limit returns the time until which a call may wait for the
 * standbys: dlock.quorum_timeout after the writer began to wait for them, or
 * DLOCK_NEVER if no standbys or no such limit is configured.
 */
DlockTime
dlock_quorum_limit(DlockDatabase *db)
{
	DlockTime	since;

	if (dlock_quorum_timeout == 0 || !dlock_quorum_is_wanted())
		return DLOCK_NEVER;
	since = dlock_pending_flush_since(db);
	return dlock_clock_after(since != 0 ? since : dlock_clock_now(),
							 dlock_quorum_timeout * (int64) 1000);
}

/*
 * dlock_quorum_check raises an error if the standbys have not confirmed the
 * writer's batch for dlock.quorum_timeout.
 */
void
dlock_quorum_check(DlockDatabase *db)
{
	if (dlock_clock_now() >= dlock_quorum_limit(db))
		dlock_quorum_report(db);
}

/*
 * Messages
 */

static const char *
application_of(int pid)
{
	int			count = pgstat_fetch_stat_numbackends();

	for (int i = 1; i <= count; i++)
	{
		LocalPgBackendStatus *local = pgstat_get_local_beentry_by_index(i);

		if (local != NULL && local->backendStatus.st_procpid == pid)
			return local->backendStatus.st_appname;
	}
	return "";
}

static void
append_name(StringInfo list, const char *name)
{
	appendStringInfo(list, "%s\"%s\"", list->len > 0 ? ", " : "", name);
}

/* a connected standby that synchronous_standby_names names */
typedef struct Standby
{
	int			pid;			/* of its walsender */
	bool		behind;			/* has it not confirmed all that is flushed? */
} Standby;

/*
 * read_standby describes the standby of a walsender.  Returns false if the
 * slot is not in use or synchronous_standby_names does not name the standby.
 * All the standbys that it names count, not only those with the highest
 * priorities, which PostgreSQL waits for.
 */
static bool
read_standby(WalSnd *walsnd, XLogRecPtr flushed, Standby *standby)
{
	XLogRecPtr	confirmed;
	bool		streaming;
	bool		counts;

	SpinLockAcquire(&walsnd->mutex);
	standby->pid = walsnd->pid;
	streaming = walsnd->state == WALSNDSTATE_STREAMING ||
		walsnd->state == WALSNDSTATE_STOPPING;
	confirmed = synchronous_commit >= SYNCHRONOUS_COMMIT_REMOTE_APPLY ?
		walsnd->apply : walsnd->flush;
	counts = walsnd->pid != 0 && walsnd->sync_standby_priority > 0;
	SpinLockRelease(&walsnd->mutex);

	standby->behind = !streaming || confirmed < flushed;
	return counts;
}

/*
 * is_connected returns whether one of the connected standbys has that name of
 * synchronous_standby_names.  "*" matches if at least as many standbys are
 * connected as must confirm.
 */
static bool
is_connected(const char *name, const Standby *standbys, int count)
{
	if (strcmp(name, "*") == 0)
		return count >= SyncRepConfig->num_sync;
	for (int i = 0; i < count; i++)
		if (pg_strcasecmp(name, application_of(standbys[i].pid)) == 0)
			return true;
	return false;
}

/*
 * missing_standbys returns sentences that name the synchronous standbys that
 * are not connected, and those that are but have not confirmed all that is
 * flushed here.
 */
static char *
missing_standbys(void)
{
	Standby    *standbys = palloc(max_wal_senders * sizeof(Standby));
	int			count = 0;
	XLogRecPtr	flushed = GetFlushRecPtr(NULL);
	StringInfoData absent;
	StringInfoData behind;
	StringInfoData text;

	initStringInfo(&absent);
	initStringInfo(&behind);
	initStringInfo(&text);
	for (int i = 0; i < max_wal_senders; i++)
		if (read_standby(&WalSndCtl->walsnds[i], flushed, &standbys[count]))
			count++;
	if (SyncRepConfig != NULL)
	{
		const char *name = SyncRepConfig->member_names;

		for (int i = 0; i < SyncRepConfig->nmembers; i++)
		{
			if (!is_connected(name, standbys, count))
				append_name(&absent, name);
			name += strlen(name) + 1;
		}
	}
	for (int i = 0; i < count; i++)
		if (standbys[i].behind)
			append_name(&behind, application_of(standbys[i].pid));
	if (absent.len > 0)
		appendStringInfo(&text, " Not connected: %s.", absent.data);
	if (behind.len > 0)
		appendStringInfo(&text, " Connected but behind: %s.", behind.data);
	return text.data;
}

/*
 * dlock_quorum_report raises the error for a lack of quorum.
 */
void
dlock_quorum_report(DlockDatabase *db)
{
	DlockTime	since = dlock_pending_flush_since(db);
	TimestampTz wall = dlock_clock_to_wall(since, dlock_clock_now(),
										   dlock_clock_wall());

	ereport(ERROR,
			(errcode(ERRCODE_DLOCK_NO_QUORUM),
			 errmsg("no quorum of synchronous standbys"),
			 since == 0 ? errdetail("The standbys have just started to confirm leases again.") :
			 dlock_message_detail(psprintf("Leases have been waiting for confirmation since %s.%s",
										   timestamptz_to_str(wall),
										   missing_standbys())),
			 errhint("Leases that are already held keep running. Try again when the standbys are back, or check whether another server has become the primary.")));
}
