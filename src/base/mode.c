/*
 * mode.c
 *	  Lock modes, and which of them may be held side by side.
 *
 * The conflict matrix is a table of masks; nothing else in dlock knows it.
 *
 * IDENTIFICATION
 *	  src/base/mode.c
 */
#include "postgres.h"

#include "base/mode.h"

#define MODE_BIT(mode) (1 << (mode))

/* bit set = the two modes exclude each other */
static const int mode_conflicts[DLOCK_NMODES] = {
	[DLOCK_SHARED] = MODE_BIT(DLOCK_EXCLUSIVE),
	[DLOCK_EXCLUSIVE] = MODE_BIT(DLOCK_SHARED) | MODE_BIT(DLOCK_EXCLUSIVE),
};

static const char *const mode_names[DLOCK_NMODES] = {
	[DLOCK_SHARED] = "shared",
	[DLOCK_EXCLUSIVE] = "exclusive",
};

/*
 * dlock_mode_conflicts tells whether two clients exclude each other.
 */
bool
dlock_mode_conflicts(DlockMode held, DlockMode wanted)
{
	return (mode_conflicts[held] & MODE_BIT(wanted)) != 0;
}

/*
 * dlock_mode_covers tells whether a holder already has what it asks for.
 */
bool
dlock_mode_covers(DlockMode held, DlockMode wanted)
{
	return (mode_conflicts[wanted] & ~mode_conflicts[held]) == 0;
}

/*
 * dlock_mode_name gives the SQL spelling of a mode.
 */
const char *
dlock_mode_name(DlockMode mode)
{
	return mode_names[mode];
}

/*
 * dlock_mode_parse reads a mode; false where there is no such mode.
 */
bool
dlock_mode_parse(const char *name, DlockMode *mode)
{
	for (int i = 0; i < DLOCK_NMODES; i++)
	{
		if (strcmp(mode_names[i], name) == 0)
		{
			*mode = (DlockMode) i;
			return true;
		}
	}
	return false;
}
