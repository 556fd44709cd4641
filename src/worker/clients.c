/*
 * clients.c
 *	  What the writer does about the rows of clients.
 *
 * A new client gets its row in the batch of its first lease.  Nobody waits for
 * long where that cannot be: somebody has the table locked, say.  Then a row
 * of dlock.locks notes the client's role, in the same batch, and the client
 * is owed its row, which is tried again and again.
 *
 * A client that nobody has used for dlock.client_retention is forgotten.  That
 * goes by last_used_at of its row, which is brought up to date once a day, or
 * more often where the time is short: for a client with a lease in a batch,
 * and, in a pass over the table, for whoever is in use.  The pass also deletes
 * what is due.
 *
 * All but the adding is done a portion at a time, with rests in between, and
 * while nobody waits for a batch.  Where somebody always does, portions are
 * small, and rests long.
 *
 * IDENTIFICATION
 *	  src/worker/clients.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/config.h"
#include "base/debug_point.h"
#include "durable/client_rows.h"
#include "shared/client.h"
#include "worker/clients.h"
#include "worker/writer.h"

/* how long to wait for somebody else's lock on a row of dlock.clients */
#define LOCK_TIMEOUT_SETTING "10ms"

/* after so many clients whose name was locked, the others have to wait */
#define LOCKED_MAX 4

/* clients whose rows are owed something, seen to in one portion */
#define OWED_MAX 256
#define OWED_MAX_BUSY 64

/* blocks of the table looked through in one portion */
#define SCAN_BLOCKS 8
#define SCAN_BLOCKS_BUSY 2

/* rest after a portion, by the time that it has taken */
#define REST_FACTOR 4
#define REST_FACTOR_BUSY 20

/* what has failed is tried again after that time; complained of, after that */
#define RETRY_TIME (1000 * 1000)
#define COMPLAIN_TIME (60 * USECS_PER_SEC)

/* how often last_used_at is brought up to date, at least and at most */
#define NOTE_TIME_MIN ((int64) USECS_PER_SEC)
#define NOTE_TIME_MAX ((int64) USECS_PER_DAY)

/* the clients at hand: of a batch, or of a portion */
static DlockClientRecord *clients;
static int	nclients;
static int	client_capacity;
static TimestampTz note_before; /* see dlock_clients_note_before */
static TimestampTz horizon;		/* not used since then: due to be forgotten */

/* those that are owed something: found in rounds through all clients */
static bool owed = true;		/* another round is due */
static bool owed_again;			/* and another after that */
static DlockTime owed_at;		/* not before */
static uint32 owed_from;		/* the round has come so far */

/* the pass over the table */
static bool in_pass;
static BlockNumber pass_block;
static DlockTime pass_at;		/* when it was begun; 0: not yet */
static int	ndue;				/* of the clients at hand: these are deleted */

/* the portion under way */
static enum
{
	PORTION_NONE,
	PORTION_OWED,
	PORTION_PASS,
} portion;
static bool busy;				/* somebody waits for a batch meanwhile */
static DlockTime portion_at;	/* when it was begun */
static DlockTime rest_until;	/* no other before that */
static DlockTime rest_until_busy;	/* likewise, while busy */

static DlockTime complain_at;
static TimeoutId timer;

/*
 * note_time gives how old last_used_at of a client in use may become.
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
 * dlock_clients_note_before gives the time such that who was not used since,
 * as its row says, and is in use now, is to have its row say so.
 */
TimestampTz
dlock_clients_note_before(void)
{
	note_before = dlock_clock_wall() - note_time();
	return note_before;
}

/*
 * somebody_is_owed has clients looked for that are owed something.
 */
static void
somebody_is_owed(void)
{
	owed = true;
	owed_again = true;
}

/*
 * Working on rows, which others may have locked
 */

typedef void (*Work) (DlockClientRecord *some, int count);

static void
insert(DlockClientRecord *some, int count)
{
	dlock_client_rows_insert(some, count);
}

static void
add(DlockClientRecord *some, int count)
{
	dlock_client_rows_add(some, count);
}

static void
note(DlockClientRecord *some, int count)
{
	dlock_client_rows_note(some, count, note_before);
}

static void
delete(DlockClientRecord *some, int count)
{
	dlock_client_rows_delete(some, count, horizon);
}

/*
 * forget_what_failed undoes what work has noted that was rolled back.
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
 * complain tells of an error; of the same one not too often, since all is tried
 * again.
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
	LOCKED,						/* somebody else has a lock */
	FAILED,						/* any other error */
} Result;

/*
 * attempt does some work in a subtransaction, and tells what became of it.
 */
static Result
attempt(Work work, DlockClientRecord *some, int count, bool last)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile Result result = DONE;

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		(void) set_config_option("lock_timeout", LOCK_TIMEOUT_SETTING,
								 PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL,
								 true, 0, false);
		dlock_writer_allow_cancel(true);
		work(some, count);
		dlock_writer_allow_cancel(false);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		dlock_writer_allow_cancel(false);
		/* told to go: a new process will see to it */
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
 * one_by_one does some work for each, until too many were locked; it begins
 * with another one each time, so that these are not always the same.
 */
