/*
 * lookup.h
 *	  Find leases by name, slot or token, and check how they stand.
 *
 * IDENTIFICATION
 *	  src/engine/lookup.h
 */
#ifndef DLOCK_ENGINE_LOOKUP_H
#define DLOCK_ENGINE_LOOKUP_H

#include "engine/request.h"
#include "shared/causes.h"

/* a lease, as copied when it was looked up */
typedef struct DlockLeaseRef
{
	uint32		lease;
	uint32		hash;
	int64		token;
	uint32		told;			/* the lease's count of acknowledgements at
								 * that time */
	DlockMode	mode;			/* of the lease, or of the hold meant */
	DlockMode	own_mode;		/* in which the session has the lease,
								 * whatever other sessions hold */
	int32		own[DLOCK_NMODES];	/* the session's holds and those of scope
									 * lease */
	int32		others[DLOCK_NMODES];	/* holds of other sessions that the
										 * session can give back */
} DlockLeaseRef;

/* a lease and its holder */
typedef struct DlockHolder
{
	DlockLeaseRef ref;
	uint32		client;			/* only to compare with a pinned client */
	Oid			role;
	char		name[DLOCK_NAME_MAX + 1];
} DlockHolder;

extern bool dlock_lookup_find(DlockGate gate, const DlockKey *key,
							  uint32 client, DlockLeaseRef *ref);
extern bool dlock_lookup_find_slot(DlockGate gate, uint32 slot, uint32 client,
								   DlockLeaseRef *ref);
extern bool dlock_lookup_of_session(DlockGate gate, const DlockLeaseRef *ref,
									uint32 session);
extern bool dlock_lookup_find_holder(DlockGate gate, const DlockKey *key,
									 int64 token, DlockHolder *holder);
extern bool dlock_lookup_cause(const DlockKey *key, uint32 client,
							   DlockCause *cause);
extern bool dlock_lookup_ref_cause(DlockGate gate, const DlockLeaseRef *ref,
								   DlockCause *cause);
extern bool dlock_lookup_is_running(DlockGate gate,
									const DlockLeaseRef *ref);

/* the caller holds the partition lock; for engine/ only */
struct DlockLease;
extern bool dlock_lookup_stands(DlockGate gate, const DlockLeaseRef *ref);
extern bool dlock_lookup_runs(const struct DlockLease *lease);
extern uint32 dlock_lookup_first_holder(const DlockKey *key);

#endif							/* DLOCK_ENGINE_LOOKUP_H */
