/*
 * wakeups.pml
 *	  Which process sleeps, which one wakes it, and how a wake-up can get lost.
 *
 * One step is one access to shared memory, or what is done under a lock.  A
 * latch is a bit that WaitLatch waits for and ResetLatch clears.  A process
 * has only one latch, so any other wait of the process (for a lock of
 * PostgreSQL, a standby, a condition variable) clears it as well: CORE_WAITS.
 *
 * A sleep with a timeout ends by itself, and so does a futex wait: both are
 * steps that may be taken at any moment.  The sleeps that matter end by a
 * latch only: those of the idle writer, of the monitor without a deadline, of
 * the launcher, and of the backends.  They are marked as valid end states of
 * their process.  It must not happen that all processes are in such a sleep
 * while there is work left.  Watch checks that: it runs when no other process
 * can.
 *
 * Every process has a bounded number of things to do.  So a lost wake-up
 * cannot be hidden by another process that happens to send one later.
 *
 * With -DWITH_MONITOR the model consists of the monitor and its alarm alone,
 * which share nothing with the other processes.
 *
 * Left out: weak memory order (all accesses are in one order; the barriers in
 * the code are assumed to work), signals of the postmaster except for the end
 * of a worker, cancels, and the report about a stalled writer.
 *
 * IDENTIFICATION
 *	  docs/model/wakeups.pml
 */
#ifndef BACKENDS
#define BACKENDS 2
#endif
#ifndef REQUESTS
#define REQUESTS 2
#endif
#ifndef DEATHS
#define DEATHS 0				/* how often the writer fails */
#endif

#ifndef WITH_MONITOR
#define WRITER BACKENDS
#define MONITOR (BACKENDS + 1)
#define LAUNCHER (BACKENDS + 2)

/* the entry of the database: src/shared/database.h */
bit			urgent;
bit			barrier;
bit			dirty;
bit			any_free;			/* there is a free slot to be trimmed */
bit			recheck;
bit			napping;
bit			dozing;
byte		open_batch = 1;
byte		durable_batch;
byte		notice[BACKENDS];	/* 0, or the batch that it waits for */
bit			latch[BACKENDS + 3];

/* the resource: whether it is held, and the backends in its queue */
#define NOT_WAITING 0
#define QUEUED 1
#define GRANTED 2
bit			held;
byte		wait_state[BACKENDS];
byte		wait_batch[BACKENDS];

/* the registry entry: src/shared/database.c */
#define NO_WRITER 0
#define STARTING 1
#define RUNNING 2
byte		writer_status = RUNNING;
byte		deaths;
bit			reaped;				/* the postmaster has seen the writer end */

byte		unserved;			/* requests under way */
byte		left = BACKENDS;	/* backends that have not finished */

#define CORE_WAITS(p) if :: latch[p] = 0 :: skip fi

/*
 * Backends.  They are the first processes, so _pid is the backend's number.
 */
#define me _pid

/* code: dlock_latch_set_by_procno */
#define WAKE(p) latch[p] = 1

/*
 * hurry wakes the writer for a backend that waits.
 * code: dlock_pending_wake_writer
 */
inline hurry()
{
	if
	:: atomic { !urgent -> urgent = 1 };
		if
		:: napping -> skip		/* code: dlock_futex_wake */
		:: else -> WAKE(WRITER)
		fi
	:: urgent -> skip
	fi
}

/*
 * mention wakes the writer only if it is idle: else its next turn is enough.
 * code: dlock_pending_wake_writer, dlock_slots_put_lease
 */
inline mention()
{
	if
	:: dozing -> WAKE(WRITER)
	:: else
	fi
}

/*
 * await sleeps until a batch is durable.
 * code: dlock_flush_wait, is_settled, dlock_pending_futex_wait, dlock_pending_notify
 */
