/*
 * lookup.c
 *	  Find leases by name, slot or token, and check how they stand.
 *
 * A lease is looked up by name and client once.  From then on it is referred
 * to by slot and token: the reference finds either that very lease or nothing,
 * whatever the slot is used for later.
 *
 * Each function takes the partition lock, unless it says that the caller holds
 * it.  None can fail.
 *
 * IDENTIFICATION
 *	  src/engine/lookup.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/proc.h"

#include "base/compat.h"
#include "base/debug_point.h"
#include "engine/hold_modes.h"
#include "engine/holds.h"
#include "engine/lease.h"
#include "engine/lookup.h"
#include "shared/client.h"
#include "shared/partition.h"
#include "shared/resource.h"
#include "shared/table.h"

/*
 * dlock_lookup_runs returns whether a lease is acknowledged, has holds and has
 * not expired.  A lease that only fences keep has no holds.  The caller holds
 * the partition lock.
 */
bool
dlock_lookup_runs(const DlockLease *lease)
{
	return lease->state == DLOCK_LEASE_HELD && lease->hold_count > 0 &&
		lease->deadline > dlock_clock_now();
}

/*
 * copy_ref copies what a reference says of a lease.  The caller holds the
 * partition lock.
 */
static void
copy_ref(uint32 idx, DlockLeaseRef *ref)
{
	DlockLease *lease = dlock_table_lease(idx);

	Assert(dlock_partition_held(lease->hash));
	ref->lease = idx;
	ref->hash = lease->hash;
	ref->token = lease->token;
	ref->told = lease->told;
	ref->mode = lease->mode;
	ref->own_mode = dlock_hold_modes_survey(lease, MyProcNumber, ref->own, ref->others);
}

/*
 * dlock_lookup_first_holder returns the first lease on a resource, or
 * DLOCK_NONE.  The caller holds the partition lock.
 */
uint32
dlock_lookup_first_holder(const DlockKey *key)
{
	uint32		resource = dlock_resource_find(key);

	return resource == DLOCK_NONE ? DLOCK_NONE :
		dlock_table_resource(resource)->holders;
}

/*
 * dlock_lookup_find finds the lease of a client on a resource; returns false
 * if there is none or it has expired.
 */
bool
dlock_lookup_find(DlockGate gate, const DlockKey *key, uint32 client,
				  DlockLeaseRef *ref)
{
	uint32		resource;
	uint32		idx = DLOCK_NONE;
	bool		found;

	dlock_partition_lock(key->hash, DLOCK_LOCK_READ);
	resource = dlock_resource_find(key);
	if (resource != DLOCK_NONE)
		idx = dlock_lease_of_client(dlock_table_resource(resource), client);
	found = idx != DLOCK_NONE && dlock_lookup_runs(dlock_table_lease(idx));
	if (found)
		copy_ref(idx, ref);
	dlock_partition_unlock(key->hash);
	return found;
}

/*
 * dlock_lookup_find_slot finds the lease in a slot; returns false if the slot
 * has no lease of that client and database.
 *
 * We read the hash without a lock, to learn which lock to take.  Before we
 * have the lock, and even while we have it, the slot can get a lease of
 * another partition.  So under the lock we first read the state, and then the
 * hash once more.  dlock_lease_grant writes in the opposite order: the hash,
 * and then the state.  If the state that we read is that of such another
 * lease, the hash that we read afterwards is that lease's, and we return
 * false.  If the hash is unchanged, we hold the right lock.
 */
bool
dlock_lookup_find_slot(DlockGate gate, uint32 slot, uint32 client,
					   DlockLeaseRef *ref)
{
	DlockLease *lease = dlock_table_lease(slot);
	uint32		hash;
	bool		found;

	/* read this array first: it is compact, and most slots do not match */
	if (dlock_table_lease_client(slot) != client)
		return false;
	hash = *(volatile uint32 *) &lease->hash;
	DLOCK_DEBUG_POINT(DLOCK_STOP_SLOT_SEEN);
	dlock_partition_lock(hash, DLOCK_LOCK_READ);
	found = *(volatile uint8 *) &lease->state == DLOCK_LEASE_HELD;
	pg_read_barrier();
	DLOCK_DEBUG_POINT(DLOCK_STOP_SLOT_CHECKED);
	found = found && lease->hash == hash && lease->client == client &&
		lease->database == gate.db->slot && dlock_lookup_runs(lease);
	if (found)
		copy_ref(slot, ref);
	dlock_partition_unlock(hash);
	return found;
}

/*
 * copy_holder_ref copies a lease and its holder.  The caller holds the
 * partition lock.
 */
