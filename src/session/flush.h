/*
 * flush.h
 *	  Wait until a batch is durable.
 *
 * IDENTIFICATION
 *	  src/session/flush.h
 */
#ifndef DLOCK_SESSION_FLUSH_H
#define DLOCK_SESSION_FLUSH_H

#include "base/clock.h"
#include "engine/request.h"

typedef enum DlockFlush
{
	DLOCK_FLUSH_DONE,			/* durable, or the database has been closed */
	DLOCK_FLUSH_LATE,			/* not durable in time */
	DLOCK_FLUSH_NO_QUORUM,		/* the standbys have not confirmed it */
} DlockFlush;

extern DlockFlush dlock_flush_wait(DlockGate gate, uint64 batch,
								   DlockTime until);
extern DlockFlush dlock_flush_wait_tokens(DlockGate gate, DlockTime until);
extern void dlock_flush_wait_change(DlockGate gate, uint64 batch);
extern int	dlock_flush_writer_detail(const DlockWriterReport *report);

#endif							/* DLOCK_SESSION_FLUSH_H */
