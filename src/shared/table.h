/*
 * table.h
 *	  The lock table in shared memory: leases, resources, waiters, holds.
 *
 * Included in shared/, engine/ and deadlock/ only.  Everything refers to
 * everything else by slot number; no pointer is ever stored in shared memory.
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
#include "base/config.h"
#include "base/key.h"
#include "base/mode.h"
#include "base/scope.h"
#include "base/slot.h"
#include "shared/database.h"
#include "shared/hold.h"
#include "shared/partition.h"

typedef enum DlockLeaseState
{
	DLOCK_LEASE_FREE = 0,		/* in a free list or a pool, or never used */
	DLOCK_LEASE_RESERVED,		/* reserved for a waiter */
	DLOCK_LEASE_PENDING,		/* granted, not acknowledged yet */
	DLOCK_LEASE_HELD,			/* acknowledged */
	DLOCK_LEASE_TRIMMED,		/* free; the writer deletes its row */
} DlockLeaseState;

/* the session number of holds that any session of the client may release */
#define DLOCK_NO_SESSION PG_UINT32_MAX

/* acknowledged upgrades of a lease to one mode that are counted */
#define DLOCK_UPGRADES_MAX 4095

/*
 * Holds of a lease that are alike: they have the same mode and are ended by
 * the same event.  That is, they are those of one session and one scope, or
 * those of scope lease.  A session's number is that of its PGPROC; when
 * another session gets the PGPROC, the holds of the first have ended.
 */
typedef struct DlockHoldCount
{
	uint32		session;		/* DLOCK_NO_SESSION: scope lease */
	uint32		next;			/* next count of the lease; free list of the
								 * pool */
	int32		count;			/* 0: unused */
	uint32		untold:20;		/* of these: not acknowledged yet; not more
								 * than there are backends */
	uint32		scope:4;		/* a DlockScope */
	uint32		mode:4;			/* a DlockMode */
	uint32		kept:1;			/* they stop the lease's clock */
	uint32		last_told;		/* the lease's "told" when the newest of them
								 * was acknowledged */
} DlockHoldCount;

/*
 * Upgrades of a lease by dlock_set_options to one mode.
 */
typedef struct DlockUpgrades
{
	uint32		untold:20;		/* not acknowledged yet; no more than there
								 * are backends */
	uint32		told:12;		/* acknowledged since the last downgrade below
								 * the mode; at its maximum it is not counted
								 * any more */
	uint32		last_told;		/* the lease's "told" when the newest of them
								 * was acknowledged */
	uint32		downgrades;		/* times that they came to nothing */
} DlockUpgrades;

/* those of a lease to a mode; to the weakest one there are none */
#define DLOCK_LEASE_UPGRADES(lease, mode) (&(lease)->upgrades[(mode) - 1])

/*
 * One holder on one resource.
 *
 * A lease slot keeps its row in dlock.locks when it becomes free, so that the
 * next lease in the slot updates the row in place.  Such a slot is in its
 * database's free list until it is used again, or until the writer has trimmed
 * it; then it returns to the pool of all databases.
 */
typedef struct DlockLease
{
	int64		token;
	int64		duration;		/* microseconds */
	int64		sure_duration;	/* before duration_batch is durable, the row
								 * has at least this duration */
	uint64		duration_batch; /* batch that makes the duration durable */
	DlockTime	deadline;		/* DLOCK_NEVER while PENDING or while holds
								 * stop the clock; in a database's free list:
								 * since when the slot is free */
	DlockTime	heap_key;		/* place in the deadline heap, <= deadline */
	DlockTime	row_since;		/* since when there should be a row, if that
								 * is not promised */
	TimestampTz acquired_at;
	uint32		hash;			/* of the resource's name */
	uint32		resource;
	uint32		client;			/* the lease has a pin on it */
	uint32		next;			/* next holder of the resource; in a free
								 * list, under the lock of that: next free
								 * slot */
	uint32		prev;			/* likewise, the previous one */
	uint32		heap_child;		/* deadline heap of the partition */
	uint32		heap_next;
	uint32		heap_prev;
	uint32		dirty_next;		/* next slot in the database's dirty list */
	uint32		late_next;		/* next slot in the database's late list */
	DlockHoldCount holds;		/* the oldest ones; others follow by age */
	int32		hold_count;		/* all holds; 0 unless PENDING or HELD, and 0
								 * if only fences keep the lease */
	int32		session_holds;	/* of these: ended with a session */
	int32		transaction_holds;	/* of these: ended with a transaction */
	int32		kept;			/* of these: those that stop the clock */
	int32		fences;			/* commits under way that depend on the lease;
								 * it does not end before they do */
	int32		priority;
	uint32		told;			/* requests that were acknowledged; begins
								 * anew when it is at its maximum */
	uint32		lost_told;		/* "told" when its client had lost all holds;
								 * releases requested before that have no
								 * effect */
	DlockUpgrades upgrades[DLOCK_NMODES - 1];	/* see DLOCK_LEASE_UPGRADES */
	uint16		database;
	uint8		state;			/* a DlockLeaseState */
	uint8		mode;			/* a DlockMode: the strongest of its holds and
								 * upgrades; may be stronger than these while
								 * there are fences */
	uint8		row_mode:4;		/* a DlockMode: for the row */
	uint8		scope:4;		/* a DlockScope, for the row and the views */
	uint8		end_cause:4;	/* a DlockEndCause: why it has no holds, if
								 * only fences keep it */
	uint8		durable:1;		/* has a row, or is to have one */
	uint8		promised:1;		/* an acknowledgement waits for the row; else
								 * the row may be written later */
	uint8		written:1;		/* the last batch that had this slot shows it
								 * as held, or its row was loaded: the lease
								 * may be loaded again after a crash */
	uint8		in_heap:1;
	bool		on_dirty;		/* in the dirty list */
	bool		on_late;		/* in the late list */
} DlockLease;

