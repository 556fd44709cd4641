/*
 * lease_refs.h
 *	  Look up the leases that a client holds.
 *
 * IDENTIFICATION
 *	  src/session/lease_refs.h
 */
#ifndef DLOCK_SESSION_LEASE_REFS_H
#define DLOCK_SESSION_LEASE_REFS_H

#include "base/key.h"
#include "engine/lookup.h"

/* references to leases, in a palloc'd array that grows */
typedef struct DlockLeaseRefs
{
	DlockLeaseRef *refs;
	int64		count;
	int64		capacity;
} DlockLeaseRefs;

extern DlockLeaseRefs dlock_lease_refs_find(DlockGate gate, uint32 client,
											const DlockKeys *keys);
extern void dlock_lease_refs_free(DlockLeaseRefs *leases);

#endif							/* DLOCK_SESSION_LEASE_REFS_H */
