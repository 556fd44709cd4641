/*
 * load.h
 *	  How the writer loads the leases of its database.
 *
 * IDENTIFICATION
 *	  src/worker/load.h
 */
#ifndef DLOCK_WORKER_LOAD_H
#define DLOCK_WORKER_LOAD_H

#include "shared/database.h"

extern void dlock_load_all(DlockDatabase *db);
extern void dlock_load_undo(DlockDatabase *db);
extern void dlock_load_check_extension(DlockDatabase *db);
extern void dlock_load_recheck(DlockDatabase *db);

#endif							/* DLOCK_WORKER_LOAD_H */
