/*
 * catalog.h
 *	  Column numbers and words of dlock's tables, as sql/dlock--1.0.sql has
 *	  them.
 *
 * IDENTIFICATION
 *	  src/durable/catalog.h
 */
#ifndef DLOCK_DURABLE_CATALOG_H
#define DLOCK_DURABLE_CATALOG_H

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
#define Anum_locks_lease 11
#define Anum_locks_expiration_at 12
#define Anum_locks_status 13

#define DLOCK_STATUS_HELD "held"
#define DLOCK_STATUS_RELEASED "released"

/* dlock.token_blocks */
#define Natts_token_blocks 2
#define Anum_token_blocks_database 1
#define Anum_token_blocks_upto 2

#endif							/* DLOCK_DURABLE_CATALOG_H */
