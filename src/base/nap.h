/*
 * nap.h
 *	  Short sleeps on a word in shared memory.
 *
 * IDENTIFICATION
 *	  src/base/nap.h
 */
#ifndef DLOCK_BASE_NAP_H
#define DLOCK_BASE_NAP_H

#include "port/atomics.h"

extern void dlock_nap(pg_atomic_uint32 *word, uint32 value);
extern void dlock_nap_end(pg_atomic_uint32 *word);

#endif							/* DLOCK_BASE_NAP_H */
