/*
 * lease_refs.c
 *	  Look up the leases that a client holds.
 *
 * IDENTIFICATION
 *	  src/session/lease_refs.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "session/lease_refs.h"
#include "shared/slots.h"

static void
add_ref(DlockLeaseRefs *leases, const DlockLeaseRef *ref)
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
 * dlock_lease_refs_find returns references to the leases that a client holds:
 * all of them if "keys" is NULL, else those on the resources in "keys".
 * Throws if the backend is cancelled or terminated.
 */
DlockLeaseRefs
dlock_lease_refs_find(DlockGate gate, uint32 client, const DlockKeys *keys)
{
	uint32		used = keys != NULL ? keys->count : dlock_slots_leases_used();
	DlockLeaseRefs leases = {0};

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

void
dlock_lease_refs_free(DlockLeaseRefs *leases)
{
	if (leases->refs != NULL)
		pfree(leases->refs);
}
