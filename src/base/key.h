/*
 * key.h
 *	  Identity of a resource or a client: database and exact name.
 *
 * IDENTIFICATION
 *	  src/base/key.h
 */
#ifndef DLOCK_BASE_KEY_H
#define DLOCK_BASE_KEY_H

/* longest resource or client name, in bytes, without the terminator */
#define DLOCK_NAME_MAX 255

typedef struct DlockKey
{
	Oid			dboid;
	uint32		hash;			/* for placement only, never for identity */
	const char *name;			/* need not be terminated */
	int			len;			/* 1 .. DLOCK_NAME_MAX */
} DlockKey;

/* several, in the order of their names and each once */
typedef struct DlockKeys
{
	DlockKey   *keys;
	int			count;
} DlockKeys;

extern DlockKey dlock_key_make(Oid dboid, const char *name, int len);
extern bool dlock_key_matches(const DlockKey *key, Oid dboid,
							  const char *name, int len);

#endif							/* DLOCK_BASE_KEY_H */