inline await()
{
	if
	:: durable_batch >= batch -> skip
	:: else ->
#ifdef F_NOTICE_AFTER_LOOK
		/* it has checked, and does not check again */
		notice[me] = batch;
#else
		/* the futex wait ends by itself; code: dlock_futex_wait */
		notice[me] = batch;
		do
		:: durable_batch >= batch -> break
		:: else ->
#endif
#ifdef F_RESET_BEFORE_SLEEP
			latch[me] = 0;
#endif
			/* code: dlock_sleep_until */
			latch[me] == 1;
			latch[me] = 0
#ifndef F_NOTICE_AFTER_LOOK
		od
#endif
	fi;
	notice[me] = 0				/* code: dlock_pending_unnotify */
}

/*
 * A request: granted at once, or queued.
 * code: dlock_grant_request, stand_in_line
 */
inline ask()
{
	unserved++;
	if
	:: !held ->
		held = 1; dirty = 1; batch = open_batch;
		wait_state[me] = NOT_WAITING
	:: else -> wait_state[me] = QUEUED
	fi
}

/*
 * The wait in the queue, and then for the flush.
 * code: dlock_acquire_wait_in_queue, dlock_enqueue_result, dlock_acquire_wait_for_flush,
 * dlock_grant_acknowledge
 */
inline wait_for_grant()
{
	if
	:: wait_state[me] == NOT_WAITING -> hurry()
	:: else ->
		do
		:: atomic { wait_state[me] == GRANTED ->
					batch = wait_batch[me];
					wait_state[me] = NOT_WAITING; wait_batch[me] = 0;
					break }
		:: wait_state[me] == QUEUED ->
			latch[me] == 1;
			latch[me] = 0
		od
	fi;
	await();
	atomic { batch = 0; unserved-- }
}

/*
 * A release: the resource is handed to the next waiter in the queue.
 * code: dlock_holding_release, dlock_transition_end, dlock_transition_serve_queue
 */
inline give_back()
{
	dirty = 1;
	next = 0;
	do
	:: next < BACKENDS && wait_state[next] != QUEUED -> next++
	:: else -> break
	od;
	if
	:: next == BACKENDS -> held = 0
	:: else -> wait_batch[next] = open_batch
	fi
}

/*
 * The next waiter is not woken before its grant is durable: the releaser
 * writes the waiter's notice before the waiter can see that it has been
 * granted anything.
 * code: give, dlock_transition_dismiss, dlock_wakeups_run
 */
inline tell_next()
{
	if
	:: next < BACKENDS ->
#ifndef F_NO_NOTICE_IN_ITS_NAME
		notice[next] = wait_batch[next];
#endif
		atomic { wait_state[next] = GRANTED; next = 0 };
		hurry()
	:: else ->
		next = 0;
		mention();
		any_free = 1;
		mention()
	fi
}

/*
 * A renewal that waits for the standbys.
 * code: dlock_holding_barrier, dlock_pending_barrier
 */
inline ask_barrier()
{
	unserved++; barrier = 1; batch = open_batch
}

/* code: dlock_renew_lease, dlock_flush_wait_change */
inline wait_for_barrier()
{
	hurry();
	await();
	atomic { batch = 0; unserved-- }
}

/* CREATE or DROP EXTENSION.  code: dlock_database_recheck */
inline wake_for_recheck()
{
	if
	:: writer_status == RUNNING -> WAKE(WRITER)
	:: else
	fi;
	WAKE(LAUNCHER)
}

active [BACKENDS] proctype Backend()
{
	byte		batch;
	byte		count;
	byte		next;
	bit			mine;

	do
	:: atomic { count < REQUESTS && !mine -> count++; mine = 1; ask() };
		wait_for_grant()
	:: atomic { count < REQUESTS && mine -> count++; mine = 0; give_back() };
		tell_next()
	:: atomic { count < REQUESTS && mine -> count++; ask_barrier() };
		wait_for_barrier()
#ifndef NO_RECHECK
	:: atomic { count < REQUESTS -> count++; recheck = 1 };
		wake_for_recheck()
#endif
	:: atomic { count == REQUESTS && mine -> mine = 0; give_back() };
		tell_next()
	:: count == REQUESTS && !mine -> break
	od;
	left--;
	/* the process stays: its latch can still be set */
	end: false
}

