/*
 * futex.c
 *	  Short sleeps on a word in shared memory.
 *
 * A latch costs whoever sets it a signal for every sleeper, and the sleeper
 * three system calls.  Where a sleep usually is one flush of the WAL long,
 * that is much of what a lease costs.  Linux can sleep on a word and wake
 * everybody who does, in one call each.
 *
 * A nap is not ended by a latch or the postmaster's death, nor by a signal
 * that comes just before it.  So it is short: whoever has not got what it
 * waits for by then goes on with a latch.  Where there are no such sleeps, a
 * nap is over at once.
 *
 * IDENTIFICATION
 *	  src/base/futex.c
 */
#include "postgres.h"

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#endif

#include "pgstat.h"
#include "utils/wait_event.h"

#include "base/futex.h"

/* a cancel that meets a nap at its start is late by this much */
#define FUTEX_WAIT_NS (10 * 1000 * 1000)

/*
 * dlock_futex_wait sleeps while the word has the value; it may end before, and the
 * caller looks for itself what has changed.
 */
void
dlock_futex_wait(pg_atomic_uint32 *word, uint32 value)
{
#ifdef __linux__
	struct timespec timeout = {.tv_nsec = FUTEX_WAIT_NS};

	pgstat_report_wait_start(PG_WAIT_EXTENSION);
	/* it ends early for a signal, a change or no reason: all the same to us */
	(void) syscall(SYS_futex, (uint32 *) &word->value, FUTEX_WAIT, value,
				   &timeout, NULL, 0);
	pgstat_report_wait_end();
#endif
}

/*
 * dlock_futex_wake wakes all who nap on the word, after it was changed.
 */
void
dlock_futex_wake(pg_atomic_uint32 *word)
{
#ifdef __linux__
	(void) syscall(SYS_futex, (uint32 *) &word->value, FUTEX_WAKE, PG_INT32_MAX,
				   NULL, NULL, 0);
#endif
}
