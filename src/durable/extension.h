/*
 * extension.h
 *	  Is the extension installed in this database?
 *
 * IDENTIFICATION
 *	  src/durable/extension.h
 */
#ifndef DLOCK_DURABLE_EXTENSION_H
#define DLOCK_DURABLE_EXTENSION_H

extern Oid	dlock_extension_relation(void);
extern bool dlock_extension_created_here(void);

#endif							/* DLOCK_DURABLE_EXTENSION_H */