typedef struct DlockResource
{
	uint32		hash;
	uint32		next;			/* hash chain; free list under the pool lock */
	uint32		holders;		/* first lease: the strongest mode comes
								 * first, of the same mode the last one to get
								 * it */
	uint32		queue_head;		/* first waiter */
	uint32		queue_tail;
	uint32		upgrader;		/* waiter for a stronger mode, ahead of the
								 * queue */
	int32		nholders;
	int32		nwaiters;		/* the upgrader included */
	uint16		database;
	uint8		name_len;
	char		name[DLOCK_NAME_MAX];
} DlockResource;

typedef enum DlockWaitState
{
	DLOCK_WAIT_QUEUED = 0,		/* in the queue */
	DLOCK_WAIT_GRANTED,			/* granted: see lease, token and batch */
	DLOCK_WAIT_LOST,			/* upgrade: the lease has ended */
	DLOCK_WAIT_CLOSED,			/* the extension was dropped */
	DLOCK_WAIT_DEADLOCK,		/* ended to break a deadlock: see deadlock */
} DlockWaitState;

/*
 * One place in a resource's queue.  Only its own backend allocates and frees
 * it.  Every process that holds the partition lock exclusively may take it out
 * of the queue and set its state.
 */
typedef struct DlockWaiter
{
	pg_atomic_uint32 state;		/* written under the partition lock; the
								 * waiting backend also reads it without */
	uint32		next;			/* queue; free list under the pool lock */
	uint32		prev;
	uint32		resource;
	uint32		client;			/* its backend has a pin on it */
	uint32		lease;			/* a RESERVED lease, which then is the granted
								 * one; of an upgrader: the lease that its
								 * client holds */
	int			procno;
	int			pid;
	int32		priority;
	uint8		mode;
	bool		upgrade;		/* is ahead of the queue: an upgrader */
	bool		must_flush;		/* once granted: the backend waits for batch */
	bool		joined;			/* once granted: the lease was there before */
	uint32		spare;			/* a hold count for the hold, if it counts and
								 * until it is used; else DLOCK_NONE */
	DlockHold	hold;
	int64		ticket;			/* arrival number within the database */
	int64		token;			/* once granted; of an upgrader: from the
								 * start */
	uint64		batch;			/* once granted: the batch to wait for */
	bool		eager;			/* to be woken before the grant is flushed */
	uint64		deadlock;		/* in state DEADLOCK: number of the deadlock */
	DlockTime	deadline;
	TimestampTz waiting_since;
} DlockWaiter;

/* the arrays; use the functions below */
extern DlockLease *dlock_table_leases;
extern DlockResource *dlock_table_resources;
extern DlockWaiter *dlock_table_waiters;
extern DlockHoldCount *dlock_table_holds;

static inline DlockLease *
dlock_table_lease(uint32 idx)
{
	Assert(idx < (uint32) dlock_max_leases);
	return &dlock_table_leases[idx];
}

static inline DlockResource *
dlock_table_resource(uint32 idx)
{
	Assert(idx < (uint32) dlock_max_leases);
	return &dlock_table_resources[idx];
}

static inline DlockWaiter *
dlock_table_waiter(uint32 idx)
{
	Assert(idx < (uint32) dlock_max_waiters);
	return &dlock_table_waiters[idx];
}

static inline DlockHoldCount *
dlock_table_hold_count(uint32 idx)
{
	Assert(idx < (uint32) (dlock_max_leases + dlock_max_waiters));
	return &dlock_table_holds[idx];
}

/* the client of each slot's lease, DLOCK_NONE: no holder; needs no lock */
extern uint32 dlock_table_lease_client(uint32 idx);
extern void dlock_table_set_lease_client(uint32 idx, uint32 client);

/* number of hold counts besides the one in each lease */
extern int	dlock_table_hold_counts(void);

/* called at server start */
extern Size dlock_table_shmem_size(void);
extern void dlock_table_shmem_init(void);

#endif							/* DLOCK_SHARED_TABLE_H */
