/*
 * table.h
 *	  The lock table in shared memory: leases, resources, waiters, holds.
 *
 * Included by shared/, engine/ and deadlock/ only.  Everything here refers to everything
 * else by slot number; no pointer is ever stored in shared memory.
 *
 * A resource belongs to the partition that its hash selects.  The partition's
 * lock guards the resource, its holders and its waiters, that is, every field
 * below that does not name another guard.
 *
 * IDENTIFICATION
 *	  src/shared/table.h
 */
#ifndef DLOCK_SHARED_TABLE_H
#define DLOCK_SHARED_TABLE_H

#include "port/atomics.h"

#include "base/clock.h"
#include "base/key.h"
#include "base/mode.h"
#include "base/scope.h"
#include "base/slot.h"
#include "shared/database.h"
#include "shared/hold.h"
#include "shared/partition.h"

typedef enum DlockLeaseState
{
	DLOCK_LEASE_FREE = 0,		/* in a free list, or never used */
	DLOCK_LEASE_RESERVED,		/* kept ready for a waiter */
	DLOCK_LEASE_PENDING,		/* granted, not yet acknowledged to anybody */
	DLOCK_LEASE_HELD,			/* acknowledged */
	DLOCK_LEASE_TRIMMED,		/* free; the writer is deleting its row */
} DlockLeaseState;

/* the session of holds that any session of the client may end */
#define DLOCK_NO_SESSION PG_UINT32_MAX

/* upgrades of a lease that are counted */
#define DLOCK_UPGRADES_MAX 255

/*
 * Holds of a lease that are alike: of one mode, and ended by the same event,
 * that is, those of one session and scope, or those of scope lease.  A session's
 * number is that of its PGPROC: when the session is gone, so are its holds.
 */
typedef struct DlockHoldCount
{
	uint32		session;		/* DLOCK_NO_SESSION: scope lease */
	uint32		next;			/* further ones of the lease; pool's free list */
	int32		count;			/* 0: unused */
	uint32		untold:20;		/* of these: not acknowledged yet; no more
								 * than there are backends */
	uint32		scope:4;		/* a DlockScope */
	uint32		mode:4;			/* a DlockMode */
	uint32		kept:1;			/* they stop the clock */
	uint32		last_told;		/* the lease's "told" when the newest of them
								 * was acknowledged */
} DlockHoldCount;

/*
 * One holder on one resource.
 *
 * A slot keeps its row in dlock.locks when it becomes free, so that the next
 * lease in that slot updates the row in place.  Such a slot waits in its
 * database's free list until it is used again or trimmed; then it returns to
 * the pool of all databases.
 */
typedef struct DlockLease
{
	int64		token;
	int64		duration;		/* microseconds */
	int64		sure_duration;	/* the row says no less before duration_batch
								 * is durable */
	uint64		duration_batch; /* the duration is durable with that batch */
	DlockTime	deadline;		/* DLOCK_NEVER while pending or kept; in a
								 * database's free list: since when */
	DlockTime	heap_key;		/* place in the heap, <= deadline */
	DlockTime	row_since;		/* unless promised: when it first was to have
								 * a row */
	TimestampTz acquired_at;
	uint32		hash;			/* of the resource */
	uint32		resource;
	uint32		client;			/* one reference is counted for it */
	uint32		next;			/* holders of the resource; in a free list,
								 * under that list's lock: the next one */
	uint32		prev;			/* likewise */
	uint32		heap_child;		/* deadline heap of the partition */
	uint32		heap_next;
	uint32		heap_prev;
	uint32		dirty_next;		/* the database's dirty list */
	uint32		late_next;		/* the database's late list */
	DlockHoldCount holds;		/* the oldest; the others follow by age */
	int32		hold_count;		/* all holds; 0 unless PENDING or HELD, or
								 * where only fences are left */
	int32		session_holds;	/* of these: ended by a session's end */
	int32		transaction_holds;	/* of these: ended with a transaction */
	int32		kept;			/* of these: holds that stop the clock */
	int32		fences;			/* commits under way that depend on it; it
								 * does not end before they do */
	int32		priority;
	uint32		told;			/* requests that were acknowledged; begins
								 * anew when it is at its maximum */
	uint32		upgrade_told;	/* "told" when the last upgrade was */
	uint32		upgrading:20;	/* upgrades by dlock_set_options that were not
								 * acknowledged yet; no more than backends */
	uint32		upgrades:8;		/* upgrades that were, since the last
								 * downgrade; at its maximum it is not counted
								 * any more */
	uint32		upgrade_mode:4; /* a DlockMode: the strongest that upgrades
								 * have asked for, as long as there are any */
	uint32		downgrades;		/* times that they came to nothing */
	uint16		database;
	uint8		state;			/* a DlockLeaseState */
	uint8		mode;			/* a DlockMode: the strongest of its holds and
								 * upgrades, or stronger as long as there are
								 * fences */
	uint8		row_mode:4;		/* a DlockMode: what the row is to say */
	uint8		scope:4;		/* a DlockScope, of the first hold left */
	uint8		end_cause:4;	/* a DlockEndCause: why it has no holds, where
								 * only fences are left */
	uint8		durable:1;		/* has, or is to have, a row */
	uint8		promised:1;		/* its row is to be durable before somebody is
								 * told; else it may follow later */
	uint8		written:1;		/* the last batch that was cut with this slot
								 * shows it as held, or its row was loaded: it
								 * may come back after a crash */
	uint8		in_heap:1;
	bool		on_dirty;		/* in the dirty list */
	bool		on_late;		/* in the late list */
} DlockLease;

