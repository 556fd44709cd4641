/*
 * bench_empty.c
 *	  A C function that does nothing: the price of a round trip.
 *
 * IDENTIFICATION
 *	  test/bench/empty/bench_empty.c
 */
#include "postgres.h"

#include "fmgr.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(bench_empty);

Datum
bench_empty(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(0);
}
