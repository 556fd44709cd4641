/*
 * pending.c
 *	  What the writer has to make durable, and which processes wait for it.
 *
 * Every change to a lease that its row should show puts the lease slot into
 * its database's dirty list, unless it is in the list already.  The list is
 * linked through the slots, so it cannot overflow and adding to it cannot
 * fail.  The process that marks a slot learns the number of the batch that
 * will carry the change: the open one (see batch.c).
 *
 * Processes push to the list by compare-and-swap, since they hold different
 * partition locks.  The list is emptied with all partition locks held, so no
 * removal ever races with a push, and there is no ABA problem.
 *
 * A lease that was acknowledged before it is durable (dlock.durable = off) is
 * put into a second list, the late list.  It moves to the dirty list when it
 * has reached a certain age.  Most such leases end before that and are never
 * written.  A lease that was never written cannot be loaded again after a
 * crash, so no process has to wait until its end is durable (see ends.c).
 *
 * A backend that waits for a batch first makes a futex wait on the batch's
 * wait word.  The word changes once the batch is durable, and one system call
 * wakes all backends that wait on it.  If that takes longer than a flush
 * usually does, the backend leaves a notice under the number of its PGPROC and
 * sleeps on its latch.  A backend that waits in a queue has a notice, too.
 * The writer reads all notices and sets the latches.  A notice names the
 * batch, so that a backend is not woken for an earlier one.
 *
 * IDENTIFICATION
 *	  src/shared/pending.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/shmem.h"

#include "base/futex.h"
#include "base/wait_event.h"
#include "shared/alarm.h"
#include "shared/latch.h"
#include "shared/partition.h"
#include "shared/pending.h"
#include "shared/slots.h"
#include "shared/table.h"
#include "shared/writer_watch.h"

/* by PGPROC: the batch and the database that it waits for, or 0 */
static pg_atomic_uint64 *notices;

#define DLOCK_NOTICE_BITS 16

/* slots that dlock_pending_mark_all looks at under the locks at once */
#define MARK_MAX 4096

/*
 * make_notice puts the numbers of a batch and a database into one word.
 */
static uint64
make_notice(DlockDatabase *db, uint64 batch)
{
	return (batch << DLOCK_NOTICE_BITS) | (uint64) (db->slot + 1);
}

/*
 * notice_count returns the number of PGPROCs, except for those of prepared
 * transactions.
 */
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

/*
 * dlock_pending_shmem_init creates the notices, or attaches to them.
 */
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
 * push puts a slot at the head of a list.
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

/*
 * mark_dirty puts a slot into the dirty list, unless it is there.  The caller
 * holds the lease's partition lock exclusively.
 */
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
 * may_come_late returns whether a lease's row may be written later: no
 * acknowledgement waits for the row, and there is no row to be corrected.
 */
static bool
may_come_late(const DlockLease *lease)
{
	return (lease->state == DLOCK_LEASE_PENDING ||
			lease->state == DLOCK_LEASE_HELD) &&
		lease->durable && !lease->promised && !lease->written;
}

/*
 * dlock_pending_mark notes that a slot's row must be written.  Returns the
 * number of the open batch.  That batch carries the change, unless the row may
 * be written later.  The caller holds the lease's partition lock exclusively.
 * Cannot fail.
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
 * returns its number.  The caller holds a partition lock, so the batch is cut
 * after this call, and its flush begins after this call.
 */
uint64
dlock_pending_barrier(DlockDatabase *db)
{
	pg_atomic_write_u32(&db->barrier, 1);
	return pg_atomic_read_u64(&db->open_batch);
}

/*
 * dlock_pending_notify has a process woken when a batch is durable.  Called in
 * one of two ways, so that the process does not miss it:
 *
 * - By the process itself, which then reads once more whether the batch is
 *   durable (see tell_waiters).
 * - By the process that grants a request, under the partition lock of the
 *   queue that the process waits in.  It then reads whether the batch is
 *   durable, and if so wakes the process itself.
 *
 * Cannot fail.
 */
void
dlock_pending_notify(DlockDatabase *db, uint32 procno, uint64 batch)
{
	pg_atomic_exchange_u64(&notices[procno], make_notice(db, batch));
}

/*
 * dlock_pending_unnotify withdraws the caller's notice.  Takes no lock and
 * cannot fail.
 */
void
dlock_pending_unnotify(uint32 procno)
{
	pg_atomic_write_u64(&notices[procno], 0);
}

