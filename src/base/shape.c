/*
 * shape.c
 *	  Check that a table still has the definition that dlock expects.
 *
 * An administrator can alter dlock's tables.  An update of the extension may
 * do so as well, while the server still has the older library in memory.
 * dlock forms and deforms rows column by column, so it does not touch a table
 * that has other columns than expected.
 *
 * Columns are identified by name, because a column that was dropped and added
 * again has another number, and a dropped column keeps its place in the rows.
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
 * refuse raises the error for a table that has been altered.
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
 * dlock_shape_relation returns the OID of a table.  Throws if the table does
 * not exist.
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
 * find_column returns the number of the column with that name, or
 * InvalidAttrNumber if there is none.  It first tries the column at "place",
 * which is the right one unless the table has been altered.
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
 * check_no_others throws if a table has columns that are not expected.  The
 * caller has checked that it has all the expected ones.
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
 * dlock_shape_check throws unless an open table has the expected definition,
 * and returns the numbers of its columns.  They are valid as long as the table
 * is locked.
 */
void
dlock_shape_check(const DlockShape *shape, Relation rel, AttrNumber *numbers)
{
	TupleDesc	desc = RelationGetDescr(rel);

	/* dlock calls heap functions directly, and rows must survive a crash */
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
