/*
 * writer_watch.h
 *	  How long a writer has had work, and waking the monitor when the work is
 *	  done.
 *
 * IDENTIFICATION
 *	  src/shared/writer_watch.h
 */
#ifndef DLOCK_SHARED_WRITER_WATCH_H
#define DLOCK_SHARED_WRITER_WATCH_H

#include "shared/database.h"

/*
 * A writer that has had work for longer than this is reported.  Flush and
 * standbys usually take milliseconds.  Backends that wait for standbys get an
 * error after dlock.quorum_timeout, which is as long by default.
 */
#define DLOCK_STALL_TIME (5 * USECS_PER_SEC)

/* called by the monitor, and by backends for messages and views */
extern DlockTime dlock_writer_watch_since(DlockDatabase *db);
extern DlockTime dlock_writer_watch_stalled_since(DlockDatabase *db);

/* called by the monitor */
extern void dlock_writer_watch_await_done(DlockDatabase *db, bool wanted);

/* called by the writer, or by the process that takes the database down */
extern void dlock_writer_watch_done(DlockDatabase *db);

#endif							/* DLOCK_SHARED_WRITER_WATCH_H */
