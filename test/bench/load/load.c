/*
 * load.c
 *	  The shape of pgbench for lock servers that do not speak SQL.
 *
 *		load-PROTOCOL ADDRESS CLIENTS SECONDS
 *
 * Like "pgbench -j 2 -c CLIENTS -T SECONDS": two threads, which share the
 * connections; each client begins its next pair of lock and unlock when the
 * last one is complete; the clock starts when all are connected, and a pair
 * begun in time is finished.  Prints pairs per second as pgbench does.
 * Every client makes at least one pair, so that SECONDS = 0 is a test of
 * whether the server answers.
 *
 * IDENTIFICATION
 *	  test/bench/load/load.c
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "load.h"

#define THREADS		2
#define EVENTS		64

typedef struct Thread
{
	pthread_t	id;
	const char *address;
	int			first;			/* this thread's clients: first ... */
	int			end;			/* ... to end - 1 */
	double		seconds;
	pthread_barrier_t *ready;	/* all threads, when all are connected */
	uint64_t	pairs;
	double		started;
	double		ended;
} Thread;

void
fail(const char *format,...)
{
	va_list		args;

	fputs("load: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

void *
must_allocate(size_t size)
{
	void	   *memory = calloc(1, size);

	if (memory == NULL)
		fail("out of memory");
	return memory;
}

/*
 * next_random gives the next number of a splitmix64 sequence.
 */
uint64_t
next_random(uint64_t *state)
{
	uint64_t	z = (*state += 0x9E3779B97F4A7C15u);

	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	return z ^ (z >> 31);
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

/*
 * open_clients connects a thread's clients and has them watched.
 */
static void
open_clients(const Thread *thread, int poll, Client **clients)
{
	for (int i = thread->first; i < thread->end; i++)
	{
		Client	   *client = client_open(thread->address, i);
		struct epoll_event event = {.events = EPOLLIN,.data.ptr = client};

		clients[i - thread->first] = client;
		if (epoll_ctl(poll, EPOLL_CTL_ADD, client_socket(client), &event) != 0)
			fail("could not watch a socket: %m");
	}
}

/*
 * drive keeps the clients busy until the time is over and their last pairs
 * are complete.
 */
static void
drive(Thread *thread, int poll)
{
	double		deadline = thread->started + thread->seconds;
	int			busy = thread->end - thread->first;

	while (busy > 0)
	{
		struct epoll_event events[EVENTS];
		int			n = epoll_wait(poll, events, EVENTS, -1);

		if (n < 0)
			fail("could not wait for sockets: %m");
		for (int i = 0; i < n; i++)
		{
			Client	   *client = events[i].data.ptr;

			if (!client_input(client))
				continue;
			thread->pairs++;
			if (now() < deadline)
				client_begin(client);
			else
				busy--;
		}
	}
}

static void *
thread_main(void *arg)
{
	Thread	   *thread = arg;
	int			nclients = thread->end - thread->first;
	Client	  **clients = must_allocate(sizeof(Client *) * (size_t) nclients);
	int			poll = epoll_create1(0);

	if (poll < 0)
		fail("could not create an epoll instance: %m");
	open_clients(thread, poll, clients);
	pthread_barrier_wait(thread->ready);
	thread->started = now();
	for (int i = 0; i < nclients; i++)
		client_begin(clients[i]);
	drive(thread, poll);
	thread->ended = now();
	for (int i = 0; i < nclients; i++)
		client_close(clients[i]);
	free(clients);
	return NULL;
}

static long
number_argument(const char *text, long min, const char *what)
{
	char	   *end;
	long		value = strtol(text, &end, 10);

	if (*text == '\0' || *end != '\0' || value < min || value > 1000000)
		fail("bad %s \"%s\"", what, text);
	return value;
}

int
main(int argc, char **argv)
{
	Thread		threads[THREADS];
	pthread_barrier_t ready;
	int			nclients;
	int			nthreads;
	double		seconds;
	double		started = 0;
	double		ended = 0;
	uint64_t	pairs = 0;

	if (argc != 4)
		fail("usage: %s ADDRESS CLIENTS SECONDS", argv[0]);
	nclients = (int) number_argument(argv[2], 1, "number of clients");
	seconds = (double) number_argument(argv[3], 0, "number of seconds");
	nthreads = nclients < THREADS ? nclients : THREADS;
	pthread_barrier_init(&ready, NULL, (unsigned) nthreads);

	for (int i = 0; i < nthreads; i++)
	{
		threads[i] = (Thread)
		{
			.address = argv[1],
				.first = nclients * i / nthreads,
				.end = nclients * (i + 1) / nthreads,
				.seconds = seconds,
				.ready = &ready,
		};
		if (pthread_create(&threads[i].id, NULL, thread_main, &threads[i]) != 0)
			fail("could not start a thread");
	}
	for (int i = 0; i < nthreads; i++)
	{
		pthread_join(threads[i].id, NULL);
		pairs += threads[i].pairs;
		if (i == 0 || threads[i].started < started)
			started = threads[i].started;
		if (threads[i].ended > ended)
			ended = threads[i].ended;
	}
	printf("pairs = %llu\n", (unsigned long long) pairs);
	printf("tps = %f\n", (double) pairs / (ended - started));
	return 0;
}
