/*
 * client_changes.h
 *	  Changing rows of dlock.clients.
 *
 * IDENTIFICATION
 *	  src/worker/client_changes.h
 */
#ifndef DLOCK_WORKER_CLIENT_CHANGES_H
#define DLOCK_WORKER_CLIENT_CHANGES_H

#include "base/record.h"

extern void dlock_client_changes_add(DlockClientRecord *some, int count);
extern void dlock_client_changes_note(DlockClientRecord *some, int count,
									  TimestampTz before);
extern void dlock_client_changes_delete(DlockClientRecord *some, int count,
										TimestampTz before);

#endif							/* DLOCK_WORKER_CLIENT_CHANGES_H */
