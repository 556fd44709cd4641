/*
 * deadlocks.h
 *	  The deadlocks that were found last.
 *
 * IDENTIFICATION
 *	  src/shared/deadlocks.h
 */
#ifndef DLOCK_SHARED_DEADLOCKS_H
#define DLOCK_SHARED_DEADLOCKS_H

#include "datatype/timestamp.h"

#include "base/key.h"

/* how many are kept */
#define DLOCK_DEADLOCKS_KEPT 32

/* room for the description, and for sessions whose queries are logged */
#define DLOCK_DEADLOCK_TEXT 4096
#define DLOCK_DEADLOCK_PIDS 32

typedef struct DlockDeadlock
{
	uint64		id;				/* running number; 0: entry unused */
	TimestampTz detected_at;
	Oid			dboid;
	int			pid;			/* of the session whose wait was ended */
	int			nwaits;			/* length of the cycle */
	int			npids;
	int			pids[DLOCK_DEADLOCK_PIDS];
	char		client[DLOCK_NAME_MAX + 1]; /* whose wait was ended */
	char		resource[DLOCK_NAME_MAX + 1];	/* which it waited for */
	char		detail[DLOCK_DEADLOCK_TEXT];
} DlockDeadlock;

extern uint64 dlock_deadlocks_note(const DlockDeadlock *deadlock);
extern void dlock_deadlocks_retract(uint64 id);
extern bool dlock_deadlocks_get(uint64 id, DlockDeadlock *deadlock);
extern uint64 dlock_deadlocks_newest(void);

/* called at server start */
extern Size dlock_deadlocks_shmem_size(void);
extern void dlock_deadlocks_shmem_init(void);
extern void dlock_deadlocks_request_locks(void);

#endif							/* DLOCK_SHARED_DEADLOCKS_H */
