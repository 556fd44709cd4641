/*
 * change.c
 *	  Release, renew and change leases on behalf of a client.
 *
 * IDENTIFICATION
 *	  src/session/change.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

#include "base/config.h"
#include "engine/grant.h"
#include "engine/holding.h"
#include "session/acquire.h"
#include "session/change.h"
#include "session/flush.h"
#include "session/lost.h"
#include "session/quorum.h"
#include "session/scope.h"
#include "shared/slots.h"

/* how often to look whether a commit is over, in milliseconds */
#define COMMIT_POLL_MS 10

/*
 * dlock_release_lease asks for the release of one hold at commit; false where
 * the client does not hold the resource, or not with that token.
 */
bool
dlock_release_lease(DlockGate gate, const DlockKey *key, uint32 client,
					int64 token)
{
	DlockLeaseRef ref;

	if (!dlock_lookup_find(gate, key, client, &ref) ||
		(token != 0 && token != ref.token))
		return false;
	return dlock_scope_release(gate, &ref, false);
}

/*
 * Leases of a client that were looked up, as many as there may be.
 */
typedef struct LeaseRefs
{
	DlockLeaseRef *refs;
	int64		count;
	int64		capacity;
} LeaseRefs;

static void
add_ref(LeaseRefs *leases, const DlockLeaseRef *ref)
{
	if (leases->count == leases->capacity)
	{
		leases->capacity = Max(16, leases->capacity * 2);
		leases->refs = leases->refs == NULL ?
			MemoryContextAllocHuge(CurrentMemoryContext,
								   leases->capacity * sizeof(DlockLeaseRef)) :
			repalloc_huge(leases->refs,
						  leases->capacity * sizeof(DlockLeaseRef));
	}
	leases->refs[leases->count++] = *ref;
}

/*
 * find_leases gives what a client holds, all of it or what is in the list.
 */
static LeaseRefs
find_leases(DlockGate gate, uint32 client, const DlockKeys *keys)
{
	uint32		used = keys != NULL ? keys->count : dlock_slots_leases_used();
	LeaseRefs	leases = {0};

	for (uint32 i = 0; i < used; i++)
	{
		DlockLeaseRef ref;

		if (keys != NULL ?
			dlock_lookup_find(gate, &keys->keys[i], client, &ref) :
			dlock_lookup_find_slot(gate, i, client, &ref))
			add_ref(&leases, &ref);
		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
	}
	return leases;
}

static void
free_refs(LeaseRefs *leases)
{
	if (leases->refs != NULL)
		pfree(leases->refs);
}

/*
 * dlock_release_client asks for the release of what a client holds, all of it
 * or what is in the list; tells how many leases that are.
 */
int64
dlock_release_client(DlockGate gate, uint32 client, const DlockKeys *keys)
{
	LeaseRefs	leases = find_leases(gate, client, keys);
	int64		count = 0;

	for (int64 i = 0; i < leases.count; i++)
		if (dlock_scope_release(gate, &leases.refs[i], true))
			count++;
	free_refs(&leases);
	return count;
}

/*
 * dlock_release_by_force ends the leases on a resource, or the one with that
 * token, whosever they are; tells how many.  A commit under way that depends
 * on one is waited for: once it has been checked it cannot be stopped, and its
 * changes must be there before somebody else is granted the resource.
 */
