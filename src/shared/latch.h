/*
 * latch.h
 *	  Waking a process by the number of its PGPROC.
 *
 * IDENTIFICATION
 *	  src/shared/latch.h
 */
#ifndef DLOCK_SHARED_LATCH_H
#define DLOCK_SHARED_LATCH_H

extern void dlock_latch_set_by_procno(uint32 procno);

#endif							/* DLOCK_SHARED_LATCH_H */
