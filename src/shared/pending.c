/*
 * pending.c
 *	  What is to be made durable, and who waits for it.
 *
 * Every change to a lease that its row should show puts the slot into its
 * database's dirty list, unless it stands there already.  The list runs
 * through the slots, so it cannot overflow and adding to it cannot fail.
 * Whoever marks a slot learns the number of the batch that will carry the
 * change: the one that is open.
 *
 * The list is pushed to with compare-and-swap, since holders of different
 * partition locks do it at the same time, and emptied under all of these
 * locks, so no pop ever races with a push (there is no ABA).
 *
 * A lease that was acknowledged before it is durable (dlock.durable = off) stands
 * in a second list, the late list, and passes into the first when it has some
 * age: most are over before anybody would have read their rows.  One that was
 * never written cannot come back after a crash, so its end need not be waited
 * for either (see ends.c).
 *
 * Whoever waits for a batch sleeps on its wait word first, which changes once
 * the batch is durable: one call wakes all of them.  If that takes longer than
 * a flush should, or if it stands in line as well, it has a notice in its
 * process's name; the writer looks through the notices and sets latches.  A
 * notice names the batch, so that nobody is woken for the one before.
 *
 * IDENTIFICATION
 *	  src/shared/pending.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/shmem.h"

#include "base/futex.h"
#include "shared/alarm.h"
#include "shared/latch.h"
#include "shared/partition.h"
#include "shared/pending.h"
#include "shared/slots.h"
#include "shared/table.h"
#include "shared/writer_watch.h"

/* what each process waits for: 0, or batch and database in one word */
static pg_atomic_uint64 *notices;

#define DLOCK_NOTICE_BITS 16

static uint64
make_notice(DlockDatabase *db, uint64 batch)
{
	return (batch << DLOCK_NOTICE_BITS) | (uint64) (db->slot + 1);
}

static int
notice_count(void)
{
	return MaxBackends + NUM_AUXILIARY_PROCS;
}

/*
 * dlock_pending_shmem_size must agree with dlock_pending_shmem_init.
 */
Size
dlock_pending_shmem_size(void)
{
	return mul_size(notice_count(), sizeof(pg_atomic_uint64));
}

void
dlock_pending_shmem_init(void)
{
	bool		found;

	notices = ShmemInitStruct("dlock notices", dlock_pending_shmem_size(),
							  &found);
	if (found)
		return;
	for (int i = 0; i < notice_count(); i++)
		pg_atomic_init_u64(&notices[i], 0);
}

/*
 * push puts a slot first into a list.
 */
static void
push(pg_atomic_uint32 *list, uint32 idx, uint32 *next)
{
	uint32		head = pg_atomic_read_u32(list);

	do
	{
		*next = head;
	} while (!pg_atomic_compare_exchange_u32(list, &head, idx));
}

static void
mark_dirty(DlockDatabase *db, uint32 idx)
{
	DlockLease *lease = dlock_table_lease(idx);

	if (lease->on_dirty)
		return;
	lease->on_dirty = true;
	push(&db->dirty_head, idx, &lease->dirty_next);
	pg_atomic_fetch_add_u32(&db->dirty_count, 1);
}

/*
 * may_come_late tells whether a lease's row is neither promised to anybody nor
 * there: then it may follow later.
 */
static bool
may_come_late(const DlockLease *lease)
{
	return (lease->state == DLOCK_LEASE_PENDING ||
			lease->state == DLOCK_LEASE_HELD) &&
		lease->durable && !lease->promised && !lease->written;
}

/*
 * dlock_pending_mark says that a slot's row is to follow; gives the number of
 * the batch that will carry it, unless it may come late.
 */
uint64
dlock_pending_mark(DlockDatabase *db, uint32 idx)
{
	DlockLease *lease = dlock_table_lease(idx);

	if (!may_come_late(lease))
		mark_dirty(db, idx);
	else if (!lease->on_late)
	{
		lease->on_late = true;
		push(&db->late_head, idx, &lease->late_next);
	}
	return pg_atomic_read_u64(&db->open_batch);
}

