/*
 * etcd.c
 *	  Locks by etcd's lock API: v3lockpb.Lock/Lock and Unlock, with a lease
 *	  that the client keeps for its life, as etcd's own sessions do.
 *
 * etcd speaks gRPC, that is, one HTTP/2 stream per call with protobuf
 * messages.  There is no small gRPC library for C, but with nghttp2 for the
 * HTTP/2 part what remains is a prefix of five bytes and messages of one or
 * two fields.  etcd's JSON gateway would be less work here, but more for the
 * server, which then calls itself by gRPC.
 *
 * IDENTIFICATION
 *	  test/bench/load/etcd.c
 */
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <nghttp2/nghttp2.h>

#include "load.h"

#define MESSAGE_MAX		1024
#define PREFIX			5		/* of a gRPC message: flag, length */
#define LEASE_SECONDS	3600	/* outlives any run */

/* wire types of protobuf */
#define VARINT			0
#define BYTES			2

typedef struct Message
{
	size_t		len;
	size_t		sent;
	uint8_t		data[MESSAGE_MAX];
} Message;

typedef enum Step
{
	STEP_GRANT,
	STEP_LOCK,
	STEP_UNLOCK
} Step;

struct Client
{
	int			socket;
	int			id;
	uint64_t	random;
	const char *address;
	nghttp2_session *http;
	Step		step;
	uint64_t	lease;
	Message		request;
	Message		reply;
	bool		closed;			/* the call's stream */
	bool		good;			/* grpc-status was 0 */
};

static const char *const paths[] = {
	[STEP_GRANT] = "/etcdserverpb.Lease/LeaseGrant",
	[STEP_LOCK] = "/v3lockpb.Lock/Lock",
	[STEP_UNLOCK] = "/v3lockpb.Lock/Unlock"
};

/*
 * put_varint appends a number in protobuf's variable length.
 */
static void
put_varint(Message *message, uint64_t value)
{
	do
	{
		uint8_t		more = value > 0x7f ? 0x80 : 0;

		message->data[message->len++] = (uint8_t) (value & 0x7f) | more;
		value >>= 7;
	} while (value != 0);
}

static void
put_number(Message *message, int field, uint64_t value)
{
	put_varint(message, (uint64_t) field << 3 | VARINT);
	put_varint(message, value);
}

static void
put_bytes(Message *message, int field, const void *bytes, size_t len)
{
	if (len > MESSAGE_MAX / 2)
		fail("field of %zu bytes", len);
	put_varint(message, (uint64_t) field << 3 | BYTES);
	put_varint(message, len);
	memcpy(message->data + message->len, bytes, len);
	message->len += len;
}

/*
 * get_varint reads a number at *pos, and moves it.
 */
static uint64_t
get_varint(const Message *message, size_t *pos)
{
	uint64_t	value = 0;

	for (int shift = 0; shift < 64; shift += 7)
	{
		uint8_t		byte;

		if (*pos >= message->len)
			fail("reply is cut short");
		byte = message->data[(*pos)++];
		value |= (uint64_t) (byte & 0x7f) << shift;
		if ((byte & 0x80) == 0)
			return value;
	}
	fail("number in reply is too long");
}

/*
 * get_field finds a field of the reply; returns its number, or the length of
 * its bytes, which begin at *start.
 */
static uint64_t
get_field(const Message *reply, int field, size_t *start)
{
	size_t		pos = PREFIX;

	while (pos < reply->len)
	{
		uint64_t	tag = get_varint(reply, &pos);
		uint64_t	value = get_varint(reply, &pos);

		*start = pos;
		if ((tag & 7) == BYTES)
		{
			if (value > reply->len - pos)
				fail("reply is cut short");
			pos += value;
		}
		else if ((tag & 7) != VARINT)
			fail("unexpected type of field in reply");
		if (tag >> 3 == (uint64_t) field)
			return value;
	}
	fail("field %d is not in the reply", field);
}

static ssize_t
on_read_request(nghttp2_session * http, int32_t stream, uint8_t *buf,
				size_t size, uint32_t *flags, nghttp2_data_source * source,
				void *arg)
{
	Message    *request = source->ptr;
	size_t		n = request->len - request->sent;

	(void) http, (void) stream, (void) arg;
	if (n > size)
		n = size;
	memcpy(buf, request->data + request->sent, n);
	request->sent += n;
	if (request->sent == request->len)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t) n;
}

static int
on_data(nghttp2_session * http, uint8_t flags, int32_t stream,
		const uint8_t *data, size_t len, void *arg)
{
	Message    *reply = &((Client *) arg)->reply;

	(void) http, (void) flags, (void) stream;
	if (len > MESSAGE_MAX - reply->len)
		fail("reply is too long");
	memcpy(reply->data + reply->len, data, len);
	reply->len += len;
	return 0;
}

static int
on_header(nghttp2_session * http, const nghttp2_frame * frame,
		  const uint8_t *name, size_t namelen, const uint8_t *value,
		  size_t valuelen, uint8_t flags, void *arg)
{
	Client	   *client = arg;

	(void) http, (void) frame, (void) flags;
	if (namelen == 11 && memcmp(name, "grpc-status", 11) == 0)
		client->good = valuelen == 1 && *value == '0';
	else if (namelen == 12 && memcmp(name, "grpc-message", 12) == 0 &&
			 valuelen > 0)
		fprintf(stderr, "load: %.*s\n", (int) valuelen, (const char *) value);
	return 0;
}

static int
on_close(nghttp2_session * http, int32_t stream, uint32_t error, void *arg)
{
	(void) http, (void) stream, (void) error;
	((Client *) arg)->closed = true;
	return 0;
}

