/*
 * shape.h
 *	  The expected definitions of the tables that dlock reads and writes.
 *
 * IDENTIFICATION
 *	  src/base/shape.h
 */
#ifndef DLOCK_BASE_SHAPE_H
#define DLOCK_BASE_SHAPE_H

#include "access/attnum.h"
#include "utils/relcache.h"

typedef struct DlockColumn
{
	const char *name;
	Oid			type;
	bool		nullable;
} DlockColumn;

/* a table in schema dlock */
typedef struct DlockShape
{
	const char *table;
	int			ncolumns;
	const DlockColumn *columns;
} DlockShape;

extern Oid	dlock_shape_relation(const DlockShape *shape);
extern void dlock_shape_check(const DlockShape *shape, Relation rel,
							  AttrNumber *numbers);

#endif							/* DLOCK_BASE_SHAPE_H */
