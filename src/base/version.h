/*
 * version.h
 *	  The version of this library, and the versions of the extension's objects
 *	  that it works with.
 *
 * The server keeps the version of the objects for each database, in
 * pg_extension.  It differs from the library's between the installation of
 * another library and ALTER EXTENSION ... UPDATE.
 *
 * IDENTIFICATION
 *	  src/base/version.h
 */
#ifndef DLOCK_BASE_VERSION_H
#define DLOCK_BASE_VERSION_H

/* default_version of dlock.control; "make checkver" compares them */
#define DLOCK_VERSION "1.0"

/* the library works with objects from this version to its own */
#define DLOCK_OLDEST_VERSION "0.9"

typedef enum DlockSupport
{
	DLOCK_SUPPORTED,
	DLOCK_TOO_OLD,
	DLOCK_TOO_NEW,
} DlockSupport;

extern DlockSupport dlock_version_support(const char *version);

#endif							/* DLOCK_BASE_VERSION_H */