typedef struct DlockResource
{
	uint32		hash;
	uint32		next;			/* hash chain; free list under the pool lock */
	uint32		holders;		/* first lease: the strongest mode comes
								 * first, of the same mode the newest */
	uint32		queue_head;		/* first waiter */
	uint32		queue_tail;
	uint32		upgrader;		/* waiter for a stronger mode, ahead of all */
	int32		nholders;
	int32		nwaiters;		/* the upgrader included */
	uint16		database;
	uint8		name_len;
	char		name[DLOCK_NAME_MAX];
} DlockResource;

typedef enum DlockWaitState
{
	DLOCK_WAIT_QUEUED = 0,		/* in line */
	DLOCK_WAIT_GRANTED,			/* lease is granted, see batch */
	DLOCK_WAIT_LOST,			/* upgrade: the lease ended meanwhile */
	DLOCK_WAIT_CLOSED,			/* the extension was dropped */
	DLOCK_WAIT_DEADLOCK,		/* chosen to give up, see deadlock */
} DlockWaitState;

/*
 * One place in a resource's queue.  Its backend alone allocates and frees it;
 * whoever holds the partition lock may take it out of the queue and say why.
 */
typedef struct DlockWaiter
{
	pg_atomic_uint32 state;		/* written under the partition lock, read
								 * without by the waiting backend */
	uint32		next;			/* queue; free list under the pool lock */
	uint32		prev;
	uint32		resource;
	uint32		client;			/* a reference of the backend's own */
	uint32		lease;			/* reserved, then granted; upgrade: the held
								 * one */
	int			procno;
	int			pid;
	int32		priority;
	uint8		mode;
	bool		upgrade;		/* stands ahead of the queue */
	bool		must_flush;		/* once granted: wait for batch */
	bool		joined;			/* once granted: the lease was held before */
	uint32		spare;			/* room for the hold where it needs any, else
								 * DLOCK_NONE */
	DlockHold	hold;
	int64		ticket;			/* arrival number within the database */
	int64		token;			/* once granted; upgrade: from the start */
	uint64		batch;			/* once granted: durable with that batch */
	bool		eager;			/* is to know of the grant before the flush */
	uint64		deadlock;		/* once chosen to give up: its number */
	DlockTime	deadline;
	TimestampTz waiting_since;
} DlockWaiter;

extern DlockLease *dlock_table_lease(uint32 idx);
extern DlockResource *dlock_table_resource(uint32 idx);
extern DlockWaiter *dlock_table_waiter(uint32 idx);
extern DlockHoldCount *dlock_table_hold_count(uint32 idx);

/* which client each slot's lease belongs to, readable without a lock */
extern uint32 dlock_table_lease_client(uint32 idx);
extern void dlock_table_set_lease_client(uint32 idx, uint32 client);

/* how many counts of holds there are besides those in the leases */
extern int	dlock_table_hold_counts(void);

/* called at server start */
extern Size dlock_table_shmem_size(void);
extern void dlock_table_shmem_init(void);

#endif							/* DLOCK_SHARED_TABLE_H */
