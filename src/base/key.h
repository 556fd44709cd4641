/*
 * key.h
 *	  The identity of a resource or client: its database and exact name.
 *
 * IDENTIFICATION
 *	  src/base/key.h
 */
#ifndef DLOCK_BASE_KEY_H
#define DLOCK_BASE_KEY_H

/* maximum length of a resource or client name, in bytes, without the NUL */
#define DLOCK_NAME_MAX 255

typedef struct DlockKey
{
	Oid			dboid;
	uint32		hash;			/* for placement only, never for identity */
	const char *name;			/* need not be NUL-terminated */
	int			len;			/* 1 .. DLOCK_NAME_MAX */
} DlockKey;

/* several keys, ordered by name, without duplicates */
typedef struct DlockKeys
{
	DlockKey   *keys;
	int			count;
} DlockKeys;

extern DlockKey dlock_key_make(Oid dboid, const char *name, int len);
extern bool dlock_key_matches(const DlockKey *key, Oid dboid,
							  const char *name, int len);

#endif							/* DLOCK_BASE_KEY_H */
