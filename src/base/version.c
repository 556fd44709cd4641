/*
 * version.c
 *	  Comparing versions of the extension.
 *
 * A version is a list of numbers: 1.10 comes after 1.9, and 1.0 is the same as
 * 1.0.0.  Anything after the numbers does not count.
 *
 * IDENTIFICATION
 *	  src/base/version.c
 */
#include "postgres.h"

#include <ctype.h>

#include "base/version.h"

/*
 * has_number returns whether another number of a version follows.
 */
static bool
has_number(const char *version)
{
	return isdigit((unsigned char) *version);
}

/*
 * take_number returns the next number of a version, 0 if there is none, and
 * moves *version behind it and its dot.
 */
static unsigned long
take_number(const char **version)
{
	unsigned long number;
	char	   *end;

	if (!has_number(*version))
		return 0;
	number = strtoul(*version, &end, 10);
	*version = *end == '.' ? end + 1 : end;
	return number;
}

/*
 * compare returns a number below, equal to or above 0, as qsort expects it.
 */
static int
compare(const char *a, const char *b)
{
	while (has_number(a) || has_number(b))
	{
		unsigned long left = take_number(&a);
		unsigned long right = take_number(&b);

		if (left != right)
			return left < right ? -1 : 1;
	}
	return 0;
}

/*
 * dlock_version_support returns whether this library works with the objects of
 * a version of the extension.
 */
DlockSupport
dlock_version_support(const char *version)
{
	if (compare(version, DLOCK_VERSION) > 0)
		return DLOCK_TOO_NEW;
	if (compare(version, DLOCK_OLDEST_VERSION) < 0)
		return DLOCK_TOO_OLD;
	return DLOCK_SUPPORTED;
}
