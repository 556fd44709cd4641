/*
 * resource.h
 *	  Resources by name.  The caller of every function holds the partition
 *	  lock.
 *
 * IDENTIFICATION
 *	  src/shared/resource.h
 */
#ifndef DLOCK_SHARED_RESOURCE_H
#define DLOCK_SHARED_RESOURCE_H

#include "base/key.h"

extern uint32 dlock_resource_find(const DlockKey *key);
extern uint32 dlock_resource_create(const DlockKey *key, uint16 database);
extern void dlock_resource_remove(uint32 idx);

/* called at server start */
extern Size dlock_resource_shmem_size(void);
extern void dlock_resource_shmem_init(void);

#endif							/* DLOCK_SHARED_RESOURCE_H */
