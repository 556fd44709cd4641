/*
 * hold_modes.h
 *	  The modes of a lease's holds.  engine/ only.
 *
 * IDENTIFICATION
 *	  src/engine/hold_modes.h
 */
#ifndef DLOCK_ENGINE_HOLD_MODES_H
#define DLOCK_ENGINE_HOLD_MODES_H

#include "shared/table.h"

extern DlockMode dlock_hold_modes_strongest(const DlockLease *lease);
extern DlockMode dlock_hold_modes_row(const DlockLease *lease);
extern DlockMode dlock_hold_modes_survey(const DlockLease *lease, uint32 session,
										 int32 own[DLOCK_NMODES],
										 int32 others[DLOCK_NMODES]);

#endif							/* DLOCK_ENGINE_HOLD_MODES_H */