/*
 * hurry_writer wakes the writer because the caller waits for the open batch.
 * It sets "urgent" to the present time, in milliseconds modulo 2^32 and never
 * 0 (see since_of_urgent).
 *
 * If "urgent" is set already, we do nothing: the process that set it wakes the
 * writer.  The writer clears "urgent" when it cuts a batch, with all partition
 * locks held.  We have marked our change under a partition lock before we read
 * "urgent".  So if we find it set, the cut that clears it carries our change,
 * unless an earlier cut did.
 *
 * Otherwise we set it and wake the writer.  The writer may be about to fall
 * asleep at this moment.  It sets in_futex_wait before a futex wait and clears
 * it afterwards, and reads "urgent" after each of these steps, and again
 * before it sleeps on its latch.  We set "urgent" and then read in_futex_wait.
 * All these writes are full barriers.
 *
 * - We read 1: our wake ends the futex wait.  If the writer has not begun it
 *   yet, the kernel finds that "urgent" is not 0 any more and does not let it
 *   sleep.  If the writer has just left it, it clears in_futex_wait after our
 *   read, and then finds "urgent" set.
 * - We read 0: we set the writer's latch, which ends its sleep on the latch,
 *   or its next one.  If the writer begins a futex wait instead, it sets
 *   in_futex_wait after our read, and then finds "urgent" set.
 *
 * For the monitor, which announces until when it sleeps, see alarm.c.
 */
static void
hurry_writer(DlockDatabase *db)
{
	uint32		none = 0;
	DlockTime	now;
	uint32		stamp;

	/* our change is marked before we read "urgent" */
	pg_memory_barrier();
	if (pg_atomic_read_u32(&db->urgent) != 0)
		return;
	now = dlock_clock_now();
	stamp = (uint32) (now / 1000);
	if (stamp == 0)
		stamp = PG_UINT32_MAX;	/* one millisecond ago */
	if (!pg_atomic_compare_exchange_u32(&db->urgent, &none, stamp))
		return;
	if (pg_atomic_read_u32(&db->in_futex_wait) != 0)
		dlock_futex_wake(&db->urgent);
	else
		dlock_latch_set_by_procno(pg_atomic_read_u32(&db->writer_procno));
	dlock_alarm_set(dlock_clock_after(now, DLOCK_STALL_TIME));
}

/*
 * dlock_pending_wake_writer wakes the writer as far as necessary, after the
 * caller has marked changes and released the partition lock.  "urgent" says
 * that a backend waits for them.  Cannot fail.
 *
 * Changes that no backend waits for are left to the writer's next turn.  The
 * writer is woken for them only if it is idle, that is, if it sleeps without a
 * timeout.  We have pushed to a list and then read "idle"; the writer sets
 * "idle" and then reads the lists (dlock_pending_set_idle).  Both writes are
 * full barriers.  So either we read "idle" as set and set the writer's latch,
 * or the writer sees our change and does not sleep.
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
 * dlock_pending_is_durable returns whether a batch has been flushed, and
 * confirmed by synchronous standbys if there are any.  Needs no lock.
 */
bool
dlock_pending_is_durable(DlockDatabase *db, uint64 batch)
{
	return pg_atomic_read_u64(&db->durable_batch) >= batch;
}

/*
 * dlock_pending_futex_wait sleeps until the batch is durable, but not longer
 * than a futex wait lasts.  It may return earlier; the caller checks.
 *
 * We read the wait word before durable_batch, and the writer changes them in
 * the opposite order.  So if the writer publishes the batch after we have
 * checked durable_batch, it also changes the word after we have read it, and
 * the kernel does not let us sleep on the old value.
 */
void
dlock_pending_futex_wait(DlockDatabase *db, uint64 batch)
{
	pg_atomic_uint32 *word = &db->wait_words[batch % DLOCK_WAIT_WORDS];
	uint32		value = pg_atomic_read_u32(word);

	/* read the word first: see above */
	pg_read_barrier();
	if (!dlock_pending_is_durable(db, batch))
		dlock_futex_wait(word, value, DLOCK_WAIT_EVENT_FLUSH);
}

/*
 * dlock_pending_flush_since returns since when the writer has been waiting for
 * flush and standbys; 0 if it is not waiting.  Needs no lock.
 */
DlockTime
dlock_pending_flush_since(DlockDatabase *db)
{
	return (DlockTime) pg_atomic_read_u64(&db->flush_since);
}

/*
 * dlock_pending_confirmed_since returns when the last flush began that made a
 * batch durable.  The standbys still followed this server at that time, or
 * later.  Needs no lock.
 */
DlockTime
dlock_pending_confirmed_since(DlockDatabase *db)
{
	return (DlockTime) pg_atomic_read_u64(&db->confirmed_since);
}

/*
 * Called by the writer
 */

/*
 * dlock_pending_is_urgent returns whether a backend waits for the open batch.
 */
bool
dlock_pending_is_urgent(DlockDatabase *db)
{
	return pg_atomic_read_u32(&db->urgent) != 0 ||
		pg_atomic_read_u32(&db->barrier) != 0;
}

