/*
 * words.h
 *	  The SQL spellings of an enum's values.
 *
 * IDENTIFICATION
 *	  src/base/words.h
 */
#ifndef DLOCK_BASE_WORDS_H
#define DLOCK_BASE_WORDS_H

extern int	dlock_words_find(const char *const *words, int count,
							 const char *word);

#endif							/* DLOCK_BASE_WORDS_H */
