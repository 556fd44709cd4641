/*
 * extension.h
 *	  Is the extension installed in this database, and in which version?
 *
 * IDENTIFICATION
 *	  src/durable/extension.h
 */
#ifndef DLOCK_DURABLE_EXTENSION_H
#define DLOCK_DURABLE_EXTENSION_H

typedef enum DlockPresence
{
	DLOCK_ABSENT,				/* not installed */
	DLOCK_CREATED_HERE,			/* by this transaction: only it can see it */
	DLOCK_PRESENT,
} DlockPresence;

extern Oid	dlock_extension_relation(void);
extern DlockPresence dlock_extension_presence(void);
extern bool dlock_extension_check(int elevel);
extern bool dlock_extension_is(Oid extension);
extern void dlock_extension_check_new(void);

#endif							/* DLOCK_DURABLE_EXTENSION_H */
