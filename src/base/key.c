/*
 * key.c
 *	  The identity of a resource or client: its database and exact name.
 *
 * IDENTIFICATION
 *	  src/base/key.c
 */
#include "postgres.h"

#include "common/hashfn.h"

#include "base/key.h"

/*
 * dlock_key_make returns a key that points to the caller's copy of the name.
 */
DlockKey
dlock_key_make(Oid dboid, const char *name, int len)
{
	DlockKey	key;

	Assert(len > 0 && len <= DLOCK_NAME_MAX);
	key.dboid = dboid;
	key.name = name;
	key.len = len;
	key.hash = hash_combine(hash_bytes((const unsigned char *) name, len),
							hash_uint32(dboid));
	return key;
}

/*
 * dlock_key_matches returns whether a key has the database and name.  It
 * compares bytes, regardless of collation.
 */
bool
dlock_key_matches(const DlockKey *key, Oid dboid, const char *name, int len)
{
	return key->dboid == dboid &&
		key->len == len &&
		memcmp(key->name, name, len) == 0;
}
