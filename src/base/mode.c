/*
 * mode.c
 *	  Lock modes, and which of them may be held side by side.
 *
 * The conflict table is all that dlock knows of modes.  To add a mode: a row of
 * that table and its name, in the order of strength, a value of DlockMode, and
 * the hint in api/args.c.  Everything else asks the functions below.
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
 * dlock_mode_is_alone tells whether a mode conflicts with every mode: what is
 * written under it is seen by the next holder, whatever that one's mode.
 */
bool
dlock_mode_is_alone(DlockMode mode)
{
	return mode_conflicts[mode] == MODE_BIT(DLOCK_NMODES) - 1;
}

/*
 * dlock_mode_check asserts what others rely on: conflicts are mutual, and each
 * mode covers the one before it.  So the strongest of a resource's holders
 * decides whether another mode fits all of them.
 */
void
dlock_mode_check(void)
{
	for (int a = 0; a < DLOCK_NMODES; a++)
	{
		for (int b = 0; b < DLOCK_NMODES; b++)
			Assert(dlock_mode_conflicts(a, b) == dlock_mode_conflicts(b, a));
		Assert(a == 0 || dlock_mode_covers(a, a - 1));
	}
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
