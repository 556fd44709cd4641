/*
 * words.c
 *	  The SQL spellings of an enum's values.
 *
 * IDENTIFICATION
 *	  src/base/words.c
 */
#include "postgres.h"

#include "base/words.h"

/*
 * dlock_words_find returns the place of a word in a list, or -1 if it is not in
 * the list.
 */
int
dlock_words_find(const char *const *words, int count, const char *word)
{
	for (int i = 0; i < count; i++)
		if (strcmp(words[i], word) == 0)
			return i;
	return -1;
}
