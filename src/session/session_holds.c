/*
 * session_holds.c
 *	  The leases that a session must release when it ends.
 *
 * The list is local to the process.  The number of holds that the session has
 * of a lease is counted in shared memory, because other sessions of the client
 * may release them.  The list only says which leases to look at: it contains a
 * lease at least as long as the session has a hold of it, maybe longer, and
 * maybe more than once.  Superfluous entries are removed when the list is full
 * and after many releases.
 *
 * IDENTIFICATION
 *	  src/session/session_holds.c
 */
#include "postgres.h"

#include "storage/proc.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "engine/holding.h"
#include "session/session_holds.h"

/* a larger list than this is freed when it is empty */
#define KEEP_CAPACITY 1024

typedef struct Entry
{
	DlockGate	gate;
	DlockLeaseRef ref;
} Entry;

static Entry *entries;
static int	nentries;
static int	capacity;
static int64 released_since;	/* holds released since the last tidy */

static int
by_lease(const void *a, const void *b)
{
	const DlockLeaseRef *left = &((const Entry *) a)->ref;
	const DlockLeaseRef *right = &((const Entry *) b)->ref;

	if (left->lease != right->lease)
		return left->lease < right->lease ? -1 : 1;
	return left->token < right->token ? -1 : left->token > right->token;
}

/*
 * tidy removes the leases of which the session has no hold, and duplicates.
 */
static void
tidy(void)
{
	int			kept = 0;

	qsort(entries, nentries, sizeof(Entry), by_lease);
	for (int i = 0; i < nentries; i++)
	{
		const Entry *entry = &entries[i];

		if (kept > 0 && by_lease(&entries[kept - 1], entry) == 0)
			continue;
		if (dlock_lookup_of_session(entry->gate, &entry->ref,
									MyProcNumber))
			entries[kept++] = *entry;
	}
	nentries = kept;
	released_since = 0;
}

/*
 * dlock_session_holds_reserve makes room for "count" more leases.  Throws if
 * there is not enough memory.  Entries of an earlier epoch of the database are
 * removed, because their leases no longer exist.
 */
void
dlock_session_holds_reserve(DlockGate gate, int count)
{
	int			wanted;

	if (nentries > 0 && (entries[0].gate.db != gate.db ||
						 entries[0].gate.epoch != gate.epoch))
		nentries = 0;
	if (nentries + count <= capacity)
		return;
	if (nentries > 0)
		tidy();
	/* leave room, so that the next calls need not tidy again */
	if (nentries + count <= capacity / 4 * 3)
		return;
	wanted = Max(16, 2 * (nentries + count));
	if (entries == NULL)
		entries = MemoryContextAllocHuge(TopMemoryContext,
										 wanted * sizeof(Entry));
	else
		entries = repalloc_huge(entries, wanted * sizeof(Entry));
	capacity = wanted;
}

/*
 * dlock_session_holds_note adds a lease of which the session has a hold.
 * Cannot fail after dlock_session_holds_reserve.
 */
void
dlock_session_holds_note(DlockGate gate, const DlockLeaseRef *ref)
{
	Entry		entry;

	entry.gate = gate;
	entry.ref = *ref;
	if (nentries > 0 && by_lease(&entries[nentries - 1], &entry) == 0)
		return;
	Assert(nentries < capacity);
	entries[nentries++] = entry;
}

static void
forget_all(void)
{
	nentries = 0;
	if (capacity > KEEP_CAPACITY)
	{
		pfree(entries);
		entries = NULL;
		capacity = 0;
	}
}

/*
 * dlock_session_holds_tidy counts holds that were released, and removes
 * superfluous entries of a large list after many releases.  Cannot fail.
 */
void
dlock_session_holds_tidy(int32 released)
{
	released_since += released;
	if (capacity <= KEEP_CAPACITY || released_since < nentries / 2)
		return;
	tidy();
	if (nentries == 0)
		forget_all();
}

/*
 * dlock_session_holds_end releases every hold of the session.
 */
void
dlock_session_holds_end(void)
{
	while (nentries > 0)
	{
		Entry	   *entry = &entries[--nentries];

		dlock_holding_end_session(entry->gate, &entry->ref, MyProcNumber);
	}
	forget_all();
}