static void
one_by_one(Work work, DlockClientRecord *some, int count)
{
	static uint32 turn = 0;
	int			first = (int) (turn++ % count);
	int			nlocked = 0;

	for (int i = 0; i < count && nlocked < LOCKED_MAX &&
		 !dlock_writer_is_leaving(); i++)
		if (attempt(work, &some[(first + i) % count], 1, true) == LOCKED)
			nlocked++;
}

/*
 * work_on does some work for all at once, or one by one where that fails.
 */
static void
work_on(Work work, DlockClientRecord *some, int count)
{
	if (count > 0 && attempt(work, some, count, count == 1) != DONE && count > 1)
		one_by_one(work, some, count);
}

/*
 * add_all gives clients their rows, as far as possible, and in the quickest way
 * that is.
 */
static void
add_all(DlockClientRecord *some, int count)
{
	Result		result;

	if (count == 0)
		return;
	result = attempt(insert, some, count, false);
	if (result == LOCKED)
		one_by_one(add, some, count);
	else if (!some[0].known)
		work_on(add, some, count);
}

static DlockClientRecord *
new_record(void)
{
	if (nclients == client_capacity)
	{
		client_capacity = Max(256, 2 * client_capacity);
		clients = clients == NULL ?
			MemoryContextAllocHuge(TopMemoryContext,
								   client_capacity * sizeof(DlockClientRecord)) :
			repalloc_huge(clients, client_capacity * sizeof(DlockClientRecord));
	}
	return &clients[nclients++];
}

/*
 * take_client adds a client to those at hand, unless it is there already.  It
 * is owed its row, so its slot stays its own.
 */
static DlockClientRecord *
take_client(uint32 slot)
{
	DlockClient *client = dlock_client_at(slot);
	DlockClientRecord *record;

	if (client->place < (uint32) nclients &&
		clients[client->place].slot == slot)
		return &clients[client->place];
	client->place = nclients;
	record = new_record();
	record->slot = slot;
	record->known = false;
	record->row = client->row;
	memcpy(record->name, client->name, client->name_len);
	record->name[client->name_len] = '\0';
	return record;
}

/*
 * For a batch
 */

static void
take_new(DlockDatabase *db, const DlockBatch *batch, bool all)
{
	uint32		slot = DLOCK_NONE;

	nclients = 0;
	for (int i = 0; i < batch->nrecords; i++)
	{
		const DlockRecord *record = &batch->records[i];

		if (record->held && record->client_is_stale)
			somebody_is_owed();
		if (record->held && record->client_is_new)
			(void) take_client(record->client_slot);
	}
	if (all)
		slot = dlock_client_next_owed(db->dboid, 0);
	while (slot != DLOCK_NONE)
	{
		if (dlock_client_at(slot)->row.id == 0)
			(void) take_client(slot);
		slot = dlock_client_next_owed(db->dboid, slot + 1);
	}
}

/*
 * dlock_clients_add gives the new clients of a batch their rows, and notes
 * them in the rows of the leases.  Who gets none has its role noted in
 * dlock.locks; with "all" so has everybody who is owed a row, for that table
 * is written anew.
 */
void
dlock_clients_add(DlockDatabase *db, DlockBatch *batch, bool all, bool nowait)
{
	take_new(db, batch, all);
	if (nclients == 0)
		return;
	if (!nowait && dlock_client_rows_lock())
		add_all(clients, nclients);
	for (int i = 0; i < nclients; i++)
	{
		if (clients[i].known && clients[i].row.id != 0)
			dlock_store_unbind(&clients[i]);
		else
			dlock_store_bind(&clients[i]);
	}
	for (int i = 0; i < batch->nrecords; i++)
	{
		DlockRecord *record = &batch->records[i];

		if (record->held && record->client_is_new)
		{
			const DlockClientRecord *client = take_client(record->client_slot);

			record->client_id = client->row.id;
			record->role = client->row.role;
		}
	}
}

/*
 * settle tells memory what the rows of the clients at hand say.
 */
static void
settle(void)
{
	if (nclients > 0 &&
		dlock_client_settle(clients, nclients, note_before) > 0)
		somebody_is_owed();
	nclients = 0;
}

/*
 * dlock_clients_added is called when the batch is durable.
 */
void
dlock_clients_added(void)
{
	settle();
}

/*
 * In portions: who is owed something
 */

/*
 * take_owed takes some of them, first those without a row; gives how many
 * these are.
 */
