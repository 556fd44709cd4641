/*
 * row_resource.c
 *	  The resource that a row of a protected table belongs to.
 *
 * An expression over the table's columns computes the resource.  Like an index
 * expression, it depends only on the row: it must be immutable.  The server's
 * parser parses it as an expression, so SQL injection is not possible.  It is
 * stored as an argument of the trigger, as text with all names qualified.  So
 * pg_dump can dump it, and the search path of the session that writes to the
 * table cannot change its meaning.
 *
 * The planned expression is cached for the session by trigger, because
 * partitions have their own triggers and column numbers.  Each statement makes
 * its own executable form of it.
 *
 * IDENTIFICATION
 *	  src/api/row_resource.c
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/namespace.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "api/row_resource.h"
#include "base/compat.h"
#include "base/message.h"

/* a trigger's expression, planned */
typedef struct Entry
{
	Oid			trigger;		/* hash key */
	Oid			relation;
	bool		valid;			/* the relation has not changed since then */
	CachedExpression *planned;
} Entry;

struct DlockRowResource
{
	ExprState  *state;
	ExprContext *context;
};

static HTAB *entries = NULL;

/*
 * Parsing
 */

/*
 * add_context makes errors point to the expression in place of the client's
 * statement.
 */
static void
add_context(void *arg)
{
	const char *expression = arg;
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(expression);
	}
	errcontext("resource expression \"%s\"", expression);
}

/*
 * is_star returns whether an element of a select list is "*", which the parser
 * represents as a column reference.
 */
static bool
is_star(const ResTarget *target)
{
	return IsA(target->val, ColumnRef) &&
		IsA(linitial(castNode(ColumnRef, target->val)->fields), A_Star);
}

/*
 * is_bare returns whether a SELECT has a select list and nothing else.
 */
static bool
is_bare(const SelectStmt *select)
{
	return select->distinctClause == NIL && select->fromClause == NIL &&
		select->whereClause == NULL && select->groupClause == NIL &&
		select->havingClause == NULL && select->windowClause == NIL &&
		select->sortClause == NIL && select->limitOffset == NULL &&
		select->limitCount == NULL && select->lockingClause == NIL;
}

/*
 * parse parses a text that consists of one expression.  The parser's mode for
 * expressions also accepts several expressions and clauses such as FROM, which
 * may surround a select list, so parse throws if there is more than one
 * expression.
 */
static Node *
parse(const char *expression)
{
	List	   *parsed = raw_parser(expression, RAW_PARSE_PLPGSQL_EXPR);
	SelectStmt *select = castNode(SelectStmt, linitial_node(RawStmt, parsed)->stmt);

	if (is_bare(select) && list_length(select->targetList) == 1)
	{
		ResTarget  *target = linitial_node(ResTarget, select->targetList);

		if (target->name == NULL && !is_star(target))
			return target->val;
	}
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("a resource expression must be a single expression")));
	return NULL;				/* not reached */
}

/*
 * check_columns throws if an expression uses system columns or whole-row
 * references: these have different values in each partition, or none.
 */
static void
check_columns(Node *expr)
{
	Bitmapset  *columns = NULL;
	int			column = -1;

	pull_varattnos(expr, 1, &columns);
	while ((column = bms_next_member(columns, column)) >= 0)
		if (column + FirstLowInvalidHeapAttributeNumber <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("a resource expression cannot use system columns or whole-row references")));
}

/*
 * is_temporary returns whether an object is in a temporary schema.  The column
 * is that of the object's catalog which has its schema.
 */
static bool
is_temporary(int cache, Oid object, AttrNumber column)
{
	HeapTuple	tuple = SearchSysCache1(cache, ObjectIdGetDatum(object));
	bool		isnull;
	Oid			schema;

	if (!HeapTupleIsValid(tuple))
		return false;
	schema = DatumGetObjectId(SysCacheGetAttr(cache, tuple, column, &isnull));
	ReleaseSysCache(tuple);
	return isAnyTempNamespace(schema);
}

static bool
is_temporary_function(Oid function, void *context)
{
	return is_temporary(PROCOID, function, Anum_pg_proc_pronamespace);
}

