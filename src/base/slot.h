/*
 * slot.h
 *	  Numbers of slots in shared memory.
 *
 * All structures in shared memory refer to each other by slot number, and to
 * processes by the number of their PGPROC.
 *
 * IDENTIFICATION
 *	  src/base/slot.h
 */
#ifndef DLOCK_BASE_SLOT_H
#define DLOCK_BASE_SLOT_H

/* no slot, or no process */
#define DLOCK_NONE PG_UINT32_MAX

#endif							/* DLOCK_BASE_SLOT_H */
