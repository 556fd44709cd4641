/*
 * futex.h
 *	  Futex waits: short sleeps on a word in shared memory.
 *
 * IDENTIFICATION
 *	  src/base/futex.h
 */
#ifndef DLOCK_BASE_FUTEX_H
#define DLOCK_BASE_FUTEX_H

#include "port/atomics.h"

#include "base/wait_event.h"

extern void dlock_futex_wait(pg_atomic_uint32 *word, uint32 value,
							 DlockWaitEvent event);
extern void dlock_futex_wake(pg_atomic_uint32 *word);

#endif							/* DLOCK_BASE_FUTEX_H */
