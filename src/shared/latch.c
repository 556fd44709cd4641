/*
 * latch.c
 *	  Waking a process by the number of its PGPROC.
 *
 * IDENTIFICATION
 *	  src/shared/latch.c
 */
#include "postgres.h"

#include "storage/latch.h"
#include "storage/proc.h"

#include "base/slot.h"
#include "shared/latch.h"

/*
 * dlock_latch_set_by_procno sets the latch of the process that has this
 * PGPROC; DLOCK_NONE: of no process.  Cannot fail.  Takes no lock; the caller
 * may hold some.
 *
 * The PGPROC may belong to another process by now.  A latch that is set
 * without need does no harm, since every process that sleeps checks what it
 * sleeps for.
 */
void
dlock_latch_set_by_procno(uint32 procno)
{
	if (procno != DLOCK_NONE)
		SetLatch(&ProcGlobal->allProcs[procno].procLatch);
}