static void
copy_holder_ref(uint32 idx, DlockHolder *holder)
{
	DlockClient *client = dlock_client_at(dlock_table_lease(idx)->client);

	copy_ref(idx, &holder->ref);
	holder->client = dlock_table_lease(idx)->client;
	holder->role = client->row.role;
	memcpy(holder->name, client->name, client->name_len);
	holder->name[client->name_len] = '\0';
}

/*
 * dlock_lookup_find_holder finds the lease on a resource that has a token, or
 * any lease if the token is 0, of whichever client.  Returns false if there is
 * none.
 */
bool
dlock_lookup_find_holder(DlockGate gate, const DlockKey *key, int64 token,
						 DlockHolder *holder)
{
	uint32		idx;

	dlock_partition_lock(key->hash, DLOCK_LOCK_READ);
	idx = dlock_lookup_first_holder(key);
	while (idx != DLOCK_NONE &&
		   !(dlock_lookup_runs(dlock_table_lease(idx)) &&
			 (token == 0 || dlock_table_lease(idx)->token == token)))
		idx = dlock_table_lease(idx)->next;
	if (idx != DLOCK_NONE)
		copy_holder_ref(idx, holder);
	dlock_partition_unlock(key->hash);
	return idx != DLOCK_NONE;
}

/*
 * dlock_lookup_stands returns whether the lease of a reference has not ended.
 * The caller holds the partition lock.
 */
bool
dlock_lookup_stands(DlockGate gate, const DlockLeaseRef *ref)
{
	DlockLease *lease = dlock_table_lease(ref->lease);

	return dlock_database_is_open(gate.db, gate.epoch) &&
		lease->database == gate.db->slot &&
		lease->token == ref->token &&
		dlock_lease_is_live(lease);
}

/*
 * dlock_lookup_of_session returns whether a lease has holds that end with a
 * session or its transaction.
 */
bool
dlock_lookup_of_session(DlockGate gate, const DlockLeaseRef *ref,
						uint32 session)
{
	bool		result;

	dlock_partition_lock(ref->hash, DLOCK_LOCK_READ);
	result = dlock_lookup_stands(gate, ref) &&
		dlock_holds_of_session(dlock_table_lease(ref->lease), session);
	dlock_partition_unlock(ref->hash);
	return result;
}

/*
 * dlock_lookup_is_running returns whether the lease of a reference has neither
 * ended nor expired, and has holds.
 */
bool
dlock_lookup_is_running(DlockGate gate, const DlockLeaseRef *ref)
{
	bool		result;

	dlock_partition_lock(ref->hash, DLOCK_LOCK_READ);
	result = dlock_lookup_stands(gate, ref) && dlock_lookup_runs(dlock_table_lease(ref->lease));
	dlock_partition_unlock(ref->hash);
	return result;
}

/*
 * is_over returns whether a lease that was acknowledged is still there
 * although its client does not hold it any more, and if so completes *cause.
 * The caller holds the partition lock.
 */
static bool
is_over(uint32 idx, DlockCause *cause)
{
	const DlockLease *lease = dlock_table_lease(idx);

	if (lease->state != DLOCK_LEASE_HELD || dlock_lookup_runs(lease))
		return false;
	cause->token = lease->token;
	cause->when = Min(lease->deadline, dlock_clock_now());
	cause->cause = lease->hold_count > 0 ? DLOCK_END_EXPIRED : lease->end_cause;
	return true;
}

/*
 * dlock_lookup_cause completes *cause: how a lease on a resource has ended,
 * the one with the token or, if that is 0, the last one of the client.
 * Returns false if the lease has not ended or its end is not remembered.  The
 * client may be DLOCK_NONE if there is a token.
 */
bool
dlock_lookup_cause(const DlockKey *key, uint32 client, DlockCause *cause)
{
	uint32		idx;
	bool		found;

	dlock_partition_lock(key->hash, DLOCK_LOCK_READ);
	idx = dlock_lookup_first_holder(key);
	while (idx != DLOCK_NONE &&
		   (cause->token != 0 ? dlock_table_lease(idx)->token != cause->token :
			dlock_table_lease(idx)->client != client))
		idx = dlock_table_lease(idx)->next;
	found = (idx != DLOCK_NONE && is_over(idx, cause)) ||
		dlock_causes_find(cause);
	dlock_partition_unlock(key->hash);
	return found;
}

/*
 * dlock_lookup_ref_cause does the same for the lease of a reference.
 */
bool
dlock_lookup_ref_cause(DlockGate gate, const DlockLeaseRef *ref,
					   DlockCause *cause)
{
	bool		found;

	dlock_partition_lock(ref->hash, DLOCK_LOCK_READ);
	found = (dlock_lookup_stands(gate, ref) && is_over(ref->lease, cause)) ||
		dlock_causes_find(cause);
	dlock_partition_unlock(ref->hash);
	return found;
}
