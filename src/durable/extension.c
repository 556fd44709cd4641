/*
 * extension.c
 *	  Is the extension installed in this database, and in which version?
 *
 * IDENTIFICATION
 *	  src/durable/extension.c
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/message.h"
#include "base/version.h"
#include "durable/extension.h"

/* what is needed of the extension's row in pg_extension */
typedef struct Installed
{
	Oid			oid;
	char		version[64];	/* a longer one is cut off */
} Installed;

/*
 * newest_snapshot returns a registered snapshot that sees whatever has been
 * committed.  The one of catalogs may be older: another backend makes its
 * commit visible before it sends its invalidation messages.
 */
static Snapshot
newest_snapshot(void)
{
	InvalidateCatalogSnapshot();
	return RegisterSnapshot(GetCatalogSnapshot(ExtensionRelationId));
}

/*
 * find_installed returns whether this database has the extension, and what its
 * row says.
 */
static bool
find_installed(Snapshot snapshot, Installed *installed)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum("dlock"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, snapshot, 1, &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		bool		isnull;
		Datum		version = heap_getattr(tuple, Anum_pg_extension_extversion,
										   RelationGetDescr(rel), &isnull);

		installed->oid = ((Form_pg_extension) GETSTRUCT(tuple))->oid;
		text_to_cstring_buffer(DatumGetTextPP(version), installed->version,
							   sizeof(installed->version));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

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
 * dlock_extension_presence returns whether the extension is installed, by its
 * row alone: what other catalogs say may be out of date here.
 *
 * A transaction that has updated the extension has written its row as well.
 * So we look whether it was there before this transaction's first command.
 */
DlockPresence
dlock_extension_presence(void)
{
	Snapshot	snapshot = newest_snapshot();
	Installed	before;
	Installed	now;
	bool		is_here = find_installed(snapshot, &now);
	bool		was_here;

	snapshot->curcid = FirstCommandId;
	was_here = find_installed(snapshot, &before);
	UnregisterSnapshot(snapshot);
	if (!is_here)
		return DLOCK_ABSENT;
	return was_here && before.oid == now.oid ? DLOCK_PRESENT : DLOCK_CREATED_HERE;
}

/*
 * report reports that the library does not work with a version.
 */
static void
report(int elevel, const char *version, DlockSupport support)
{
	bool		too_new = support == DLOCK_TOO_NEW;

	ereport(elevel,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 too_new ?
			 errmsg("extension dlock %s in database \"%s\" is too new for the loaded library, which is version %s",
					dlock_message_text(version),
					dlock_message_text(get_database_name(MyDatabaseId)),
					DLOCK_VERSION) :
			 errmsg("extension dlock %s in database \"%s\" is too old for the loaded library, which is version %s",
					dlock_message_text(version),
					dlock_message_text(get_database_name(MyDatabaseId)),
					DLOCK_VERSION),
			 errdetail("The library works with versions %s to %s of the extension.",
					   DLOCK_OLDEST_VERSION, DLOCK_VERSION),
			 too_new ?
			 errhint("Install dlock of the extension's version or a newer one, and restart the server.") :
			 errhint("Run \"ALTER EXTENSION dlock UPDATE\" in that database.")));
}

/*
 * dlock_extension_check returns true if the library works with the objects in
 * this database, or if the extension is not installed.  Otherwise it reports
 * the two versions at the given level and, unless that throws, returns false.
 */
bool
dlock_extension_check(int elevel)
{
	Snapshot	snapshot = newest_snapshot();
	Installed	installed;
	DlockSupport support = DLOCK_SUPPORTED;

	if (find_installed(snapshot, &installed))
		support = dlock_version_support(installed.version);
	UnregisterSnapshot(snapshot);
	if (support != DLOCK_SUPPORTED)
		report(elevel, installed.version, support);
	return support == DLOCK_SUPPORTED;
}

/*
 * dlock_extension_is returns whether that extension is dlock.  Unlike
 * get_extension_name, it sees a row that the present command has written.
 */
bool
dlock_extension_is(Oid extension)
{
	Installed	installed;

	return find_installed(SnapshotSelf, &installed) &&
		installed.oid == extension;
}

/*
 * dlock_extension_check_new throws if the present command is about to give the
 * extension objects that are too new for the library.  Objects that are too
 * old are accepted: an update goes from one version to the next.
 */
void
dlock_extension_check_new(void)
{
	Installed	installed;

	if (find_installed(SnapshotSelf, &installed) &&
		dlock_version_support(installed.version) == DLOCK_TOO_NEW)
		report(ERROR, installed.version, DLOCK_TOO_NEW);
}
