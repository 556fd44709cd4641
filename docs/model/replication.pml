/*
 * replication.pml
 *	  A primary and two standbys under ANY 1, and a change of primaries.
 *
 * Server 0 is the primary, servers 1 and 2 follow it; server 1 is promoted
 * (the two are alike).  What a server has flushed is a prefix of the log.
 * Each record of the log contains the holder of the one resource from then on.
 * Records reach a standby one by one, at any time.  Its confirmations reach
 * the primary at any time too, even long after the standby has begun to follow
 * another server.  A link that is cut, a message that is lost, a server or a
 * client that stands still: each of these is a step that is not taken, while
 * others are taken and time passes.
 *
 * Time is unlimited: everything that has a duration counts down the remaining
 * time, and all do so at once (Clock), because each runs on a monotonic clock.
 * A client believes that it holds the lease for the duration, measured from
 * before the call that was answered, as docs/ha.md says.
 *
 * Left out: a second promotion, the queue, scopes session and transaction and
 * dlock.durable = off (docs/ha.md says what these guarantee), the tenth by
 * which loaded leases last longer, and the time after which LK003 is raised (a
 * request may give up at any moment).
 *
 * Bounds: DURATION in steps of the clock, RECORDS written by each primary.
 *
 * IDENTIFICATION
 *	  docs/model/replication.pml
 */
#ifndef DURATION
#define DURATION 2
#endif
#ifndef RECORDS
#define RECORDS 4
#endif
#ifndef SCRATCH
#define SCRATCH hidden			/* empty for a breadth-first search: Spin
								 * does not allow hidden variables there */
#endif
#ifdef STORY
#define SAY(t, a, b, c)	printf(t, a, b, c)
#else
#define SAY(t, a, b, c)	skip
#endif
#ifdef ONLY
#define PROPERTY(n, e) assert(ONLY != n || (e))
#else
#define PROPERTY(n, e) assert(e)
#endif
#define EXCLUSION	1			/* no two clients believe that they hold it */
#define KEPT		2			/* what was acknowledged is on the new primary */

#define NOBODY 0

/*
 * Server 0: the holder after each record, and the remaining duration since the
 * flush of the record began.  All servers begin with record 0.
 */
byte		log[RECORDS + 1];
byte		left[RECORDS + 1];
byte		flushed[3];
bit			stopped;			/* it no longer accepts writes */
bit			crashed;

/* standbys: OLD follows server 0, NEW server 1; server 1 itself: promoted */
#define OLD 0
#define NEW 1
bit			follows[3];			/* OLD or NEW */
byte		sent[3];			/* the newest confirmation on its way to server 0 */
byte		known[3];			/* the newest confirmation received */
bit			candidate;			/* server 1 has the leader key */
byte		branch;				/* what server 1 had at its promotion */
byte		kept;				/* the last acknowledged record of server 0 */

/* memory of both primaries */
typedef Memory
{
	byte		holder;
	byte		token;			/* the record of its grant */
	bit			held;			/* was acknowledged */
	byte		deadline;		/* remaining time */
};
Memory M[2];
#define UP(k) ((k) == 0 -> !stopped : follows[1] == NEW)

/* clients 1 and 2 */
#define IDLE 0
#define ACQUIRES 1
#define RENEWS 2
#define COMMITS 3
typedef Client
{
	unsigned	at : 2;
	bit			k;				/* at which primary */
	byte		position;		/* the record that it waits for */
	byte		asked;			/* remaining duration, from before the call */
	byte		sure;			/* how long it believes that it holds it */
};
Client C[3];
#define OTHER(c) (3 - (c))

/*
 * append writes a record; its flush begins now.
 * code: dlock_write_batch, end_durably, dlock_pending_flush_begins
 */
inline append(k, what)
{
	flushed[k]++;
	if
	:: k == 0 -> log[flushed[0]] = what; left[flushed[0]] = DURATION
	:: else
	fi
}
#define ROOM(k) (flushed[k] < RECORDS)

/*
 * A record is confirmed by one of the standbys.  The standbys of server 1 are
 * server 2, and server 0 once it has returned.
 */
#define CONFIRMED(k, p) \
	((k) == 0 -> known[1] >= (p) || known[2] >= (p) : \
	 (follows[2] == NEW && flushed[2] >= (p)) || (follows[0] == NEW && flushed[0] >= (p)))

/* since the flush of the newest confirmed record began.  code: dlock_pending_confirmed_since */
#define NEWEST (known[1] > known[2] -> known[1] : known[2])
#ifdef F_NOT_TOO_LATE
#define TOO_LATE(k) false
#else
/* code: may_be_expired_elsewhere, dlock_grant_acknowledge */
#define TOO_LATE(k) ((k) == 0 && left[NEWEST] == 0)
#endif
#ifdef F_ACK_BEFORE_CONFIRMED
#define GRANT_CONFIRMED(k, p) true
#else
#define GRANT_CONFIRMED(k, p) CONFIRMED(k, p)
#endif
#ifdef F_NO_BARRIER
#define RENEWAL_CONFIRMED(k, p) true
#else
#define RENEWAL_CONFIRMED(k, p) CONFIRMED(k, p)
#endif