static bool
is_temporary_operator(Oid operator)
{
	return is_temporary(OPEROID, operator, Anum_pg_operator_oprnamespace);
}

/*
 * uses_temporary returns whether an expression contains a type, a function or
 * an operator of a temporary schema.
 */
static bool
uses_temporary(Node *node, void *context)
{
	if (node == NULL)
		return false;
	/* these are not expressions themselves, and have no type */
	if (IsA(node, List) || IsA(node, CaseWhen))
		return expression_tree_walker(node, uses_temporary, context);
	if (is_temporary(TYPEOID, exprType(node), Anum_pg_type_typnamespace) ||
		check_functions_in_node(node, is_temporary_function, NULL))
		return true;
	if ((IsA(node, OpExpr) || IsA(node, DistinctExpr) || IsA(node, NullIfExpr)) &&
		is_temporary_operator(((OpExpr *) node)->opno))
		return true;
	if (IsA(node, ScalarArrayOpExpr) &&
		is_temporary_operator(((ScalarArrayOpExpr *) node)->opno))
		return true;
	return expression_tree_walker(node, uses_temporary, context);
}

/*
 * check_permanent throws if an expression uses temporary objects.  In another
 * session the stored text would fail, or name an object of that session, by
 * which it could choose the resource that a row belongs to.
 */
static void
check_permanent(Node *expr)
{
	if (uses_temporary(expr, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("a resource expression cannot use types, functions or operators of a temporary schema")));
}

/*
 * check_immutable throws unless an expression is immutable.  Otherwise a
 * session could, by a setting, choose the resource that a row belongs to.
 */
static void
check_immutable(Node *expr)
{
	Expr	   *planned = expression_planner(copyObject((Expr *) expr));

	if (contain_mutable_functions((Node *) planned))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("functions in a resource expression must be immutable"),
				 errhint("To concatenate strings, use || instead of format() or concat().")));
}

/*
 * analyze transforms the text of a resource expression into an expression over
 * the table's columns that returns text.  Throws if it is not suitable.
 */
static Node *
analyze(Relation rel, const char *expression)
{
	ParseState *pstate = make_parsestate(NULL);
	ParseNamespaceItem *item;
	Node	   *expr;
	Node	   *expanded;
	Oid			type;

	pstate->p_sourcetext = expression;
	item = addRangeTableEntryForRelation(pstate, rel, AccessShareLock, NULL,
										 false, true);
	addNSItemToQuery(pstate, item, true, true, true);
	expr = transformExpr(pstate, parse(expression), EXPR_KIND_TRIGGER_WHEN);
	type = exprType(expr);
	expr = coerce_to_target_type(pstate, expr, type, TEXTOID, -1,
								 COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
	if (expr == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("a resource expression must be of type text, not type %s",
						format_type_be(type))));
	assign_expr_collations(pstate, expr);
	check_permanent(expr);
	check_columns(expr);
	expanded = expand_generated_columns_in_expr(copyObject(expr), rel, 1);
	check_columns(expanded);
	check_immutable(expanded);
	free_parsestate(pstate);
	return expr;
}

/*
 * analyze_in_context calls analyze, and adds the expression to its errors.
 */
static Node *
analyze_in_context(Relation rel, const char *expression)
{
	ErrorContextCallback callback;
	Node	   *expr;

	callback.callback = add_context;
	callback.arg = unconstify(char *, dlock_message_text(expression));
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	expr = analyze(rel, expression);
	error_context_stack = callback.previous;
	return expr;
}

/*
 * restrict_path reduces the search path to pg_catalog, until the caller calls
 * restore_path with the result, or an error occurs.
 *
 * Types of the session's temporary schema are still found, after those of
 * pg_catalog.  This does no harm: check_permanent refuses them, so a stored
 * expression names no type by an unqualified name that is not in pg_catalog.
 */
static int
restrict_path(void)
{
	int			nest_level = NewGUCNestLevel();

	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	return nest_level;
}

static void
restore_path(int nest_level)
{
	AtEOXact_GUC(true, nest_level);
}