/*
 * The writer
 */

/* code: dlock_write_open */
#define OPEN_STORE CORE_WAITS(WRITER)

/*
 * publish reports that a batch is durable.
 * code: dlock_pending_publish
 */
inline publish()
{
#ifndef F_NOTICES_BEFORE_PUBLISH
	durable_batch = batch;
#endif
	i = 0;
	do
	:: atomic { i < BACKENDS && notice[i] != 0 && notice[i] <= batch ->
				WAKE(i); i++ }
	:: atomic { i < BACKENDS && (notice[i] == 0 || notice[i] > batch) -> i++ }
	:: atomic { i == BACKENDS -> i = 0; break }
	od;
#ifdef F_NOTICES_BEFORE_PUBLISH
	durable_batch = batch;
#endif
	batch = 0
}

/*
 * code: dlock_writer_main, attend, dlock_write_batch, dlock_write_trim, sleep_for_work
 */
active proctype Writer()
{
	byte		batch;
	byte		i;
	bit			work;

loop:
#if DEATHS > 0
	/* It fails.  code: dlock_database_detach */
	if
	:: deaths < DEATHS && writer_status == RUNNING -> deaths++; goto dead
	:: skip
	fi;
#endif
	/* code: dlock_database_take_recheck, dlock_load_check_extension */
	if
	:: atomic { recheck -> recheck = 0 }; CORE_WAITS(WRITER)
	:: else
	fi;

	/* code: attend */
#ifdef F_OLD_WRITER
	atomic { work = urgent; urgent = 0 };	/* code: dlock_pending_is_urgent */
#else
	work = urgent || barrier;	/* code: dlock_pending_is_urgent */
#endif
	if
	:: atomic { work -> work = 0; goto write }
	:: !work && dirty -> goto write			/* for long enough */
	:: !work && dirty -> goto alert
	:: !work && !dirty -> skip
	fi;

	/* Rows of free slots.  code: dlock_write_trim, dlock_slots_trim_lease, dlock_slots_retire_lease */
	if
	:: any_free ->
		any_free = 0;
		OPEN_STORE;
#ifndef F_OLD_WRITER
		goto loop
#endif
	:: any_free -> goto alert				/* freed too recently */
	:: !any_free -> goto alert				/* it had work a moment ago */
	:: !any_free -> skip
	fi;

	/*
	 * It becomes idle, and sleeps until it is woken.  First it announces that,
	 * then it checks every reason to stay awake.  code: dlock_pending_set_idle,
	 * sleep_for_work
	 */
#ifndef F_LOOK_BEFORE_DOZE
	dozing = 1;
#endif
#ifndef F_OLD_WRITER
	if :: urgent -> goto awake :: else fi;
	if :: barrier -> goto awake :: else fi;
	if :: recheck -> goto awake :: else fi;
#endif
	if :: dirty -> goto awake :: else fi;	/* code: dlock_pending_any */
	if :: any_free -> goto awake :: else fi;	/* code: dlock_slots_any_free_lease */
#ifdef F_LOOK_BEFORE_DOZE
	dozing = 1;
#endif
end_doze:
	latch[WRITER] == 1;
	latch[WRITER] = 0;
awake:
	dozing = 0;
	goto loop;

	/*
	 * It sleeps for a time: first in a futex wait on "urgent", then on its
	 * latch.
	 * code: dlock_pending_futex_wait_for_work, dlock_futex_wait
	 */
alert:
	napping = 1;
	napping = 0;
	if
	:: urgent -> goto loop
	:: else -> latch[WRITER] = 0; goto loop
	fi;

	/* code: dlock_batch_collect, take_slots, end_durably */
write:
	OPEN_STORE;
	atomic {
		/* all partition locks are held */
		dirty = 0; barrier = 0;
#ifndef F_OLD_WRITER
		urgent = 0;
#endif
		batch = open_batch;
		open_batch++
	};
	CORE_WAITS(WRITER);			/* for the standbys */
	publish();
	goto loop;

#if DEATHS > 0
dead:
	/* code: dlock_database_detach */
	writer_status = NO_WRITER;
	latch[WRITER] = 0; dozing = 0; napping = 0; work = 0;
	WAKE(LAUNCHER);
	reaped = 1;
	WAKE(LAUNCHER);				/* by the postmaster */
	/* The launcher starts the next one.  code: dlock_database_attach, dlock_load_all */
end_dead:
	writer_status == STARTING;
	writer_status = RUNNING;
	atomic { urgent = 1; latch[WRITER] = 1 };
	goto loop
#endif
}

