/*
 * client_maintenance.c
 *	  Maintenance of the rows of clients between batches.
 *
 * A client is "owed" something if its row could not be added in the batch of
 * its first lease, or if its row does not yet say that the client is in use.
 *
 * A client that was not used for dlock.client_retention is forgotten, by
 * last_used_at of its row.  That column is brought up to date once a day, or
 * more often if the retention is short: for a client with a lease in a batch,
 * and, in a pass over the whole table, for each client in use.  The pass also
 * deletes the rows of the clients that are to be forgotten.
 *
 * All of this is done a portion at a time, with rests in between, while no
 * backend waits for a batch.  If there always is one that waits, portions are
 * smaller and rests longer.
 *
 * IDENTIFICATION
 *	  src/worker/client_maintenance.c
 */
#include "postgres.h"

#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/config.h"
#include "base/debug_point.h"
#include "durable/client_rows.h"
#include "durable/store.h"
#include "shared/client.h"
#include "shared/pending.h"
#include "worker/client_changes.h"
#include "worker/client_maintenance.h"
#include "worker/client_set.h"

/* owed clients in one portion */
#define OWED_MAX 256
#define OWED_MAX_BUSY 64

/* blocks of the table that one portion of the pass reads */
#define SCAN_BLOCKS 8
#define SCAN_BLOCKS_BUSY 2

/* the rest after a portion, as a multiple of the time that it took */
#define REST_FACTOR 4
#define REST_FACTOR_BUSY 20

/* what has failed is tried again after that time */
#define RETRY_TIME (1000 * 1000)

/* how often last_used_at is brought up to date, at least and at most */
#define NOTE_TIME_MIN ((int64) USECS_PER_SEC)
#define NOTE_TIME_MAX ((int64) USECS_PER_DAY)

static DlockClientSet clients;	/* of the portion under way */
static TimestampTz note_before; /* see dlock_client_maintenance_note_before */
static TimestampTz horizon;		/* clients not used since then are forgotten */

/* owed clients, which rounds through all clients in memory find */
static bool owed = true;		/* another round is due */
static bool owed_again;			/* and another after that */
static DlockTime owed_at;		/* the next round begins not before */
static uint32 owed_from;		/* slot where the round continues */

/* the pass over the table */
static bool in_pass;
static BlockNumber pass_block;
static DlockTime pass_at;		/* when it was begun; 0: not yet */
static int	ndue;				/* the first of the clients, to be deleted */

/* the portion under way */
static enum
{
	PORTION_NONE,
	PORTION_OWED,
	PORTION_PASS,
} portion;
static bool busy;				/* backends wait for a batch meanwhile */
static DlockTime portion_at;	/* when it was begun */
static DlockTime rest_until;	/* no other before that */
static DlockTime rest_until_busy;	/* likewise, while busy */

static TimeoutId timer;

/*
 * note_time returns how old last_used_at of a client in use may become.
 */
static int64
note_time(void)
{
	int64		retention = dlock_client_retention * (int64) USECS_PER_SEC;

	if (retention == 0)
		return NOTE_TIME_MAX;
	return Max(NOTE_TIME_MIN, Min(retention / 8, NOTE_TIME_MAX));
}

/*
 * dlock_client_maintenance_note_before returns the time before which
 * last_used_at is out of date: the row of a client in use is to be updated if
 * it says less.
 */
TimestampTz
dlock_client_maintenance_note_before(void)
{
	note_before = dlock_clock_wall() - note_time();
	return note_before;
}

/*
 * dlock_client_maintenance_request asks for another round: some client is owed
 * something.
 */
void
dlock_client_maintenance_request(void)
{
	owed = true;
	owed_again = true;
}

/*
 * Portions: owed clients
 */

/*
 * take_owed takes the next owed clients, those without a row first, and
 * returns how many of these there are.
 */
