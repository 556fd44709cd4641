/*
 * tokens.h
 *	  The table of token blocks.
 *
 * IDENTIFICATION
 *	  src/durable/tokens.h
 */
#ifndef DLOCK_DURABLE_TOKENS_H
#define DLOCK_DURABLE_TOKENS_H

/* how many tokens a block has */
#define DLOCK_TOKEN_BLOCK 1000000

extern int64 dlock_tokens_extend(int64 last_token, int64 *found);

#endif							/* DLOCK_DURABLE_TOKENS_H */
