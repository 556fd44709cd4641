/*
 * mode.c
 *	  Lock modes, and which of them conflict.
 *
 * All that dlock knows of modes is in the tables below; everything else calls
 * the functions of this file.  To add a mode, add a value to DlockMode, in the
 * order of strength; add a row to the table of conflicts, and the mode's bit
 * to the rows of the modes that it conflicts with; add a name; and extend the
 * hint in api/args.c.
 *
 * IDENTIFICATION
 *	  src/base/mode.c
 */
#include "postgres.h"

#include "base/mode.h"
#include "base/words.h"

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
 * dlock_mode_check asserts what other files rely on: each mode has a name,
 * conflicts are mutual, and each mode covers the one before it.  Therefore a
 * mode is compatible with all holders of a resource if it is compatible with
 * the strongest one.
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
	int			i = dlock_words_find(mode_names, DLOCK_NMODES, name);

	if (i < 0)
		return false;
	*mode = (DlockMode) i;
	return true;
}
