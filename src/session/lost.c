/*
 * lost.c
 *	  Errors about leases that are no longer held, with the reason.
 *
 * IDENTIFICATION
 *	  src/session/lost.c
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/errors.h"
#include "base/message.h"
#include "session/lost.h"
#include "shared/client.h"

static const char *const cause_words[] = {
	[DLOCK_END_UNTOLD] = "ended",
	[DLOCK_END_RELEASED] = "was released",
	[DLOCK_END_SESSION] = "ended with its session",
	[DLOCK_END_TRANSACTION] = "ended with its transaction",
	[DLOCK_END_EXPIRED] = "expired",
	[DLOCK_END_FORCED] = "was taken away by an administrator",
};

/*
 * describe_cause returns a sentence about how a lease ended (palloc'd).
 */
static char *
describe_cause(const DlockCause *cause)
{
	return psprintf("The lease with token %lld %s at %s.",
					(long long) cause->token, cause_words[cause->cause],
					timestamptz_to_str(dlock_clock_to_wall(cause->when,
														   dlock_clock_now(),
														   dlock_clock_wall())));
}

/*
 * dlock_lost_cause returns a sentence about how a lease ended, preceded by a
 * blank (palloc'd), or an empty string if the server does not remember it.
 */
const char *
dlock_lost_cause(DlockGate gate, const DlockLeaseRef *ref)
{
	DlockCause	cause = {.token = ref->token,.dboid = gate.db->dboid,.resource = ref->hash};

	return dlock_lookup_ref_cause(gate, ref, &cause) ?
		psprintf(" %s", describe_cause(&cause)) : "";
}

/*
 * dlock_lost_report raises the error for a client that does not hold a
 * resource, or does not hold it with that token.  client may be DLOCK_NONE if
 * it is unknown, and token 0 if none was given.
 */
void
dlock_lost_report(DlockGate gate, const DlockKey *key, uint32 client,
				  int64 token)
{
	DlockCause	cause = {.token = token,.dboid = gate.db->dboid,.resource = key->hash};
	const char *name = dlock_message_text(pnstrdup(key->name, key->len));
	const char *ending = NULL;
	const char *other = "";
	DlockLeaseRef ref;

	if (client != DLOCK_NONE)
		cause.client = dlock_client_at(client)->hash;
	if ((client != DLOCK_NONE || token != 0) &&
		dlock_lookup_cause(key, client, &cause))
		ending = describe_cause(&cause);
	if (client != DLOCK_NONE && dlock_lookup_find(gate, key, client, &ref) &&
		ref.token != token)
		other = psprintf(" The client holds the resource with token %lld.",
						 (long long) ref.token);
	ereport(ERROR,
			(errcode(ERRCODE_DLOCK_LEASE_LOST),
			 errmsg("lease on resource \"%s\" is not held", name),
			 ending == NULL && other[0] != '\0' ?
			 errdetail("%s", &other[1]) :
			 ending == NULL && token != 0 ?
			 errdetail("There is no record of a lease with token %lld.", (long long) token) :
			 ending == NULL ?
			 errdetail("There is no record of an earlier lease of the client on the resource.") :
			 errdetail("%s%s", ending, other)));
}
