/*
 * events.c
 *	  Releases, downgrades, fences and holds of the current transaction.
 *
 * The events are local to the process.  Each belongs to a subtransaction, and
 * is removed when that subtransaction is rolled back.  The events of one lease
 * are linked in a chain, so that the newest one is found quickly.
 *
 * IDENTIFICATION
 *	  src/session/events.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "session/events.h"

/* a larger array than this is freed at the end of the transaction */
#define KEEP_CAPACITY 1024

/*
 * The events in the order in which they were added.  So the events of the
 * current subtransaction, including those of its committed children, are at
 * the end of the array.
 */
static DlockEvent *events;
static int	nevents;
static int	event_capacity;		/* a power of two */

/* heads of event_capacity chains, by lease slot; the newest event is first */
static int *chains;

static bool
same_lease(const DlockLeaseRef *a, const DlockLeaseRef *b)
{
	return a->lease == b->lease && a->token == b->token;
}

static int *
chain_of(const DlockLeaseRef *ref)
{
	return &chains[ref->lease & (uint32) (event_capacity - 1)];
}

static void
link_event(int i)
{
	int		   *chain = chain_of(&events[i].ref);

	events[i].next = *chain;
	*chain = i;
}

/*
 * dlock_events_pop removes the last event, which is the first of its chain.
 */
void
dlock_events_pop(void)
{
	DlockEvent *event = &events[--nevents];

	Assert(*chain_of(&event->ref) == nevents);
	*chain_of(&event->ref) = event->next;
}

/*
 * dlock_events_reserve makes room for "count" more events.  Throws if there is
 * not enough memory; the events are unchanged then.
 */
void
dlock_events_reserve(int count)
{
	int			wanted;
	int		   *new_chains;

	if (nevents + count <= event_capacity)
		return;
	wanted = (int) pg_nextpower2_32(Max(16, nevents + count));
	new_chains = MemoryContextAllocHuge(TopMemoryContext, wanted * sizeof(int));
	if (events == NULL)
		events = MemoryContextAllocHuge(TopMemoryContext, wanted * sizeof(DlockEvent));
	else
		events = repalloc_huge(events, wanted * sizeof(DlockEvent));
	if (chains != NULL)
		pfree(chains);
	chains = new_chains;
	event_capacity = wanted;
	memset(chains, 0xFF, wanted * sizeof(int));
	for (int i = 0; i < nevents; i++)
		link_event(i);
}

/*
 * dlock_events_forget removes all events, for the next transaction.
 */
void
dlock_events_forget(void)
{
	if (event_capacity > KEEP_CAPACITY)
	{
		pfree(events);
		pfree(chains);
		events = NULL;
		chains = NULL;
		event_capacity = 0;
		nevents = 0;
	}
	while (nevents > 0)
		dlock_events_pop();
}

/*
 * dlock_events_last returns the newest event of a lease, or NULL.
 */
DlockEvent *
dlock_events_last(const DlockLeaseRef *ref)
{
	int			i = *chain_of(ref);

	while (i >= 0 && !same_lease(&events[i].ref, ref))
		i = events[i].next;
	return i < 0 ? NULL : &events[i];
}

/*
 * dlock_events_add adds an event of the current subtransaction and returns it.
 * It inherits "asked" and "open_hold" from the lease's newest event.
 */
DlockEvent *
dlock_events_add(DlockEventKind kind, DlockGate gate, const DlockLeaseRef *ref)
{
	DlockEvent *event = &events[nevents];
	const DlockEvent *last = dlock_events_last(ref);

	Assert(nevents < event_capacity);
	memset(event, 0, sizeof(*event));
	for (int mode = 0; mode < DLOCK_NMODES; mode++)
		event->open_hold[mode] = last != NULL ? last->open_hold[mode] : -1;
	if (last != NULL)
		memcpy(event->asked, last->asked, sizeof(event->asked));
	event->relied_on = ref->mode;
	event->kind = kind;
	event->subxact = GetCurrentSubTransactionId();
	event->gate = gate;
	event->ref = *ref;
	link_event(nevents++);
	return event;
}

/*
 * dlock_events_count returns the number of events, and dlock_events_at the
 * event with an index; the oldest has index 0.
 */
int
dlock_events_count(void)
{
	return nevents;
}

DlockEvent *
dlock_events_at(int i)
{
	Assert(i >= 0 && i < nevents);
	return &events[i];
}
