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

#endif							/* DLOCK_DURABLE_EXTENSION_H */