static int
take_owed(DlockDatabase *db)
{
	int			nnew = 0;
	uint32		slot = dlock_client_next_owed(db->dboid, owed_from);

	dlock_client_set_clear(&clients);
	while (slot != DLOCK_NONE && clients.count < (busy ? OWED_MAX_BUSY : OWED_MAX))
	{
		DlockClientRecord *record = dlock_client_set_take(&clients, slot);

		if (record->row.id == 0)
		{
			DlockClientRecord swap = clients.records[nnew];

			clients.records[nnew++] = *record;
			*record = swap;
		}
		owed_from = slot + 1;
		slot = dlock_client_next_owed(db->dboid, owed_from);
	}
	if (slot == DLOCK_NONE)
		owed_from = 0;
	return nnew;
}

/*
 * write_owed gives rows to clients that are owed them, and notes clients in
 * use.
 */
static void
write_owed(DlockDatabase *db)
{
	int			nnew;

	if (owed_from == 0)
		owed_again = false;
	nnew = take_owed(db);
	dlock_client_changes_add(clients.records, nnew);
	dlock_client_changes_note(clients.records + nnew, clients.count - nnew,
							  note_before);
	for (int i = 0; i < clients.count; i++)
		if (clients.records[i].known && clients.records[i].row.id != 0)
			dlock_store_unbind(&clients.records[i]);
}

/*
 * settle_clients notes in shared memory what the rows of the clients say.
 */
static void
settle_clients(void)
{
	if (clients.count > 0 &&
		dlock_client_settle(clients.records, clients.count, note_before) > 0)
		dlock_client_maintenance_request();
	dlock_client_set_clear(&clients);
}

/*
 * owed_written is called when a portion of owed clients is committed.
 */
static void
owed_written(DlockTime now)
{
	settle_clients();
	if (owed_from != 0)
		return;
	owed = owed_again;
	owed_at = now + RETRY_TIME;
}

/*
 * Portions: the pass over the table
 */

/*
 * take_row takes a client from the scan of the table.
 */
static void
take_row(const DlockClientRecord *client)
{
	/* an empty name is no client's; a role with privileges made the row */
	if (client->name[0] != '\0')
		*dlock_client_set_append(&clients) = *client;
}

/*
 * sort_by_use sorts the clients of the portion: first those to be forgotten,
 * then those in use.  The others are dropped, since nothing is to be done
 * about them.
 */
static void
sort_by_use(DlockDatabase *db)
{
	uint32		epoch = pg_atomic_read_u32(&db->epoch);
	int			nused = 0;
	int			count = clients.count;

	ndue = 0;
	for (int i = 0; i < count; i++)
	{
		DlockClientRecord client = clients.records[i];
		DlockKey	key = dlock_key_make(db->dboid, client.name,
										 (int) strlen(client.name));

		if (client.row.used_at < horizon && dlock_client_forget(&key, epoch))
		{
			clients.records[ndue + nused] = clients.records[ndue];
			clients.records[ndue++] = client;
		}
		else if (dlock_client_in_use(&key, epoch))
			clients.records[ndue + nused++] = client;
	}
	clients.count = ndue + nused;
}

/*
 * write_pass reads some blocks of the table, deletes the rows of clients that
 * are to be forgotten, and notes which clients are in use.
 */
static void
write_pass(DlockDatabase *db)
{
	if (!in_pass)
	{
		in_pass = true;
		pass_block = 0;
		pass_at = portion_at;
	}
	/* rows of clients in use may be behind by up to two note times */
	horizon = note_before - note_time() -
		dlock_client_retention * (int64) USECS_PER_SEC;
	dlock_client_set_horizon(horizon);
	dlock_client_set_clear(&clients);
	dlock_client_rows_scan(&pass_block, busy ? SCAN_BLOCKS_BUSY : SCAN_BLOCKS,
						   note_before, take_row);
	sort_by_use(db);
	if (ndue > 0)
		DLOCK_DEBUG_POINT(DLOCK_STOP_CLIENTS_CHOSEN);
	dlock_client_changes_delete(clients.records, ndue, horizon);
	dlock_client_changes_note(clients.records + ndue, clients.count - ndue,
							  note_before);
}

/*
 * pass_written is called when a portion of the pass is committed.
 */