int64
dlock_release_by_force(DlockGate gate, const DlockKey *key, int64 token)
{
	int64		newest = (int64) pg_atomic_read_u64(&gate.db->next_token);
	int64		count = 0;
	bool		committing = false;

	for (;;)
	{
		count += dlock_holding_force_release(gate, key, token, newest,
											 &committing);
		if (!committing)
			return count;
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 COMMIT_POLL_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * must_confirm tells whether renewals wait for the standbys: a primary that has
 * been replaced must not go on renewing.
 */
static bool
must_confirm(void)
{
	return dlock_durable && dlock_quorum_is_wanted() && !dlock_debug_no_barrier;
}

/*
 * dlock_renew_lease restarts the clock of one lease; false where the client
 * does not hold it (any more), or not with that token.  It may have run out
 * while its renewal was being confirmed.
 */
bool
dlock_renew_lease(DlockGate gate, const DlockKey *key, uint32 client,
				  int64 token, DlockRenewal *renewal)
{
	DlockLeaseRef ref;

	if (dlock_durable)
		dlock_quorum_check(gate.db);
	renewal->quorum = must_confirm();
	if (!dlock_lookup_find(gate, key, client, &ref) ||
		(token != 0 && token != ref.token) ||
		!dlock_holding_renew(gate, &ref, renewal))
		return false;
	if (renewal->confirm)
		renewal->batch = dlock_holding_barrier(gate);
	if (!dlock_durable || renewal->batch == 0)
		return true;
	dlock_flush_wait_change(gate, renewal->batch);
	return dlock_lookup_is_running(gate, &ref);
}

/*
 * dlock_renew_client restarts the clock of what a client holds, all of it or
 * what is in the list; tells how many leases that are.
 */
int64
dlock_renew_client(DlockGate gate, uint32 client, const DlockKeys *keys,
				   int64 duration)
{
	DlockRenewal renewal = {.duration = duration};
	LeaseRefs	leases;
	uint64		last_batch = 0;
	int64		count = 0;

	if (dlock_durable)
		dlock_quorum_check(gate.db);
	renewal.quorum = must_confirm();
	leases = find_leases(gate, client, keys);
	for (int64 i = 0; i < leases.count; i++)
	{
		if (!dlock_holding_renew(gate, &leases.refs[i], &renewal))
			continue;
		last_batch = Max(last_batch, renewal.batch);
		leases.refs[count++] = leases.refs[i];
	}
	if (renewal.confirm)
		last_batch = dlock_holding_barrier(gate);
	if (dlock_durable && last_batch != 0)
	{
		int64		renewed = count;

		dlock_flush_wait_change(gate, last_batch);
		/* some may have run out meanwhile */
		count = 0;
		for (int64 i = 0; i < renewed; i++)
			if (dlock_lookup_is_running(gate, &leases.refs[i]))
				count++;
	}
	free_refs(&leases);
	return count;
}

/* an upgrade that is taken back if what follows comes to nothing */
typedef struct UnderWay
{
	const DlockRequest *request;
	DlockGrant *grant;
} UnderWay;

static void
abandon_upgrade(int code, Datum arg)
{
	UnderWay   *under_way = (UnderWay *) DatumGetPointer(arg);

	dlock_grant_take_back(under_way->request, under_way->grant);
}

/*
 * upgrade gives a lease a stronger mode, waiting for the other holders.
 */
static void
upgrade(DlockRequest *request, const DlockLeaseRef *ref,
		const DlockOptions *options, DlockGrant *grant)
{
	DlockRefusal refusal;
	DlockOutcome outcome;

	request->arrived = dlock_clock_now();
	request->mode = options->mode;
	request->priority = options->priority;
	request->token = ref->token;
	request->hold.durable = dlock_durable;
	outcome = dlock_acquire_lease(request, options->timeout, grant, &refusal);
	if (outcome != DLOCK_GRANTED)
		dlock_acquire_report(request, outcome, &refusal);
}

static void
change_duration(const DlockRequest *request, const DlockLeaseRef *ref,
				int64 duration)
{
	DlockRenewal renewal = {.duration = duration};

	if (duration != 0 &&
		!dlock_renew_lease(request->gate, &request->key, request->client,
						   ref->token, &renewal))
		dlock_lost_report(request->gate, &request->key, request->client,
						  ref->token);
}

static bool
is_downgrade(const DlockLeaseRef *ref, const DlockOptions *options)
{
	return options->mode_given && options->mode == DLOCK_SHARED &&
		ref->mode == DLOCK_EXCLUSIVE;
}

/*
 * dlock_change_lease changes a lease that is held: all that may fail, the upgrade
 * first, which may take long, then the duration.  If that cannot be confirmed, or
 * the process ends, the upgrade is taken back.
 */
void
dlock_change_lease(DlockRequest *request, const DlockLeaseRef *ref,
				   const DlockOptions *options)
{
	DlockGrant	grant;
	UnderWay	under_way = {request, &grant};

	if (is_downgrade(ref, options))
		dlock_scope_reserve(request->gate, 1);
	if (!options->mode_given || options->mode == DLOCK_SHARED)
	{
		change_duration(request, ref, options->duration);
		return;
	}
	upgrade(request, ref, options, &grant);
	if (options->duration == 0)
		return;
	PG_ENSURE_ERROR_CLEANUP(abandon_upgrade, PointerGetDatum(&under_way));
	{
		change_duration(request, ref, options->duration);
	}
	PG_END_ENSURE_ERROR_CLEANUP(abandon_upgrade, PointerGetDatum(&under_way));
}

/*
 * dlock_change_at_commit asks for what is to change when the transaction commits:
 * the mode, if it is to be weaker.  dlock_change_lease comes first.
 */
void
dlock_change_at_commit(DlockGate gate, const DlockLeaseRef *ref,
					   const DlockOptions *options)
{
	if (is_downgrade(ref, options))
		dlock_scope_downgrade(gate, ref);
}
