/*
 * compat.h
 *	  The differences between PostgreSQL 15 and 19.
 *
 * The code is written for the newest server.  What an older one lacks is
 * defined here by its new name; a call that takes other arguments on every
 * server has a macro whose name ends in _compat.  No other file asks for the
 * server's version.
 *
 * IDENTIFICATION
 *	  src/base/compat.h
 */
#ifndef DLOCK_BASE_COMPAT_H
#define DLOCK_BASE_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "dlock needs PostgreSQL 15 or newer"
#endif

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/*
 * PostgreSQL 16: one function checks the owner of any object, and a lookup of
 * pg_stat_activity has a new name.
 */
#if PG_VERSION_NUM < 160000
#define object_ownercheck(classid, objectid, roleid) \
	ownercheck_##classid(objectid, roleid)
#define ownercheck_RelationRelationId pg_class_ownercheck
#define ownercheck_DatabaseRelationId pg_database_ownercheck
#define pgstat_get_local_beentry_by_index(idx) \
	pgstat_fetch_stat_local_beentry(idx)
#endif

/*
 * PostgreSQL 17: the number of a process's PGPROC has a variable and a macro,
 * extensions can name their wait events, and a logical message can be flushed.
 */
#if PG_VERSION_NUM < 170000
#define MyProcNumber (MyProc->pgprocno)
#define GetNumberFromPGProc(proc) ((proc)->pgprocno)
#define WaitEventExtensionNew(name) ((void) (name), PG_WAIT_EXTENSION)
#define LogLogicalMessage_compat(prefix, message, size, transactional) \
	LogLogicalMessage(prefix, message, size, transactional)
#else
#define LogLogicalMessage_compat(prefix, message, size, transactional) \
	LogLogicalMessage(prefix, message, size, transactional, false)
#endif

/*
 * PostgreSQL 18: a function that does not return is marked before its type,
 * and generated columns can be virtual.
 */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#define expand_generated_columns_in_expr(expr, rel, varno) (expr)
#endif

/*
 * PostgreSQL 19: a signal handler gets more arguments, and passes them on.
 */
#if PG_VERSION_NUM < 190000
#define die_compat() die(postgres_signal_arg)
#else
#define die_compat() die(postgres_signal_arg, pg_siginfo)
#endif

/*
 * The heap.  PostgreSQL 16: heap_update reports which indexes need an entry.
 * PostgreSQL 19: options for changes and scans, and pruning may need the
 * visibility map.
 */
#if PG_VERSION_NUM >= 190000
#define heap_delete_compat(rel, tid, cid, crosscheck, wait, failure) \
	heap_delete(rel, tid, cid, 0, crosscheck, wait, failure)
#define heap_update_compat(rel, tid, tuple, cid, crosscheck, wait, failure, mode) \
	heap_update(rel, tid, tuple, cid, 0, crosscheck, wait, failure, mode, \
				&(TU_UpdateIndexes) {TU_None})
#define heap_page_prune_opt_compat(rel, buffer) \
	do { \
		Buffer		map = InvalidBuffer; \
		heap_page_prune_opt(rel, buffer, &map, false); \
		if (BufferIsValid(map)) \
			ReleaseBuffer(map); \
	} while (0)
#define table_beginscan_compat(rel, snapshot, nkeys, keys) \
	table_beginscan(rel, snapshot, nkeys, keys, 0)
#define table_beginscan_tidrange_compat(rel, snapshot, first, last) \
	table_beginscan_tidrange(rel, snapshot, first, last, 0)
#else
#define heap_delete_compat(rel, tid, cid, crosscheck, wait, failure) \
	heap_delete(rel, tid, cid, crosscheck, wait, failure, false)
#if PG_VERSION_NUM >= 160000
#define heap_update_compat(rel, tid, tuple, cid, crosscheck, wait, failure, mode) \
	heap_update(rel, tid, tuple, cid, crosscheck, wait, failure, mode, \
				&(TU_UpdateIndexes) {TU_None})
#else
#define heap_update_compat(rel, tid, tuple, cid, crosscheck, wait, failure, mode) \
	heap_update(rel, tid, tuple, cid, crosscheck, wait, failure, mode)
#endif
#define heap_page_prune_opt_compat(rel, buffer) heap_page_prune_opt(rel, buffer)
#define table_beginscan_compat(rel, snapshot, nkeys, keys) \
	table_beginscan(rel, snapshot, nkeys, keys)
#define table_beginscan_tidrange_compat(rel, snapshot, first, last) \
	table_beginscan_tidrange(rel, snapshot, first, last)
#endif

/*
 * If the server was built with Kerberos, libpq/libpq.h needs the Kerberos
 * headers, which are not part of the server's development package.  So the
 * declarations that dlock needs from it are repeated here: the events that a
 * backend waits for while idle (NULL if it has no client), and the place of
 * the client's socket among them.
 */
extern PGDLLIMPORT struct WaitEventSet *FeBeWaitSet;
#define DLOCK_CLIENT_SOCKET 0

#endif							/* DLOCK_BASE_COMPAT_H */