#if DEATHS > 0
/*
 * The launcher
 *
 * code: dlock_launcher_main, serve_entry, watch_start,
 * dlock_database_start_due
 */
active proctype Launcher()
{
loop:
	if
	:: atomic { reaped && writer_status == NO_WRITER ->
				reaped = 0; writer_status = STARTING };
		CORE_WAITS(LAUNCHER);	/* code: database_name */
		goto loop
	:: else
	fi;
	/* another entry, of a database that is being dropped */
	if
	:: CORE_WAITS(LAUNCHER);
#ifndef F_LAUNCHER_SLEEPS_AFTER_WAIT
		if
		:: reaped && writer_status == NO_WRITER -> goto loop
		:: else
		fi
#endif
	:: skip
	fi;
end_sleep:
	latch[LAUNCHER] == 1;
	latch[LAUNCHER] = 0;
	goto loop
}
#endif

/*
 * What must not be left when all processes sleep
 */
active proctype Watch()
{
end:
	timeout ->
	assert(unserved == 0);		/* a request that waits for ever */
	assert(left == 0);
	assert(!dirty);				/* a release that is never written */
	assert(!any_free);			/* a row that is never trimmed */
	assert(!recheck || writer_status != RUNNING);
	assert(writer_status == RUNNING)
}

#ifdef LIVE
/* If every process gets its turn, no request waits for ever. */
ltl served { <> [] (unserved == 0) }
#endif

#else							/* WITH_MONITOR */
/*
 * The monitor, and the processes that set deadlines, each in its own
 * partition.
 */
#ifndef DEADLINES
#define DEADLINES 2				/* that each of these processes sets */
#endif
#define NEVER 4
#define SETTERS 2

byte		deadline[SETTERS] = NEVER;	/* the earliest of the partition */
byte		monitor_due;
bit			latch_monitor;

/*
 * A lease is acknowledged, or a backend begins to wait.
 * code: dlock_deadline_set, dlock_alarm_set, stand_in_line
 */
active [SETTERS] proctype Setter()
{
	byte		count;
	byte		due;

	do
	:: count < DEADLINES ->
		/* the partition lock is held; it does not protect monitor_due */
		atomic {
			count++;
			if :: due = 1 :: due = 2 :: due = 3 fi;
			if :: due < deadline[_pid] -> deadline[_pid] = due :: else fi
		};
		if
		:: due < monitor_due -> latch_monitor = 1
		:: else
		fi
	:: else -> break
	od;
	end: false
}

/* code: dlock_monitor_main, expire_due, dlock_maintenance_expire, dlock_alarm_set_due */
active proctype Monitor()
{
	byte		next;
	byte		i;

	do
	::
#ifndef F_MONITOR_ANNOUNCES_LATE
		monitor_due = NEVER;
#endif
		next = NEVER;
		i = 0;
		do
		:: atomic { i < SETTERS ->
					if :: deadline[i] < next -> next = deadline[i] :: else fi;
					i++ }
		:: atomic { i == SETTERS -> i = 0; break }
		od;
		monitor_due = next;
end_sleep:
		latch_monitor == 1;
		latch_monitor = 0
	od
}

/* It sleeps until the first of all deadlines, or its latch is set. */
active proctype Watch()
{
end:
	timeout ->
	assert(monitor_due <= deadline[0] && monitor_due <= deadline[1])
}
#endif