static int
take_owed(DlockDatabase *db)
{
	int			nnew = 0;
	uint32		slot = dlock_client_next_owed(db->dboid, owed_from);

	nclients = 0;
	while (slot != DLOCK_NONE && nclients < (busy ? OWED_MAX_BUSY : OWED_MAX))
	{
		DlockClientRecord *record = take_client(slot);

		if (record->row.id == 0)
		{
			DlockClientRecord swap = clients[nnew];

			clients[nnew++] = *record;
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
 * write_owed gives rows to clients that are owed them, and notes that clients
 * are in use.
 */
static void
write_owed(DlockDatabase *db)
{
	int			nnew;

	if (owed_from == 0)
		owed_again = false;
	nnew = take_owed(db);
	add_all(clients, nnew);
	work_on(note, clients + nnew, nclients - nnew);
	for (int i = 0; i < nclients; i++)
		if (clients[i].known && clients[i].row.id != 0)
			dlock_store_unbind(&clients[i]);
}

static void
owed_written(DlockTime now)
{
	settle();
	if (owed_from != 0)
		return;
	owed = owed_again;
	owed_at = now + RETRY_TIME;
}

/*
 * In portions: the pass over the table
 */

static void
take_row(const DlockClientRecord *client)
{
	/* whoever made such a row, it is no client's */
	if (client->name[0] != '\0')
		*new_record() = *client;
}

/*
 * choose sorts the clients at hand: first those to be forgotten, then those
 * that are in use, and nothing is to be done about the others.
 */
static void
choose(DlockDatabase *db)
{
	uint32		epoch = pg_atomic_read_u32(&db->epoch);
	int			nused = 0;
	int			count = nclients;

	ndue = 0;
	for (int i = 0; i < count; i++)
	{
		DlockClientRecord client = clients[i];
		DlockKey	key = dlock_key_make(db->dboid, client.name,
										 (int) strlen(client.name));

		if (client.row.used_at < horizon && dlock_client_forget(&key, epoch))
		{
			clients[ndue + nused] = clients[ndue];
			clients[ndue++] = client;
		}
		else if (dlock_client_in_use(&key, epoch))
			clients[ndue + nused++] = client;
	}
	nclients = ndue + nused;
}

/*
 * write_pass looks through some blocks of the table, deletes clients that are
 * due, and notes which are in use.
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
	/* what is in use now was noted two times ago, or since then */
	horizon = note_before - note_time() -
		dlock_client_retention * (int64) USECS_PER_SEC;
	dlock_client_set_horizon(horizon);
	nclients = 0;
	dlock_client_rows_scan(&pass_block, busy ? SCAN_BLOCKS_BUSY : SCAN_BLOCKS,
							 note_before, take_row);
	choose(db);
	if (ndue > 0)
		DLOCK_DEBUG_POINT(DLOCK_STOP_CLIENTS_CHOSEN);
	work_on(delete, clients, ndue);
	work_on(note, clients + ndue, nclients - ndue);
}

static void
pass_written(DlockDatabase *db)
{
	uint32		epoch = pg_atomic_read_u32(&db->epoch);

	for (int i = ndue; i < nclients; i++)
	{
		DlockKey	key = dlock_key_make(db->dboid, clients[i].name,
										 (int) strlen(clients[i].name));

		if (clients[i].known && clients[i].row.id != 0)
			dlock_client_note_use(&key, epoch, clients[i].row.used_at);
	}
	nclients = 0;
	in_pass = pass_block != InvalidBlockNumber;
}

/*
 * In portions: when
 */

/*
 * next_pass gives when the pass over the table is to go on.
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
 * next_owed gives when to see to those that are owed something.
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
 * wake_up_at has the latch set at that time, or at most an hour from now.
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
 * dlock_clients_due tells whether there is a portion to do now, although
 * somebody may wait for a batch.  If not, our latch is set when there is.
 */
bool
dlock_clients_due(DlockDatabase *db, bool is_busy)
{
	DlockTime	now = dlock_clock_now();
	DlockTime	due = Max(Min(next_owed(db, now), next_pass()),
						  is_busy ? rest_until_busy : rest_until);

	busy = is_busy;
	if (due == DLOCK_NEVER)
		return false;
	/* who is busy comes back before it sleeps */
	if (now < due && !busy)
		wake_up_at(due, now);
	return now >= due;
}

/*
 * dlock_clients_put_off is called where a portion could not be begun.
 */
void
dlock_clients_put_off(void)
{
	rest_until = rest_until_busy = dlock_clock_now() + RETRY_TIME;
}

/*
 * dlock_clients_write does a portion, if nobody has the table locked.
 * dlock.locks is open.
 */
void
dlock_clients_write(DlockDatabase *db)
{
	portion = PORTION_NONE;
	portion_at = dlock_clock_now();
	if (!dlock_client_rows_lock())
		return;
	(void) dlock_clients_note_before();
	if (portion_at < next_owed(db, portion_at))
	{
		portion = PORTION_PASS;
		write_pass(db);
	}
	else if (dlock_store_is_stale())
	{
		/* a batch writes dlock.locks anew, and does this on the way */
		dlock_pending_wake_writer(db, true);
	}
	else
	{
		portion = PORTION_OWED;
		write_owed(db);
	}
}

/*
 * dlock_clients_written is called when the portion is committed.
 */
void
dlock_clients_written(DlockDatabase *db)
{
	DlockTime	now = dlock_clock_now();

	if (portion == PORTION_NONE)
	{
		dlock_clients_put_off();
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
 * wake_up is called by the timer, whose signal sets the latch anyway.
 */
static void
wake_up(void)
{
}

/*
 * dlock_clients_init is called when the writer starts.
 */
void
dlock_clients_init(void)
{
	timer = RegisterTimeout(USER_TIMEOUT, wake_up);
}
