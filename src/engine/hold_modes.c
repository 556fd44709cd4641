/*
 * hold_modes.c
 *	  The modes of a lease's holds, and the mode that they give the lease.
 *
 * The caller of every function holds the partition lock, in any mode.
 *
 * IDENTIFICATION
 *	  src/engine/hold_modes.c
 */
#include "postgres.h"

#include "engine/hold_modes.h"
#include "engine/holds.h"

/*
 * stronger returns the stronger of two modes.
 */
static DlockMode
stronger(DlockMode a, DlockMode b)
{
	return dlock_mode_covers(a, b) ? a : b;
}

/*
 * upgraded_to gives the strongest mode that upgrades have asked for; with
 * "untold" also those that were not acknowledged yet.
 */
static DlockMode
upgraded_to(const DlockLease *lease, bool untold)
{
	int			mode = DLOCK_NMODES - 1;

	while (mode > DLOCK_WEAKEST_MODE &&
		   DLOCK_LEASE_UPGRADES(lease, mode)->told == 0 &&
		   !(untold && DLOCK_LEASE_UPGRADES(lease, mode)->untold > 0))
		mode--;
	return (DlockMode) mode;
}

/*
 * strongest gives the mode that upgrades and holds make a lease have; with
 * "row" only those that outlive a crash.
 */
static DlockMode
strongest(const DlockLease *lease, bool row)
{
	DlockMode	mode = upgraded_to(lease, true);

	for (const DlockHoldCount *i = &lease->holds; i != NULL; i = dlock_holds_next(i))
		if (i->count > 0 && !(row && i->scope == DLOCK_SCOPE_TRANSACTION))
			mode = stronger(mode, (DlockMode) i->mode);
	return mode;
}

/*
 * dlock_hold_modes_strongest returns the mode that upgrades and holds give a
 * lease.
 */
DlockMode
dlock_hold_modes_strongest(const DlockLease *lease)
{
	return strongest(lease, false);
}

/*
 * dlock_hold_modes_row returns the mode that the row is to show: the same,
 * without the holds that a crash ends.
 */
DlockMode
dlock_hold_modes_row(const DlockLease *lease)
{
	return strongest(lease, true);
}

/*
 * dlock_hold_modes_survey counts the acknowledged holds that a session can give
 * back, by mode: its own with those of scope lease, and those of other
 * sessions.  Returns the mode in which the session has the lease, whatever
 * other sessions hold.
 */
DlockMode
dlock_hold_modes_survey(const DlockLease *lease, uint32 session,
						int32 own[DLOCK_NMODES], int32 others[DLOCK_NMODES])
{
	DlockMode	mode = upgraded_to(lease, false);

	memset(own, 0, DLOCK_NMODES * sizeof(int32));
	memset(others, 0, DLOCK_NMODES * sizeof(int32));
	for (const DlockHoldCount *i = &lease->holds; i != NULL; i = dlock_holds_next(i))
	{
		int32		told = i->count - (int32) i->untold;
		bool		mine = i->scope == DLOCK_SCOPE_LEASE || i->session == session;

		if (told <= 0)
			continue;
		if (mine)
			mode = stronger(mode, (DlockMode) i->mode);
		if (i->scope != DLOCK_SCOPE_TRANSACTION)
			(mine ? own : others)[i->mode] += told;
	}
	return mode;
}
