/*
 * tokens.c
 *	  The table of token blocks.
 *
 * Tokens are given out from blocks.  A block is durable before the first token
 * of it is given out, so a crash cannot make a token appear twice.
 *
 * The table changes rarely, so SQL writes it.  Everything in the statements is
 * schema-qualified, since the database's search_path is not known.
 *
 * IDENTIFICATION
 *	  src/durable/tokens.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"

#include "durable/catalog.h"
#include "durable/tables.h"
#include "durable/tokens.h"

static bool
run_statement(const char *query, int nargs, Oid *types, Datum *args)
{
	if (SPI_execute_with_args(query, nargs, types, args, NULL, false, 0) < 0)
		elog(ERROR, "could not run \"%s\"", query);
	return SPI_tuptable != NULL && SPI_processed > 0;
}

/*
 * result returns a column of the first row; 0 for null.
 */
static Datum
result(int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[0],
									  SPI_tuptable->tupdesc, column, &isnull);

	return isnull ? (Datum) 0 : value;
}

/*
 * dlock_tokens_extend makes another block of tokens durable, above the newest
 * token and above all that the table says, which it returns in *found.
 * Returns the new bound.
 *
 * There may be more than one row: a restored dump brings that of the dumped
 * database.
 */
int64
dlock_tokens_extend(int64 last_token, int64 *found)
{
	Oid			types[2] = {OIDOID, INT8OID};
	Datum		args[2];
	int64		upto;

	dlock_tables_check(&dlock_token_blocks_shape);
	SPI_connect();
	*found = 0;
	if (run_statement("WITH gone AS (DELETE FROM dlock.token_blocks RETURNING upto)"
					  " SELECT pg_catalog.max(upto) FROM gone",
					  0, NULL, NULL))
		*found = DatumGetInt64(result(1));
	upto = Max(last_token, *found) + DLOCK_TOKEN_BLOCK;
	args[0] = ObjectIdGetDatum(MyDatabaseId);
	args[1] = Int64GetDatum(upto);
	(void) run_statement("INSERT INTO dlock.token_blocks (database, upto)"
						 " VALUES ($1, $2)",
						 2, types, args);
	SPI_finish();
	return upto;
}
