/*
 * tables.h
 *	  Opening dlock's tables.
 *
 * IDENTIFICATION
 *	  src/durable/tables.h
 */
#ifndef DLOCK_DURABLE_TABLES_H
#define DLOCK_DURABLE_TABLES_H

#include "storage/lockdefs.h"

#include "base/shape.h"

extern Relation dlock_tables_open(const DlockShape *shape, LOCKMODE lock,
								  AttrNumber *numbers);
extern void dlock_tables_check(const DlockShape *shape);
extern Oid	dlock_tables_file(Relation rel);

#endif							/* DLOCK_DURABLE_TABLES_H */
