/*
 * key.c
 *	  Identity of a resource or a client: database and exact name.
 *
 * IDENTIFICATION
 *	  src/base/key.c
 */
#include "postgres.h"

#include "common/hashfn.h"

#include "base/key.h"

/*
 * dlock_key_make builds a key that borrows the caller's name.
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
 * dlock_key_matches compares byte for byte: case and collation play no part.
 */
bool
dlock_key_matches(const DlockKey *key, Oid dboid, const char *name, int len)
{
	return key->dboid == dboid &&
		key->len == len &&
		memcmp(key->name, name, len) == 0;
}