/*
 * dlock_pending_any returns whether the dirty list has any slots.
 */
bool
dlock_pending_any(DlockDatabase *db)
{
	return pg_atomic_read_u32(&db->dirty_head) != DLOCK_NONE;
}

/*
 * dlock_pending_any_late returns whether the late list has any slots.
 */
bool
dlock_pending_any_late(DlockDatabase *db)
{
	return pg_atomic_read_u32(&db->late_head) != DLOCK_NONE;
}

/*
 * dlock_pending_count returns roughly how many slots the dirty list has.
 */
uint32
dlock_pending_count(DlockDatabase *db)
{
	return pg_atomic_read_u32(&db->dirty_count);
}

/*
 * dlock_pending_futex_wait_for_work makes a futex wait until a backend waits
 * for the open batch; returns whether one does.  May return earlier.  See
 * hurry_writer for how this and the wake-up meet.
 */
bool
dlock_pending_futex_wait_for_work(DlockDatabase *db)
{
	pg_atomic_exchange_u32(&db->in_futex_wait, 1);
	if (pg_atomic_read_u32(&db->urgent) == 0)
		dlock_futex_wait(&db->urgent, 0, DLOCK_WAIT_EVENT_WORK);
	pg_atomic_exchange_u32(&db->in_futex_wait, 0);
	return pg_atomic_read_u32(&db->urgent) != 0;
}

/*
 * dlock_pending_set_idle announces that the writer is idle or, with false,
 * that it is not.  While it is idle it is woken for every change.  After
 * announcing that it is idle, the writer must check for changes once more
 * before it sleeps (see dlock_pending_wake_writer).
 */
void
dlock_pending_set_idle(DlockDatabase *db, bool idle)
{
	pg_atomic_exchange_u32(&db->idle, idle ? 1 : 0);
}

/*
 * dlock_pending_take_late moves leases from the late list to the dirty list:
 * those whose row was due before a time.  Younger ones stay; those that have
 * ended are dropped.  The caller holds all partition locks.  Cannot fail.
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

		/*
		 * it may have ended, or be in the dirty list because it was promised
		 */
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
 * dlock_pending_flush_begins is called before the wait for flush and standbys.
 */
void
dlock_pending_flush_begins(DlockDatabase *db)
{
	DlockTime	now = dlock_clock_now();

	pg_atomic_write_u64(&db->flush_began, (uint64) now);
	pg_atomic_write_u64(&db->flush_since, (uint64) now);
}

/*
 * dlock_pending_flush_ends is called after that wait.
 */
void
dlock_pending_flush_ends(DlockDatabase *db)
{
	pg_atomic_write_u64(&db->flush_since, 0);
}

/*
 * change_wait_words wakes the backends in futex waits for the batches after
 * old, up to batch.
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
 * tell_waiters wakes all processes that wait for a batch, which is durable, or
 * for an earlier one.  If the batch had nothing to flush, "confirmed" is
 * false: no standby has confirmed it.
 *
 * A waiter writes its notice and then reads durable_batch.  We write
 * durable_batch and then read the notices.  Both write by an atomic exchange,
 * which is a full barrier.  So either we see the notice, or the waiter sees
 * that the batch is durable.
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
 * dlock_pending_publish notes that a batch is durable and wakes the processes
 * that wait for it.  Called by the writer, without any lock.
 */
void
dlock_pending_publish(DlockDatabase *db, uint64 batch, bool confirmed)
{
	tell_waiters(db, batch, confirmed);
	dlock_writer_watch_done(db);
}

/*
 * untrim returns TRIMMED slots to the free list of a database that is being
 * taken down.  The caller holds all partition locks.
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
 * writes all rows anew.  A lease that is granted meanwhile is marked by its
 * grant.  Takes all partition locks, for a part of the slots at a time; cannot
 * fail.
 */
void
dlock_pending_mark_all(DlockDatabase *db)
{
	uint32		used = dlock_slots_leases_used();

	for (uint32 first = 0; first < used; first += MARK_MAX)
	{
		dlock_partition_lock_all(DLOCK_LOCK_WRITE);
		for (uint32 i = first; i < Min(first + MARK_MAX, used); i++)
		{
			DlockLease *lease = dlock_table_lease(i);

			if (lease->database == db->slot &&
				(lease->state == DLOCK_LEASE_PENDING ||
				 lease->state == DLOCK_LEASE_HELD))
				(void) dlock_pending_mark(db, i);
		}
		dlock_partition_unlock_all();
	}
}

/*
 * dlock_pending_discard empties the dirty list and the late list of a database
 * that is shut and has no leases any more, and counts the open batch as
 * durable.  Processes that wait for a batch wake up and find the database
 * shut.  Takes all partition locks; cannot fail.
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
