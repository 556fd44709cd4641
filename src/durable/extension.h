/*
 * extension.h
 *	  Is the extension installed in this database, and in which version?
 *
 * IDENTIFICATION
 *	  src/durable/extension.h
 */
#ifndef DLOCK_DURABLE_EXTENSION_H
#define DLOCK_DURABLE_EXTENSION_H

extern Oid	dlock_extension_relation(void);
extern bool dlock_extension_created_here(void);
extern bool dlock_extension_check(int elevel);
extern bool dlock_extension_is(Oid extension);
extern void dlock_extension_check_new(void);

#endif							/* DLOCK_DURABLE_EXTENSION_H */