/*
 * dlock_pending_barrier has the open batch flushed, whatever it contains, and
 * gives its number.  Its flush begins after this call.
 */
uint64
dlock_pending_barrier(DlockDatabase *db)
{
	pg_atomic_write_u32(&db->barrier, 1);
	return pg_atomic_read_u64(&db->open_batch);
}

/*
 * dlock_pending_notify has a process woken when a batch is durable.  Called by
 * the process itself, which then looks once more whether the batch is durable,
 * or under the partition lock of the queue it stands in.
 */
void
dlock_pending_notify(DlockDatabase *db, uint32 procno, uint64 batch)
{
	pg_atomic_exchange_u64(&notices[procno], make_notice(db, batch));
}

/*
 * dlock_pending_unnotify ends that; called by the process itself.
 */
void
dlock_pending_unnotify(uint32 procno)
{
	pg_atomic_write_u64(&notices[procno], 0);
}

/*
 * hurry_writer says that somebody waits for the open batch, and since when, as
 * far as 32 bits tell (see since_of_urgent).
 *
 * Who finds it urgent already leaves the waking to whoever said so first.  The
 * writer takes "urgent" back with the cut, so what was said before stands for
 * us as well: what we wait for is in that batch.  The writer looks at "urgent"
 * after it has said that its futex wait is over, and before each sleep:
 * either it sees what we say, or we see that it needs its latch set.  The same
 * goes for the monitor, which announces until when it sleeps.
 */
static void
hurry_writer(DlockDatabase *db)
{
	uint32		none = 0;
	DlockTime	now;
	uint32		stamp;

	/* what is to be written stands there before we look */
	pg_memory_barrier();
	if (pg_atomic_read_u32(&db->urgent) != 0)
		return;
	now = dlock_clock_now();
	stamp = (uint32) (now / 1000);
	if (stamp == 0)
		stamp = PG_UINT32_MAX;	/* a millisecond ago */
	if (!pg_atomic_compare_exchange_u32(&db->urgent, &none, stamp))
		return;
	if (pg_atomic_read_u32(&db->in_futex_wait) != 0)
		dlock_futex_wake(&db->urgent);
	else
		dlock_latch_set_by_procno(pg_atomic_read_u32(&db->writer_procno));
	dlock_alarm_set(dlock_clock_after(now, DLOCK_STALL_TIME));
}

/*
 * dlock_pending_wake_writer follows marking, after the lock was released.
 *
 * What nobody waits for is left to the writer's next turn; it is woken only
 * if it sleeps without a timeout.  Pushing to the list is a full barrier, and
 * so is dlock_pending_set_idle: either we see that it is idle, or it sees the
 * list.
 */
void
dlock_pending_wake_writer(DlockDatabase *db, bool urgent)
{
	if (urgent)
		hurry_writer(db);
	else if (pg_atomic_read_u32(&db->idle) != 0)
		dlock_latch_set_by_procno(pg_atomic_read_u32(&db->writer_procno));
}

/*
 * dlock_pending_is_durable tells whether a batch has been flushed, and
 * confirmed by synchronous standbys where there are any.
 */
bool
dlock_pending_is_durable(DlockDatabase *db, uint64 batch)
{
	return pg_atomic_read_u64(&db->durable_batch) >= batch;
}

/*
 * dlock_pending_futex_wait sleeps for a flush, or until the batch is durable.
 */
void
dlock_pending_futex_wait(DlockDatabase *db, uint64 batch)
{
	pg_atomic_uint32 *word = &db->wait_words[batch % DLOCK_WAIT_WORDS];
	uint32		value = pg_atomic_read_u32(word);

	/* it changes after durable_batch does, so we cannot miss that */
	pg_read_barrier();
	if (!dlock_pending_is_durable(db, batch))
		dlock_futex_wait(word, value);
}

