/*
 * errors.h
 *	  dlock's own SQLSTATEs, and how it uses those of PostgreSQL.
 *
 *	  situation						SQLSTATE
 *	  not preloaded, not ready		ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE
 *	  not available in time			ERRCODE_LOCK_NOT_AVAILABLE
 *	  deadlock, wait_die			ERRCODE_T_R_DEADLOCK_DETECTED
 *	  slots exhausted				ERRCODE_OUT_OF_MEMORY
 *	  bad argument					ERRCODE_INVALID_PARAMETER_VALUE
 *	  client of another role		ERRCODE_INSUFFICIENT_PRIVILEGE
 *	  on a standby					ERRCODE_READ_ONLY_SQL_TRANSACTION
 *	  in a parallel worker			ERRCODE_INVALID_TRANSACTION_STATE
 *	  PREPARE with pending work		ERRCODE_FEATURE_NOT_SUPPORTED
 *	  resource of a row is null		ERRCODE_NULL_VALUE_NOT_ALLOWED
 *	  bad resource expression		ERRCODE_INVALID_OBJECT_DEFINITION
 *
 * IDENTIFICATION
 *	  src/base/errors.h
 */
#ifndef DLOCK_BASE_ERRORS_H
#define DLOCK_BASE_ERRORS_H

/* the lease has ended: expired, released, or taken away by an administrator */
#define ERRCODE_DLOCK_LEASE_LOST MAKE_SQLSTATE('L', 'K', '0', '0', '1')

/* a write needs a resource that its session does not hold */
#define ERRCODE_DLOCK_NOT_HOLDER MAKE_SQLSTATE('L', 'K', '0', '0', '2')

/* the synchronous standbys have confirmed nothing for dlock.quorum_timeout */
#define ERRCODE_DLOCK_NO_QUORUM MAKE_SQLSTATE('L', 'K', '0', '0', '3')

/* LK004 is reserved for shards */

/* a grant could not be made durable in time */
#define ERRCODE_DLOCK_NOT_DURABLE MAKE_SQLSTATE('L', 'K', '0', '0', '5')

#endif							/* DLOCK_BASE_ERRORS_H */