static void
pass_written(DlockDatabase *db)
{
	uint32		epoch = pg_atomic_read_u32(&db->epoch);

	for (int i = ndue; i < clients.count; i++)
	{
		DlockKey	key = dlock_key_make(db->dboid, clients.records[i].name,
										 (int) strlen(clients.records[i].name));

		if (clients.records[i].known && clients.records[i].row.id != 0)
			dlock_client_note_use(&key, epoch, clients.records[i].row.used_at);
	}
	dlock_client_set_clear(&clients);
	in_pass = pass_block != InvalidBlockNumber;
}

/*
 * When a portion is due
 */

/*
 * next_pass returns when the pass over the table is to continue.
 */
static DlockTime
next_pass(void)
{
	if (dlock_client_retention == 0)
		return DLOCK_NEVER;
	if (in_pass)
		return 0;
	return pass_at == 0 ? 0 : pass_at + note_time();
}

/*
 * next_owed returns when the next owed clients are due.
 */
static DlockTime
next_owed(DlockDatabase *db, DlockTime now)
{
	if (owed && owed_from == 0 && now >= owed_at)
		owed = dlock_client_next_owed(db->dboid, 0) != DLOCK_NONE;
	if (!owed)
		return DLOCK_NEVER;
	return owed_from == 0 ? owed_at : 0;
}

/*
 * wake_up_at has the process's latch set at the given time, or in an hour if
 * that is earlier.
 */
static void
wake_up_at(DlockTime due, DlockTime now)
{
	static DlockTime armed_for = 0;

	if (due == armed_for && get_timeout_active(timer))
		return;
	armed_for = due;
	enable_timeout_after(timer, (int) Min(dlock_clock_ms_until(due, now),
										  60 * 60 * 1000));
}

/*
 * dlock_client_maintenance_due returns whether a portion is due now; is_busy
 * says whether backends may wait for a batch.  If none is due and the writer
 * is not busy, the latch is set when one will be.
 */
bool
dlock_client_maintenance_due(DlockDatabase *db, bool is_busy)
{
	DlockTime	now = dlock_clock_now();
	DlockTime	due = Max(Min(next_owed(db, now), next_pass()),
						  is_busy ? rest_until_busy : rest_until);

	busy = is_busy;
	if (due == DLOCK_NEVER)
		return false;
	/* a busy writer calls this again before it sleeps */
	if (now < due && !busy)
		wake_up_at(due, now);
	return now >= due;
}

/*
 * dlock_client_maintenance_put_off is called if a portion could not be begun.
 */
void
dlock_client_maintenance_put_off(void)
{
	rest_until = rest_until_busy = dlock_clock_now() + RETRY_TIME;
}

/*
 * dlock_client_maintenance_write does a portion, unless another session has
 * the table locked.  The caller has dlock.locks open.
 */
void
dlock_client_maintenance_write(DlockDatabase *db)
{
	portion = PORTION_NONE;

	portion_at = dlock_clock_now();
	if (!dlock_client_rows_lock())
		return;
	(void) dlock_client_maintenance_note_before();
	if (portion_at < next_owed(db, portion_at))
	{
		portion = PORTION_PASS;

		write_pass(db);
	}
	else if (dlock_store_is_stale())
	{
		/* the next batch writes dlock.locks anew, and adds these rows */
		dlock_pending_wake_writer(db, true);
	}
	else
	{
		portion = PORTION_OWED;

		write_owed(db);
	}
}

/*
 * dlock_client_maintenance_written is called when the portion is committed.
 */
void
dlock_client_maintenance_written(DlockDatabase *db)
{
	DlockTime	now = dlock_clock_now();

	if (portion == PORTION_NONE)
	{
		dlock_client_maintenance_put_off();
		return;
	}
	if (portion == PORTION_PASS)
		pass_written(db);
	else
		owed_written(now);
	rest_until = now + REST_FACTOR * (now - portion_at);
	rest_until_busy = now + REST_FACTOR_BUSY * (now - portion_at);
}

/*
 * wake_up is called by the timer.  The handler of its signal sets the latch,
 * so nothing else is to be done.
 */
static void
wake_up(void)
{
}

/*
 * dlock_client_maintenance_init is called when the writer starts.
 */
void
dlock_client_maintenance_init(void)
{
	timer = RegisterTimeout(USER_TIMEOUT, wake_up);
}
