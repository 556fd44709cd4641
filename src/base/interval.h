/*
 * interval.h
 *	  Convert durations between intervals and microseconds.
 *
 * IDENTIFICATION
 *	  src/base/interval.h
 */
#ifndef DLOCK_BASE_INTERVAL_H
#define DLOCK_BASE_INTERVAL_H

#include "datatype/timestamp.h"

extern bool dlock_interval_to_us(const Interval *span, int64 *us);
extern Interval dlock_interval_from_us(int64 us);
extern char *dlock_interval_text(int64 us);

#endif							/* DLOCK_BASE_INTERVAL_H */
