/*
 * catalog.h
 *	  Columns and words of dlock's tables, as sql/dlock--1.0.sql defines them.
 *
 * The numbers are positions in the shape.  dlock_shape_check finds out which
 * attribute number each column has in the table.
 *
 * IDENTIFICATION
 *	  src/durable/catalog.h
 */
#ifndef DLOCK_DURABLE_CATALOG_H
#define DLOCK_DURABLE_CATALOG_H

#include "catalog/pg_type_d.h"

#include "base/shape.h"

/* dlock.locks */
#define Natts_locks 13
#define Anum_locks_id 1
#define Anum_locks_resource_name 2
#define Anum_locks_token 3
#define Anum_locks_owner_id 4
#define Anum_locks_owner 5
#define Anum_locks_owner_role 6
#define Anum_locks_mode 7
#define Anum_locks_scope 8
#define Anum_locks_hold_count 9
#define Anum_locks_acquired_at 10
#define Anum_locks_ttl 11
#define Anum_locks_expiration_at 12
#define Anum_locks_status 13

static const DlockColumn dlock_locks_columns[Natts_locks] = {
	[Anum_locks_id - 1] = {"id", INT8OID},
	[Anum_locks_resource_name - 1] = {"resource_name", TEXTOID},
	[Anum_locks_token - 1] = {"token", INT8OID},
	[Anum_locks_owner_id - 1] = {"owner_id", INT8OID, true},
	[Anum_locks_owner - 1] = {"owner", TEXTOID},
	[Anum_locks_owner_role - 1] = {"owner_role", REGROLEOID},
	[Anum_locks_mode - 1] = {"mode", TEXTOID},
	[Anum_locks_scope - 1] = {"scope", TEXTOID},
	[Anum_locks_hold_count - 1] = {"hold_count", INT4OID},
	[Anum_locks_acquired_at - 1] = {"acquired_at", TIMESTAMPTZOID},
	[Anum_locks_ttl - 1] = {"ttl", INTERVALOID},
	[Anum_locks_expiration_at - 1] = {"expiration_at", TIMESTAMPTZOID, true},
	[Anum_locks_status - 1] = {"status", TEXTOID},
};

static const DlockShape dlock_locks_shape =
{"locks", Natts_locks, dlock_locks_columns};

#define DLOCK_STATUS_HELD "held"
#define DLOCK_STATUS_RELEASED "released"
#define DLOCK_STATUS_CLIENT "client"	/* no lease: a client's role */

/* dlock.clients */
#define Natts_clients 5
#define Anum_clients_id 1
#define Anum_clients_name 2
#define Anum_clients_role 3
#define Anum_clients_created_at 4
#define Anum_clients_last_used_at 5

static const DlockColumn dlock_clients_columns[Natts_clients] = {
	[Anum_clients_id - 1] = {"id", INT8OID},
	[Anum_clients_name - 1] = {"name", TEXTOID},
	[Anum_clients_role - 1] = {"role", REGROLEOID},
	[Anum_clients_created_at - 1] = {"created_at", TIMESTAMPTZOID},
	[Anum_clients_last_used_at - 1] = {"last_used_at", TIMESTAMPTZOID},
};

static const DlockShape dlock_clients_shape =
{"clients", Natts_clients, dlock_clients_columns};

/* dlock.token_blocks */
#define Natts_token_blocks 2
#define Anum_token_blocks_database 1
#define Anum_token_blocks_upto 2

static const DlockColumn dlock_token_blocks_columns[Natts_token_blocks] = {
	[Anum_token_blocks_database - 1] = {"database", OIDOID},
	[Anum_token_blocks_upto - 1] = {"upto", INT8OID},
};

static const DlockShape dlock_token_blocks_shape =
{"token_blocks", Natts_token_blocks, dlock_token_blocks_columns};

#endif							/* DLOCK_DURABLE_CATALOG_H */
