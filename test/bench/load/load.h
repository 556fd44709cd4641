/*
 * load.h
 *	  What load.c expects of a protocol: one client and its pairs of lock and
 *	  unlock.
 *
 * One protocol is linked into each program.  Sockets block: the driver calls
 * in only when there is something to read, and what is written is small.
 *
 * IDENTIFICATION
 *	  test/bench/load/load.h
 */
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Client Client;

/* Connects, and does what a client does once in its life. */
extern Client *client_open(const char *address, int id);
extern void client_close(Client *client);
extern int	client_socket(const Client *client);

/* Asks for the lock of a new pair; its resource is the client's own. */
extern void client_begin(Client *client);

/*
 * Reads what has come and answers it.  True when the pair is complete.  A
 * reply that is not the expected one ends the program.
 */
extern bool client_input(Client *client);

/* For the protocols, from load.c. */
extern void fail(const char *format,...)
			__attribute__((format(printf, 1, 2), noreturn));
extern void *must_allocate(size_t size);
extern uint64_t next_random(uint64_t *state);

#endif							/* LOAD_H */