/*
 * dlock_pending_flush_since tells since when the writer has been waiting for
 * flush and standbys; 0 where it does not.
 */
DlockTime
dlock_pending_flush_since(DlockDatabase *db)
{
	return (DlockTime) pg_atomic_read_u64(&db->flush_since);
}

/*
 * dlock_pending_confirmed_since gives the time when the last flush began that
 * made a batch durable.  The standbys still followed this server then, or later.
 */
DlockTime
dlock_pending_confirmed_since(DlockDatabase *db)
{
	return (DlockTime) pg_atomic_read_u64(&db->confirmed_since);
}

/*
 * Writer
 */

/*
 * dlock_pending_is_urgent tells whether somebody waits for the open batch.
 */
bool
dlock_pending_is_urgent(DlockDatabase *db)
{
	return pg_atomic_read_u32(&db->urgent) != 0 ||
		pg_atomic_read_u32(&db->barrier) != 0;
}

/*
 * dlock_pending_any tells whether anything is to be written.
 */
bool
dlock_pending_any(DlockDatabase *db)
{
	return pg_atomic_read_u32(&db->dirty_head) != DLOCK_NONE;
}

/*
 * dlock_pending_any_late tells whether anything is to be written late.
 */
bool
dlock_pending_any_late(DlockDatabase *db)
{
	return pg_atomic_read_u32(&db->late_head) != DLOCK_NONE;
}

/*
 * dlock_pending_count gives roughly how many slots are to be written.
 */
uint32
dlock_pending_count(DlockDatabase *db)
{
	return pg_atomic_read_u32(&db->dirty_count);
}

/*
 * dlock_pending_futex_wait_for_work sleeps shortly, or until somebody waits;
 * tells whether that is so.
 */
bool
dlock_pending_futex_wait_for_work(DlockDatabase *db)
{
	pg_atomic_exchange_u32(&db->in_futex_wait, 1);
	if (pg_atomic_read_u32(&db->urgent) == 0)
		dlock_futex_wait(&db->urgent, 0);
	pg_atomic_exchange_u32(&db->in_futex_wait, 0);
	return pg_atomic_read_u32(&db->urgent) != 0;
}

/*
 * dlock_pending_set_idle says whether the writer is to be woken for every
 * change.  After announcing that it is, the writer must look for changes once more.
 */
void
dlock_pending_set_idle(DlockDatabase *db, bool idle)
{
	pg_atomic_exchange_u32(&db->idle, idle ? 1 : 0);
}

/*
 * dlock_pending_take_late marks what stands in the late list and was to have a
 * row before a time; younger ones stay.  All partition locks held.
 */
void
dlock_pending_take_late(DlockDatabase *db, DlockTime before)
{
	uint32		idx = pg_atomic_read_u32(&db->late_head);

	pg_atomic_write_u32(&db->late_head, DLOCK_NONE);
	while (idx != DLOCK_NONE)
	{
		DlockLease *lease = dlock_table_lease(idx);
		uint32		next = lease->late_next;

		lease->on_late = false;
		/* it may have ended, or have been promised since */
		if (may_come_late(lease))
		{
			if (lease->row_since < before)
				mark_dirty(db, idx);
			else
				(void) dlock_pending_mark(db, idx);
		}
		idx = next;
	}
}

/*
 * dlock_pending_flush_begins and dlock_pending_flush_ends surround the wait for
 * flush and standbys.
 */
void
dlock_pending_flush_begins(DlockDatabase *db)
{
	DlockTime	now = dlock_clock_now();

	pg_atomic_write_u64(&db->flush_began, (uint64) now);
	pg_atomic_write_u64(&db->flush_since, (uint64) now);
}

void
dlock_pending_flush_ends(DlockDatabase *db)
{
	pg_atomic_write_u64(&db->flush_since, 0);
}

/*
 * change_wait_words wakes who sleeps for one of the batches after old, up to
 * batch.
 */
