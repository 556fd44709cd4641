/*
 * lookup.h
 *	  Leases found by name, slot or token, and how they stand.
 *
 * IDENTIFICATION
 *	  src/engine/lookup.h
 */
#ifndef DLOCK_ENGINE_LOOKUP_H
#define DLOCK_ENGINE_LOOKUP_H

#include "engine/request.h"
#include "shared/causes.h"

/* which lease of whom, as copied when it was looked up */
typedef struct DlockLeaseRef
{
	uint32		lease;
	uint32		hash;
	int64		token;
	uint32		told;			/* requests that were acknowledged by then */
	DlockMode	mode;			/* of the lease; of a hold, where it is one's */
	DlockMode	own_mode;		/* in which the session has the lease */
	int32		own[DLOCK_NMODES];	/* holds of the session and of scope lease */
	int32		others[DLOCK_NMODES];	/* holds of other sessions that it can
										 * give back */
} DlockLeaseRef;

/* a lease and who holds it */
typedef struct DlockHolder
{
	DlockLeaseRef ref;
	uint32		client;			/* to compare with one that has a pin */
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

/* the caller holds the partition lock; engine/ only */
struct DlockLease;
extern bool dlock_lookup_stands(DlockGate gate, const DlockLeaseRef *ref);
extern bool dlock_lookup_runs(const struct DlockLease *lease);
extern uint32 dlock_lookup_first_holder(const DlockKey *key);

#endif							/* DLOCK_ENGINE_LOOKUP_H */
