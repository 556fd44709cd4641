/*
 * client_set.h
 *	  The clients that the writer works on.
 *
 * IDENTIFICATION
 *	  src/worker/client_set.h
 */
#ifndef DLOCK_WORKER_CLIENT_SET_H
#define DLOCK_WORKER_CLIENT_SET_H

#include "base/record.h"

typedef struct DlockClientSet
{
	DlockClientRecord *records; /* in TopMemoryContext */
	int			count;
	int			capacity;
} DlockClientSet;

extern void dlock_client_set_clear(DlockClientSet *set);
extern DlockClientRecord *dlock_client_set_append(DlockClientSet *set);
extern DlockClientRecord *dlock_client_set_take(DlockClientSet *set,
												uint32 slot);

#endif							/* DLOCK_WORKER_CLIENT_SET_H */