inline forget(c)
{
	C[c].at = IDLE; C[c].k = 0; C[c].position = 0; C[c].asked = 0
}

inline set_free(k)
{
	M[k].holder = NOBODY; M[k].token = 0; M[k].held = 0; M[k].deadline = 0;
	append(k, NOBODY)
}

/* What must be true when a client is told that something is durable */
inline check_kept(c)
{
	if
	:: C[c].k == 0 ->
		PROPERTY(KEPT, follows[1] == OLD || C[c].position <= branch);
		if :: C[c].position > kept -> kept = C[c].position :: else fi
	:: else
	fi
}

/* code: dlock_lookup_runs */
#define RUNS(k, c) (M[k].holder == c && M[k].held && M[k].deadline > 0)

/* client c at primary k */
proctype Backend(byte c; bit k)
{
	end:
	do
	/* A grant.  code: dlock_grant_request, dlock_transition_end_expired, dlock_quorum_check */
	:: d_step {
		UP(k) && C[c].at == IDLE && ROOM(k) && (c == 1 || flushed[0] > 0) &&
		(M[k].holder == NOBODY || (M[k].held && M[k].deadline == 0)) ->
		append(k, c);
		M[k].holder = c; M[k].token = flushed[k]; M[k].held = 0; M[k].deadline = 0;
		C[c].at = ACQUIRES; C[c].k = k; C[c].position = flushed[k]; C[c].asked = DURATION;
		SAY("client %d asks server %d for a lease: record %d\n", c, k, C[c].position)
	   }
	/* code: dlock_acquire_wait_for_flush */
	:: d_step {
		C[c].at == ACQUIRES && C[c].k == k && UP(k) && !TOO_LATE(k) &&
		GRANT_CONFIRMED(k, C[c].position) &&
		M[k].holder == c && M[k].token == C[c].position ->
		SAY("client %d is told by server %d that it holds\n", c, k, 0);
		PROPERTY(EXCLUSION, C[OTHER(c)].sure == 0);
		check_kept(c);
		M[k].held = 1; M[k].deadline = DURATION;
		C[c].sure = C[c].asked;
		forget(c)
	   }
	/* It gives up, or LK003.  code: dlock_grant_take_back, dlock_quorum_limit */
	:: d_step {
		C[c].at == ACQUIRES && C[c].k == k && UP(k) && ROOM(k) ->
		if
		:: M[k].holder == c && M[k].token == C[c].position -> set_free(k)
		:: else
		fi;
		forget(c)
	   }

	/*
	 * A renewal: the clock restarts at once, and the call is answered after a
	 * flush that began later.
	 * code: dlock_holding_renew, dlock_holding_barrier, dlock_store_barrier
	 */
	:: d_step {
		UP(k) && C[c].at == IDLE && RUNS(k, c) && ROOM(k) ->
		M[k].deadline = DURATION;
#if !defined(F_NO_BARRIER) && !defined(F_OLD_BARRIER)
		append(k, c);
#endif
		C[c].at = RENEWS; C[c].k = k; C[c].asked = DURATION;
		C[c].position = flushed[k];
		SAY("client %d renews at server %d: record %d\n", c, k, C[c].position)
	   }
	/* code: dlock_renew_lease, dlock_flush_wait_change, dlock_lookup_is_running */
	:: d_step {
		C[c].at == RENEWS && C[c].k == k && UP(k) && RUNS(k, c) &&
		RENEWAL_CONFIRMED(k, C[c].position) ->
		SAY("client %d is told by server %d that it has renewed\n", c, k, 0);
		PROPERTY(EXCLUSION, C[OTHER(c)].sure == 0);
#ifndef F_NO_BARRIER
		check_kept(c);
#endif
		C[c].sure = C[c].asked;
		forget(c)
	   }
	:: d_step { C[c].at == RENEWS && C[c].k == k -> forget(c) }

	/* A commit that depends on the lease.  code: keep_leases, dlock_holding_keep */
	:: d_step {
		UP(k) && C[c].at == IDLE && RUNS(k, c) && ROOM(k) ->
		append(k, c);
		C[c].at = COMMITS; C[c].k = k; C[c].position = flushed[k];
		SAY("client %d commits at server %d: record %d\n", c, k, C[c].position)
	   }
	:: d_step {
		C[c].at == COMMITS && C[c].k == k && UP(k) && CONFIRMED(k, C[c].position) ->
		SAY("client %d is told by server %d that it has committed\n", c, k, 0);
		check_kept(c);
		forget(c)
	   }
	/* The server has stopped before the answer */
	:: d_step { C[c].at != IDLE && C[c].k == k && !UP(k) -> forget(c) }

	/* A release; nothing waits for it.  code: dlock_holding_release */
	:: d_step {
		UP(k) && C[c].at == IDLE && M[k].holder == c && M[k].held && ROOM(k) ->
		C[c].sure = 0;
		set_free(k)
	   }
	od
}

