/*
 * shape.c
 *	  Is a table still as dlock made it?
 *
 * An administrator can change dlock's tables, and an update of the extension
 * may, while an older library is in memory.  Rows are taken apart and put
 * together by column, so a table with other columns is not touched.
 *
 * Columns are known by name: one that was dropped and made again has another
 * number, and a dropped one keeps its place in the rows.
 *
 * IDENTIFICATION
 *	  src/base/shape.c
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/message.h"
#include "base/shape.h"

/*
 * refuse raises the error of a table that was changed.
 */
static void
refuse(const DlockShape *shape, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"dlock.%s\" does not have the expected definition",
					shape->table),
			 dlock_message_detail(detail),
			 errhint("Undo the changes to the table.")));
}

/*
 * dlock_shape_relation gives the OID of a table.
 */
Oid
dlock_shape_relation(const DlockShape *shape)
{
	Oid			relid = get_relname_relid(shape->table,
										  get_namespace_oid("dlock", false));

	if (!OidIsValid(relid))
		refuse(shape, "The table does not exist.");
	return relid;
}

static bool
is_called(Form_pg_attribute column, const char *name)
{
	return !column->attisdropped && strcmp(NameStr(column->attname), name) == 0;
}

/*
 * find_column gives the number of a column, which is most likely that of its
 * place in the shape; InvalidAttrNumber where there is none of that name.
 */
static AttrNumber
find_column(TupleDesc desc, int place, const char *name)
{
	if (place < desc->natts && is_called(TupleDescAttr(desc, place), name))
		return TupleDescAttr(desc, place)->attnum;
	for (int i = 0; i < desc->natts; i++)
		if (is_called(TupleDescAttr(desc, i), name))
			return TupleDescAttr(desc, i)->attnum;
	return InvalidAttrNumber;
}

static bool
is_known(const DlockShape *shape, Form_pg_attribute column)
{
	for (int c = 0; c < shape->ncolumns; c++)
		if (is_called(column, shape->columns[c].name))
			return true;
	return false;
}

/*
 * check_no_others refuses a table with columns that are not known.  All that
 * are known are there.
 */
static void
check_no_others(const DlockShape *shape, TupleDesc desc)
{
	if (desc->natts == shape->ncolumns)
		return;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (!column->attisdropped && !is_known(shape, column))
			refuse(shape, psprintf("Column \"%s\" is unexpected.",
								   NameStr(column->attname)));
	}
}

/*
 * dlock_shape_check checks that an open table is as it should be, and gives the
 * numbers of its columns.  They hold for as long as the table is locked.
 */
void
dlock_shape_check(const DlockShape *shape, Relation rel, AttrNumber *numbers)
{
	TupleDesc	desc = RelationGetDescr(rel);

	/* rows go past the table's access method, and must survive a crash */
	if (rel->rd_rel->relkind != RELKIND_RELATION ||
		rel->rd_rel->relam != HEAP_TABLE_AM_OID)
		refuse(shape, "The table is not an ordinary table with access method \"heap\".");
	if (rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		refuse(shape, "The table is unlogged.");
	for (int c = 0; c < shape->ncolumns; c++)
	{
		const DlockColumn *column = &shape->columns[c];
		Oid			type;

		numbers[c] = find_column(desc, c, column->name);
		if (numbers[c] == InvalidAttrNumber)
			refuse(shape, psprintf("Column \"%s\" is missing.", column->name));
		type = TupleDescAttr(desc, numbers[c] - 1)->atttypid;
		if (type != column->type)
			refuse(shape, psprintf("Column \"%s\" is of type %s, not %s.",
								   column->name, format_type_be(type),
								   format_type_be(column->type)));
	}
	check_no_others(shape, desc);
}