/*
 * dlock_row_resource_check checks a resource expression for a table, and
 * returns the text to be stored.  Throws if the expression is not suitable.
 * The caller has locked the table.
 */
char *
dlock_row_resource_check(Relation rel, const char *expression)
{
	Node	   *expr = analyze_in_context(rel, expression);
	char	   *stored;
	int			nest_level = restrict_path();

	stored = deparse_expression(expr,
								deparse_context_for(RelationGetRelationName(rel),
													RelationGetRelid(rel)),
								false, false);
	/* if the stored text cannot be parsed again, fail now, not when used */
	(void) analyze_in_context(rel, stored);
	restore_path(nest_level);
	return stored;
}

/*
 * Planned expressions of the session
 */

static void
relation_changed(Datum arg, Oid relation)
{
	HASH_SEQ_STATUS status;
	Entry	   *entry;

	hash_seq_init(&status, entries);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (relation == InvalidOid || relation == entry->relation)
			entry->valid = false;
}

static void
make_entries(void)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(Entry);
	entries = hash_create("dlock resource expressions", 16, &control,
						  HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
}

/*
 * drop_outdated removes the entries whose tables or functions have changed or
 * have been dropped.
 */
static void
drop_outdated(void)
{
	HASH_SEQ_STATUS status;
	Entry	   *entry;

	hash_seq_init(&status, entries);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (entry->valid && entry->planned->is_valid)
			continue;
		FreeCachedExpression(entry->planned);
		(void) hash_search(entries, &entry->trigger, HASH_REMOVE, NULL);
	}
}

/*
 * planned returns the planned expression of a trigger, from the cache if it is
 * up to date.
 */
static Node *
planned(Relation rel, Oid trigger, const char *expression)
{
	Entry	   *entry;
	CachedExpression *made;
	Node	   *expr;
	int			nest_level;

	if (entries == NULL)
		make_entries();
	entry = hash_search(entries, &trigger, HASH_FIND, NULL);
	if (entry != NULL && entry->valid && entry->planned->is_valid)
		return entry->planned->expr;

	/* functions that become part of it are read by the same path */
	nest_level = restrict_path();
	expr = analyze_in_context(rel, expression);
	made = GetCachedExpression(expand_generated_columns_in_expr(expr, rel, 1));
	restore_path(nest_level);
	drop_outdated();
	entry = hash_search(entries, &trigger, HASH_ENTER, NULL);
	entry->relation = RelationGetRelid(rel);
	entry->planned = made;
	entry->valid = true;
	return made->expr;
}

/*
 * Rows
 */

/*
 * dlock_row_resource_prepare makes the executable form of a trigger's
 * expression for one statement, in a context that lasts as long as the
 * statement.  It copies the cached expression, because a statement that runs
 * inside this one may find the cache entry outdated and free it.
 */
DlockRowResource *
dlock_row_resource_prepare(Relation rel, Oid trigger, const char *expression,
						   MemoryContext context)
{
	Node	   *expr = planned(rel, trigger, expression);
	MemoryContext old_context = MemoryContextSwitchTo(context);
	DlockRowResource *result = palloc(sizeof(DlockRowResource));

	result->state = ExecInitExpr(copyObject((Expr *) expr), NULL);
	result->context = CreateStandaloneExprContext();
	MemoryContextSwitchTo(old_context);
	return result;
}

/*
 * dlock_row_resource_of returns the resource of a row, or NULL if the
 * expression is null.  The result is valid until the next call.
 */
text *
dlock_row_resource_of(DlockRowResource *row_resource, TupleTableSlot *slot)
{
	ExprContext *context = row_resource->context;
	Datum		value;
	bool		isnull;
	MemoryContext old_context;
	text	   *result = NULL;

	ResetExprContext(context);
	context->ecxt_scantuple = slot;
	value = ExecEvalExprSwitchContext(row_resource->state, context, &isnull);
	if (!isnull)
	{
		old_context = MemoryContextSwitchTo(context->ecxt_per_tuple_memory);
		result = DatumGetTextPP(value);
		MemoryContextSwitchTo(old_context);
	}
	return result;
}
