/*
 * errors.h
 *	  SQLSTATEs of dlock's own, and which of core's it uses for what.
 *
 *	  situation								SQLSTATE
 *	  not preloaded, not ready				ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE
 *	  not available in time					ERRCODE_LOCK_NOT_AVAILABLE
 *	  two upgrades of one resource			ERRCODE_T_R_DEADLOCK_DETECTED
 *	  slots exhausted						ERRCODE_OUT_OF_MEMORY
 *	  bad argument							ERRCODE_INVALID_PARAMETER_VALUE
 *	  client of another role				ERRCODE_INSUFFICIENT_PRIVILEGE
 *	  on a standby							ERRCODE_READ_ONLY_SQL_TRANSACTION
 *	  in a parallel worker					ERRCODE_INVALID_TRANSACTION_STATE
 *	  PREPARE with pending work				ERRCODE_FEATURE_NOT_SUPPORTED
 *	  resource of a row is null				ERRCODE_NULL_VALUE_NOT_ALLOWED
 *	  expression not fit for a resource		ERRCODE_INVALID_OBJECT_DEFINITION
 *
 * IDENTIFICATION
 *	  src/base/errors.h
 */
#ifndef DLOCK_BASE_ERRORS_H
#define DLOCK_BASE_ERRORS_H

/* the lease is over: expired, released, taken away by an administrator */
#define ERRCODE_DLOCK_LEASE_LOST MAKE_SQLSTATE('L', 'K', '0', '0', '1')

/* a write that needs a resource which the writer does not hold */
#define ERRCODE_DLOCK_NOT_HOLDER MAKE_SQLSTATE('L', 'K', '0', '0', '2')

/* the synchronous standbys have not confirmed anything for long */
#define ERRCODE_DLOCK_NO_QUORUM MAKE_SQLSTATE('L', 'K', '0', '0', '3')

/* LK004 is for shards */

/* a grant that could not be made durable in time */
#define ERRCODE_DLOCK_NOT_DURABLE MAKE_SQLSTATE('L', 'K', '0', '0', '5')

#endif							/* DLOCK_BASE_ERRORS_H */
