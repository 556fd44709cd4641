/*
 * lookup.c
 *	  Leases found by name, slot or token, and how they stand.
 *
 * A lease is looked up by name and client once; from then on it is referred
 * to by slot and token, and a caller who comes with such a reference finds
 * either that very lease or nothing.
 *
 * IDENTIFICATION
 *	  src/engine/lookup.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/proc.h"

#include "base/debug_point.h"
#include "engine/holds.h"
#include "engine/lease.h"
#include "engine/lookup.h"
#include "shared/client.h"
#include "shared/partition.h"
#include "shared/resource.h"
#include "shared/table.h"

/*
 * dlock_lookup_runs tells whether a lease is anybody's: one that is there only until
 * the commits under way are over is not.
 */
bool
dlock_lookup_runs(const DlockLease *lease)
{
	return lease->state == DLOCK_LEASE_HELD && lease->hold_count > 0 &&
		lease->deadline > dlock_clock_now();
}

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
	ref->own_mode = dlock_holds_survey(lease, MyProc->pgprocno, ref->own, ref->others);
}

/*
 * dlock_lookup_first_holder gives the first lease on a resource.  Partition lock held.
 */
uint32
dlock_lookup_first_holder(const DlockKey *key)
{
	uint32		resource = dlock_resource_find(key);

	return resource == DLOCK_NONE ? DLOCK_NONE :
		dlock_table_resource(resource)->holders;
}

/*
 * dlock_lookup_find looks for the lease of a client on a resource; false
 * where there is none, or its time is over.
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
 * dlock_lookup_find_slot gives the lease in a slot, if it is that client's.
 *
 * The hash is read without a lock, to learn which lock to take.  The slot may
 * go to a lease of another partition at any moment: that it is live must be
 * read before that it is still there (see dlock_lease_grant).
 */
bool
dlock_lookup_find_slot(DlockGate gate, uint32 slot, uint32 client,
					   DlockLeaseRef *ref)
{
	DlockLease *lease = dlock_table_lease(slot);
	uint32		hash;
	bool		found;

	/* this array is compact: most slots are somebody else's */
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
 * dlock_lookup_find_holder looks for the lease on a resource that has a token,
 * or where that is 0 for any, whosever it is; false where there is none.
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
 * dlock_lookup_stands tells whether a reference's lease is still there.  Partition lock
 * held.
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
 * dlock_lookup_of_session tells whether a session has a hold of a lease.
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
 * dlock_lookup_is_running tells whether a lease is still the one referred to,
 * and its time not over.
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
 * is_over tells whether a lease is still there although it is nobody's any more,
 * and why.
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
 * dlock_lookup_cause completes how the lease of a client on a resource has
 * ended: that with the token, or where that is 0 the last one; false where that
 * is not remembered.  client may be DLOCK_NONE, if there is a token.
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
 * dlock_lookup_ref_cause is the same for the lease of a reference.
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
