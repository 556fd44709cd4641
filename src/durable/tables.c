/*
 * tables.c
 *	  Opening dlock's tables.
 *
 * Each table is checked before it is read or written: one whose columns were
 * changed is refused.
 *
 * IDENTIFICATION
 *	  src/durable/tables.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "utils/rel.h"

#include "durable/tables.h"

/*
 * dlock_tables_open opens one of dlock's tables and returns where its columns
 * are.  It is an error if the table does not have the shape that it should.
 */
Relation
dlock_tables_open(const DlockShape *shape, LOCKMODE lock, AttrNumber *numbers)
{
	Relation	rel = table_open(dlock_shape_relation(shape), lock);

	dlock_shape_check(shape, rel, numbers);
	return rel;
}

/*
 * dlock_tables_check checks a table that an SQL statement is going to change.
 * The lock is kept, so that the table stays as it is until the transaction
 * ends.
 */
void
dlock_tables_check(const DlockShape *shape)
{
	AttrNumber	numbers[MaxHeapAttributeNumber];

	table_close(dlock_tables_open(shape, RowExclusiveLock, numbers), NoLock);
}

/*
 * dlock_tables_file returns a number for the file that a table is in.  VACUUM
 * FULL and the like give it another one.
 */
Oid
dlock_tables_file(Relation rel)
{
	return rel->rd_rel->relfilenode;
}