static void
change_wait_words(DlockDatabase *db, uint64 old, uint64 batch)
{
	if (batch - old > DLOCK_WAIT_WORDS)
		old = batch - DLOCK_WAIT_WORDS;
	while (old < batch)
	{
		pg_atomic_uint32 *word = &db->wait_words[++old % DLOCK_WAIT_WORDS];

		pg_atomic_fetch_add_u32(word, 1);
		dlock_futex_wake(word);
	}
}

/*
 * tell_waiters tells everybody that a batch is durable.  One in which there was
 * nothing to flush has not been confirmed by anybody.
 *
 * The barrier pairs with the waiter's, who writes its notice before it looks
 * at durable_batch: either we see the notice, or it sees the batch.
 */
static void
tell_waiters(DlockDatabase *db, uint64 batch, bool confirmed)
{
	uint64		old;

	if (confirmed)
		pg_atomic_write_u64(&db->confirmed_since,
							pg_atomic_read_u64(&db->flush_began));
	old = pg_atomic_exchange_u64(&db->durable_batch, batch);
	change_wait_words(db, old, batch);
	for (int i = 0; i < MaxBackends; i++)
	{
		uint64		notice = pg_atomic_read_u64(&notices[i]);

		if ((notice & ((1 << DLOCK_NOTICE_BITS) - 1)) == (uint64) db->slot + 1 &&
			(notice >> DLOCK_NOTICE_BITS) <= batch)
			dlock_latch_set_by_procno(i);
	}
}

/*
 * dlock_pending_publish is called when a batch is durable.
 */
void
dlock_pending_publish(DlockDatabase *db, uint64 batch, bool confirmed)
{
	tell_waiters(db, batch, confirmed);
	dlock_writer_watch_done(db);
}

/*
 * untrim puts the slots back that a writer was about to give to the pool when
 * it failed.  All partition locks held.
 */
static void
untrim(DlockDatabase *db)
{
	uint32		used = dlock_slots_leases_used();
	DlockTime	now = dlock_clock_now();

	for (uint32 i = 0; i < used; i++)
		if (dlock_table_lease(i)->database == db->slot &&
			dlock_table_lease(i)->state == DLOCK_LEASE_TRIMMED)
			dlock_slots_put_lease(db, i, now);
}

/*
 * dlock_pending_mark_all marks every lease of the database, for a writer that
 * writes all rows anew.
 */
void
dlock_pending_mark_all(DlockDatabase *db)
{
	uint32		used = dlock_slots_leases_used();

	dlock_partition_lock_all(DLOCK_LOCK_WRITE);
	for (uint32 i = 0; i < used; i++)
	{
		DlockLease *lease = dlock_table_lease(i);

		if (lease->database == db->slot &&
			(lease->state == DLOCK_LEASE_PENDING ||
			 lease->state == DLOCK_LEASE_HELD))
			(void) dlock_pending_mark(db, i);
	}
	dlock_partition_unlock_all();
}

/*
 * dlock_pending_discard empties the dirty list of a database that is shut.
 * Whoever waits for a batch is woken, to find that the gate is shut.
 */
void
dlock_pending_discard(DlockDatabase *db)
{
	uint64		number;

	dlock_partition_lock_all(DLOCK_LOCK_WRITE);
	untrim(db);
	for (uint32 i = pg_atomic_read_u32(&db->dirty_head); i != DLOCK_NONE;
		 i = dlock_table_lease(i)->dirty_next)
		dlock_table_lease(i)->on_dirty = false;
	pg_atomic_write_u32(&db->dirty_head, DLOCK_NONE);
	pg_atomic_write_u32(&db->dirty_count, 0);
	dlock_pending_take_late(db, 0);
	pg_atomic_write_u32(&db->barrier, 0);
	pg_atomic_write_u32(&db->urgent, 0);
	number = pg_atomic_read_u64(&db->open_batch);
	pg_atomic_write_u64(&db->open_batch, number + 1);
	dlock_partition_unlock_all();
	tell_waiters(db, number, false);
}