/*
 * flush_output sends what the HTTP/2 session has to send.
 */
static void
flush_output(Client *client)
{
	const uint8_t *data;
	ssize_t		len;

	while ((len = nghttp2_session_mem_send(client->http, &data)) > 0)
		while (len > 0)
		{
			ssize_t		n = send(client->socket, data, (size_t) len, MSG_NOSIGNAL);

			if (n < 0)
				fail("could not send: %m");
			data += n;
			len -= n;
		}
	if (len < 0)
		fail("could not send: %s", nghttp2_strerror((int) len));
}

#define HEADER(n, v) \
	{(uint8_t *) (n), (uint8_t *) (v), strlen(n), strlen(v), NGHTTP2_NV_FLAG_NONE}

/*
 * request_start empties the request but for its prefix.
 */
static Message *
request_start(Client *client, Step step)
{
	client->step = step;
	client->request.len = PREFIX;
	client->request.sent = 0;
	return &client->request;
}

/*
 * request_send calls what the step is for with the request.
 */
static void
request_send(Client *client)
{
	Message    *request = &client->request;
	uint32_t	len = (uint32_t) (request->len - PREFIX);
	nghttp2_data_provider body = {{.ptr = request}, on_read_request};
	const		nghttp2_nv headers[] = {
		HEADER(":method", "POST"),
		HEADER(":scheme", "http"),
		HEADER(":path", paths[client->step]),
		HEADER(":authority", client->address),
		HEADER("content-type", "application/grpc"),
		HEADER("te", "trailers"),
	};
	int			rc;

	request->data[0] = 0;		/* not compressed */
	for (int i = 0; i < 4; i++)
		request->data[1 + i] = (uint8_t) (len >> (24 - 8 * i));
	client->reply.len = 0;
	client->closed = false;
	client->good = false;
	rc = nghttp2_submit_request(client->http, NULL, headers,
								sizeof(headers) / sizeof(headers[0]), &body, NULL);
	if (rc < 0)
		fail("could not call: %s", nghttp2_strerror(rc));
	flush_output(client);
}

/*
 * receive reads what has come.  True when the call is over; it was good then.
 */
static bool
receive(Client *client)
{
	uint8_t		buf[16384];
	ssize_t		n = recv(client->socket, buf, sizeof(buf), 0);
	ssize_t		rc;

	if (n <= 0)
		fail("etcd has closed the connection");
	rc = nghttp2_session_mem_recv(client->http, buf, (size_t) n);
	if (rc < 0)
		fail("could not read: %s", nghttp2_strerror((int) rc));
	flush_output(client);
	if (!client->closed)
		return false;
	if (!client->good)
		fail("%s failed", paths[client->step]);
	return true;
}

static int
connect_to(const char *address)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *found;
	char		host[64];
	const char *colon = strchr(address, ':');
	int			one = 1;
	int			result;

	if (colon == NULL || colon - address >= (ssize_t) sizeof(host))
		fail("bad address \"%s\"", address);
	memcpy(host, address, (size_t) (colon - address));
	host[colon - address] = '\0';
	if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
		fail("bad address \"%s\"", address);
	result = socket(found->ai_family, SOCK_STREAM, 0);
	if (result < 0 ||
		connect(result, found->ai_addr, found->ai_addrlen) != 0 ||
		setsockopt(result, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0)
		fail("could not connect to etcd at \"%s\": %m", address);
	freeaddrinfo(found);
	return result;
}

static nghttp2_session *
start_http(Client *client)
{
	nghttp2_session_callbacks *callbacks;
	nghttp2_session *http;

	if (nghttp2_session_callbacks_new(&callbacks) != 0)
		fail("out of memory");
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
	if (nghttp2_session_client_new(&http, callbacks, client) != 0 ||
		nghttp2_submit_settings(http, NGHTTP2_FLAG_NONE, NULL, 0) != 0)
		fail("out of memory");
	nghttp2_session_callbacks_del(callbacks);
	return http;
}

Client *
client_open(const char *address, int id)
{
	Client	   *client = must_allocate(sizeof(Client));
	size_t		unused;

	client->id = id;
	client->random = (uint64_t) id;
	client->address = address;
	client->socket = connect_to(address);
	client->http = start_http(client);

	/* LeaseGrantRequest: TTL = 1; its reply: ID = 2 */
	put_number(request_start(client, STEP_GRANT), 1, LEASE_SECONDS);
	request_send(client);
	while (!receive(client))
		;
	client->lease = get_field(&client->reply, 2, &unused);
	return client;
}

void
client_close(Client *client)
{
	nghttp2_session_del(client->http);
	close(client->socket);
	free(client);
}

int
client_socket(const Client *client)
{
	return client->socket;
}

void
client_begin(Client *client)
{
	uint64_t	resource = (uint64_t) client->id * 1000000 +
		next_random(&client->random) % 1000000;
	char		name[32];
	int			len = snprintf(name, sizeof(name), "%" PRIu64, resource);
	Message    *request = request_start(client, STEP_LOCK);

	/* LockRequest: name = 1, lease = 2 */
	put_bytes(request, 1, name, (size_t) len);
	put_number(request, 2, client->lease);
	request_send(client);
}

static void
unlock(Client *client)
{
	size_t		start;

	/* LockResponse: key = 2; UnlockRequest: key = 1 */
	uint64_t	len = get_field(&client->reply, 2, &start);

	put_bytes(request_start(client, STEP_UNLOCK), 1,
			  client->reply.data + start, len);
	request_send(client);
}

bool
client_input(Client *client)
{
	if (!receive(client))
		return false;
	if (client->step == STEP_UNLOCK)
		return true;
	unlock(client);
	return false;
}
