/*
 * extension.c
 *	  Is the extension installed in this database?
 *
 * IDENTIFICATION
 *	  src/durable/extension.c
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "durable/extension.h"

/*
 * dlock_extension_relation returns the OID of dlock.locks, by which one
 * installation of the extension differs from the next; InvalidOid if the
 * extension is not installed in this database.
 */
Oid
dlock_extension_relation(void)
{
	Oid			schema = get_namespace_oid("dlock", true);

	if (!OidIsValid(schema) || !OidIsValid(get_extension_oid("dlock", true)))
		return InvalidOid;
	return get_relname_relid("locks", schema);
}

/*
 * dlock_extension_created_here returns whether the current transaction has
 * created the extension.  Then no other process can see its tables.
 */
bool
dlock_extension_created_here(void)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		result = false;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum("dlock"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		result = TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}
