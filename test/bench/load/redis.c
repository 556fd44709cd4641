/*
 * redis.c
 *	  Locks in Redis as its documentation has them: SET NX PX with a random
 *	  value; a script that deletes the key if it still has that value.
 *
 * By hiredis, the library of Redis' own tools, over the server's unix socket.
 *
 * IDENTIFICATION
 *	  test/bench/load/redis.c
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "load.h"

static const char unlock_script[] =
"if redis.call('get', KEYS[1]) == ARGV[1] then "
"return redis.call('del', KEYS[1]) else return 0 end";

struct Client
{
	redisContext *redis;
	int			id;
	uint64_t	random;
	char	   *script;			/* its SHA1 */
	uint64_t	resource;
	uint64_t	value;			/* what proves that the lock is ours */
	bool		locked;
};

Client *
client_open(const char *address, int id)
{
	Client	   *client = must_allocate(sizeof(Client));
	redisReply *reply;

	client->id = id;
	client->random = (uint64_t) id;
	client->redis = redisConnectUnix(address);
	if (client->redis == NULL || client->redis->err != 0)
		fail("could not connect to Redis at \"%s\": %s", address,
			 client->redis ? client->redis->errstr : "out of memory");
	reply = redisCommand(client->redis, "SCRIPT LOAD %s", unlock_script);
	if (reply == NULL || reply->type != REDIS_REPLY_STRING)
		fail("SCRIPT LOAD failed: %s",
			 reply ? reply->str : client->redis->errstr);
	client->script = strdup(reply->str);
	if (client->script == NULL)
		fail("out of memory");
	freeReplyObject(reply);
	return client;
}

void
client_close(Client *client)
{
	redisFree(client->redis);
	free(client->script);
	free(client);
}

int
client_socket(const Client *client)
{
	return client->redis->fd;
}

/*
 * flush_output sends what was appended.
 */
static void
flush_output(Client *client)
{
	int			done = 0;

	while (!done)
		if (redisBufferWrite(client->redis, &done) != REDIS_OK)
			fail("could not send: %s", client->redis->errstr);
}

void
client_begin(Client *client)
{
	client->resource = (uint64_t) client->id * 1000000 +
		next_random(&client->random) % 1000000;
	client->value = next_random(&client->random);
	client->locked = false;
	redisAppendCommand(client->redis, "SET %llu %llu NX PX 30000",
					   (unsigned long long) client->resource,
					   (unsigned long long) client->value);
	flush_output(client);
}

static void
unlock(Client *client)
{
	client->locked = true;
	redisAppendCommand(client->redis, "EVALSHA %s 1 %llu %llu",
					   client->script,
					   (unsigned long long) client->resource,
					   (unsigned long long) client->value);
	flush_output(client);
}

/*
 * check_reply insists on the one good answer: OK to SET, 1 to the script.
 */
static void
check_reply(const Client *client, const redisReply * reply)
{
	bool		good;

	if (client->locked)
		good = reply->type == REDIS_REPLY_INTEGER && reply->integer == 1;
	else
		good = reply->type == REDIS_REPLY_STATUS &&
			strcmp(reply->str, "OK") == 0;
	if (!good)
		fail("%s of %" PRIu64 " failed: reply of type %d: %s",
			 client->locked ? "unlock" : "lock", client->resource,
			 reply->type, reply->str ? reply->str : "no text");
}

bool
client_input(Client *client)
{
	void	   *reply;

	if (redisBufferRead(client->redis) != REDIS_OK ||
		redisGetReplyFromReader(client->redis, &reply) != REDIS_OK)
		fail("could not read: %s", client->redis->errstr);
	if (reply == NULL)
		return false;
	check_reply(client, reply);
	freeReplyObject(reply);
	if (client->locked)
		return true;
	unlock(client);
	return false;
}
