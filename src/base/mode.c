/*
 * mode.c
 *	  Lock modes, and which of them conflict.
 *
 * The conflict table is all that dlock knows of modes.  To add a mode: a value of
 * DlockMode in the order of strength, its row of that table, its bit in the rows
 * of the modes that it conflicts with, its name, and the hint in api/args.c.
 * Everything else asks the functions below.
 *
 * IDENTIFICATION
 *	  src/base/mode.c
 */
#include "postgres.h"

#include "base/mode.h"

#define MODE_BIT(mode) (1 << (mode))
#define ALL_MODES (MODE_BIT(DLOCK_NMODES) - 1)

/* for each mode, the set of modes that it conflicts with */
static const int mode_conflicts[DLOCK_NMODES] = {
	[DLOCK_SHARED] = MODE_BIT(DLOCK_EXCLUSIVE),
	[DLOCK_EXCLUSIVE] = ALL_MODES,
};

static const char *const mode_names[DLOCK_NMODES] = {
	[DLOCK_SHARED] = "shared",
	[DLOCK_EXCLUSIVE] = "exclusive",
};

/*
 * dlock_mode_conflicts returns whether two clients cannot hold a resource in
 * these modes at the same time.
 */
bool
dlock_mode_conflicts(DlockMode held, DlockMode wanted)
{
	return (mode_conflicts[held] & MODE_BIT(wanted)) != 0;
}

/*
 * dlock_mode_covers returns whether a mode is at least as strong as another: a
 * holder of the first one need not acquire the second one.
 */
bool
dlock_mode_covers(DlockMode held, DlockMode wanted)
{
	return (mode_conflicts[wanted] & ~mode_conflicts[held]) == 0;
}

/*
 * dlock_mode_is_alone returns whether a mode conflicts with every mode.  Then
 * the next holder, in whatever mode, sees what was written under it.
 */
bool
dlock_mode_is_alone(DlockMode mode)
{
	return mode_conflicts[mode] == ALL_MODES;
}

/*
 * dlock_mode_check asserts what others rely on: each mode has a name, conflicts
 * are mutual, and each mode covers the one before it.  So the strongest of a
 * resource's holders decides whether another mode fits all of them.
 */
void
dlock_mode_check(void)
{
	for (int a = 0; a < DLOCK_NMODES; a++)
	{
		Assert(mode_names[a] != NULL);
		for (int b = 0; b < DLOCK_NMODES; b++)
			Assert(dlock_mode_conflicts(a, b) == dlock_mode_conflicts(b, a));
		Assert(a == 0 || dlock_mode_covers(a, a - 1));
	}
}

/*
 * dlock_mode_name returns the name of a mode in SQL.
 */
const char *
dlock_mode_name(DlockMode mode)
{
	return mode_names[mode];
}

/*
 * dlock_mode_parse converts a name to a mode.  Returns false if there is no
 * such mode.
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