#define COUNT_DOWN(x) if :: x > 0 -> x = x - 1 :: else fi

/* code: dlock_clock_now */
active proctype Clock()
{
	byte		p;

	end:
	do
	:: d_step {
		COUNT_DOWN(M[0].deadline);
		COUNT_DOWN(M[1].deadline);
		COUNT_DOWN(C[1].sure);
		COUNT_DOWN(C[2].sure);
		COUNT_DOWN(C[1].asked);
		COUNT_DOWN(C[2].asked);
		p = 0;
		do
		:: p <= RECORDS -> COUNT_DOWN(left[p]); p++
		:: else -> break
		od;
		p = 0;
		PROPERTY(EXCLUSION, C[1].sure == 0 || C[2].sure == 0)
	   }
	od
}

/*
 * load sets memory to what the log says; every lease has its full duration.
 * code: load_lease, dlock_maintenance_restore, dlock_maintenance_start_clocks
 */
inline load(k, p)
{
	M[k].holder = log[p];
	M[k].token = 0;
	M[k].held = (M[k].holder != NOBODY -> 1 : 0);
	M[k].deadline = (M[k].holder != NOBODY -> DURATION : 0)
}

SCRATCH byte i;
#define RECEIVE(s) \
	:: d_step { follows[s] == OLD && flushed[s] < flushed[0] && !stopped -> \
				flushed[s]++; sent[s] = flushed[s]; \
				/* no promotion can begin before this record */ \
				if :: s == 1 -> log[flushed[s] - 1] = NOBODY :: else fi } \
	:: d_step { known[s] < sent[s] && !stopped -> known[s] = sent[s]; \
				/* only the newest confirmed record matters */ \
				i = 0; \
				do :: i < known[s] -> left[i] = 0; i++ :: else -> break od; \
				skip }

active proctype Candidate()
{
	end:
	do
	/* a record arrives and is flushed; a confirmation arrives */
	RECEIVE(1)
	:: d_step { !candidate -> candidate = 1 }
	/*
	 * docs/ha/promote_quorum: the other standby follows, and has no more
	 * records.
	 */
	:: d_step {
		candidate && follows[1] == OLD &&
#ifndef F_PROMOTE_ALONE
		follows[2] == NEW && flushed[2] <= flushed[1] &&
#endif
		true ->
		SAY("server 1 is promoted with record %d\n", flushed[1], 0, 0);
		follows[1] = NEW;
		branch = flushed[1];
		PROPERTY(KEPT, kept <= branch);
		load(1, branch)
	   }
	od
}

active proctype Standby()
{
	end:
	do
	RECEIVE(2)
	/* it follows the candidate, which it can do only if it is not ahead */
	:: d_step {
		candidate && follows[2] == OLD &&
#ifdef F_PROMOTE_BEHIND
		true ->
		/* it loses the records that the candidate does not have */
		if :: flushed[2] > flushed[1] -> flushed[2] = flushed[1] :: else fi;
#else
		(flushed[2] <= flushed[1] || follows[1] == NEW) ->
		if :: flushed[2] > flushed[1] -> flushed[2] = branch :: else fi;
#endif
		SAY("server 2 follows server 1 from now on\n", 0, 0, 0);
		follows[2] = NEW
	   }
	:: d_step { follows[2] == NEW && flushed[2] < flushed[1] -> flushed[2]++ }
	od
}

active proctype Disturbance()
{
	end:
	do
	/* server 0 crashes and restarts as a primary */
	:: d_step {
		!stopped && !crashed ->
		SAY("server 0 crashes and comes back\n", 0, 0, 0);
		crashed = 1;
		if :: C[1].at != IDLE && C[1].k == 0 -> forget(1) :: else fi;
		if :: C[2].at != IDLE && C[2].k == 0 -> forget(2) :: else fi;
		load(0, flushed[0])
	   }
	/* pg_rewind makes it a standby of the new primary */
	:: d_step {
		!stopped && follows[1] == NEW ->
		stopped = 1;
		M[0].holder = NOBODY; M[0].token = 0; M[0].held = 0; M[0].deadline = 0;
		flushed[0] = branch;
		follows[0] = NEW
	   }
	:: d_step { stopped && flushed[0] < flushed[1] -> flushed[0]++ }
	od
}

init
{
	atomic {
		run Backend(1, 0);
		run Backend(2, 0);
		run Backend(1, 1);
		run Backend(2, 1)
	}
}
