/*
 * extension.c
 *	  Is the extension installed in this database?
 *
 * IDENTIFICATION
 *	  src/durable/extension.c
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "commands/extension.h"
#include "utils/lsyscache.h"

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
