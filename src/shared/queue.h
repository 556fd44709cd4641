/*
 * queue.h
 *	  A resource's waiters, in the order in which they will be served.
 *
 * IDENTIFICATION
 *	  src/shared/queue.h
 */
#ifndef DLOCK_SHARED_QUEUE_H
#define DLOCK_SHARED_QUEUE_H

#include "shared/table.h"

/* the caller holds the resource's partition lock */
extern void dlock_queue_insert(DlockResource *res, uint32 waiter);
extern void dlock_queue_remove(DlockResource *res, uint32 waiter);
extern int	dlock_queue_place(const DlockResource *res, uint32 waiter);

#endif							/* DLOCK_SHARED_QUEUE_H */
