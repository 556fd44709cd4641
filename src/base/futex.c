/*
 * futex.c
 *	  Futex waits: short sleeps on a word in shared memory.
 *
 * To wake several processes by their latches, the waking process sends a
 * signal to each, and each sleeper makes three system calls.  If a sleep
 * usually takes only one flush of the WAL, that is a large part of the cost of
 * a lease.  On Linux, processes can sleep on a word with one system call each,
 * and one system call wakes all of them.
 *
 * Neither a latch nor the postmaster's death ends a futex wait.  A signal that
 * arrives while the process sleeps does, but one that arrives just before it,
 * after the last check for interrupts, does not.  So a futex wait is short,
 * and a caller that has to wait longer continues with its latch.  On other
 * systems a futex wait returns at once.
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
#include "base/wait_event.h"

/* a cancel request just before a futex wait is delayed by at most this much */
#define FUTEX_WAIT_NS (10 * 1000 * 1000)

/*
 * dlock_futex_wait sleeps as long as the word has the value, but not longer
 * than FUTEX_WAIT_NS.  It may return early for any reason, so the caller must
 * check what has changed.
 *
 * No wake-up is lost: the kernel compares the word with the value and puts the
 * process to sleep as one atomic step.  If another process changes the word
 * before that step, the wait returns at once; if it does so later, its
 * dlock_futex_wake finds the sleeper.
 */
void
dlock_futex_wait(pg_atomic_uint32 *word, uint32 value, DlockWaitEvent event)
{
#ifdef __linux__
	struct timespec timeout = {.tv_nsec = FUTEX_WAIT_NS};

	pgstat_report_wait_start(dlock_wait_event(event));
	/* the result does not matter: the caller checks what has changed */
	(void) syscall(SYS_futex, (uint32 *) &word->value, FUTEX_WAIT, value,
				   &timeout, NULL, 0);
	pgstat_report_wait_end();
#endif
}

/*
 * dlock_futex_wake wakes all processes that sleep on the word.  The caller has
 * changed the word before.
 */
void
dlock_futex_wake(pg_atomic_uint32 *word)
{
#ifdef __linux__
	(void) syscall(SYS_futex, (uint32 *) &word->value, FUTEX_WAKE, PG_INT32_MAX,
				   NULL, NULL, 0);
#endif
}
