/*
 * replication.pml
 *	  A primary and two standbys under ANY 1, and a change of primaries.
 *
 * Server 0 is the primary, 1 and 2 follow it; 1 is promoted (they are alike).
 * What a server has flushed is a prefix of the log, of which each record says
 * who holds the one resource afterwards.  Records reach a standby one by one
 * and when they like, and so do its confirmations reach the primary, also long
 * after the standby has turned to another one.  A link that is cut, a message
 * that is lost, a server or a client that stands still: that is a step that is
 * not taken, while others are and time passes.
 *
 * Time is unlimited: whatever has a time counts down what is left of it, and
 * all do so at once (Clock), for each runs on a monotonic clock.  A client
 * believes for the duration from before the call that was answered, as
 * docs/ha.md says.
 *
 * Left out: a second promotion, the queue, scopes session and transaction and
 * dlock.durable = off (docs/ha.md says what these promise), the tenth by which
 * loaded leases last longer, the time that LK003 takes (a request may give up
 * at any moment).
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
#define SCRATCH hidden			/* not for a search in breadth, which Spin refuses then */
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
#define EXCLUSION	1			/* definite holds exclude each other */
#define KEPT		2			/* what was acknowledged is on the new primary */

#define NOBODY 0

/*
 * Server 0: who holds after each record, what is left of the duration since
 * the flush of the record began.  Record 0 is what all servers begin with.
 */
byte		log[RECORDS + 1];
byte		left[RECORDS + 1];
byte		flushed[3];
bit			stopped;			/* it accepts no writes any more */
bit			crashed;

/* standbys */
#define OLD 0
#define NEW 1
bit			follows[3];			/* 2: server 0, or 1; 1: promoted; 0: came back */
byte		sent[3];			/* the newest confirmation on its way to server 0 */
byte		known[3];			/* what server 0 knows to be there */
bit			candidate;			/* server 1 has the leader key */
byte		branch;				/* what server 1 had at its promotion */
byte		kept;				/* the last acknowledged record of server 0 */

/* memory of both primaries */
typedef Memory
{
	byte		holder;
	byte		token;			/* the record of its grant */
	bit			held;			/* was acknowledged */
	byte		deadline;		/* how long it still runs */
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
	byte		asked;			/* for how long an answer to the call is good */
	byte		sure;			/* for how long it believes */
};
Client C[3];
#define OTHER(c) (3 - (c))

/*
 * append writes a record, the flush of which begins now.
 * code: write_batch, end_durably, dlock_pending_flush_begins
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
 * A record is confirmed by one of the standbys: of server 1 these are server 2,
 * and server 0 once it has come back.
 */
#define CONFIRMED(k, p) \
	((k) == 0 -> known[1] >= (p) || known[2] >= (p) : \
	 (follows[2] == NEW && flushed[2] >= (p)) || (follows[0] == NEW && flushed[0] >= (p)))

/* since the flush of the newest confirmed record began.  code: dlock_pending_confirmed_since */
#define NEWEST (known[1] > known[2] -> known[1] : known[2])
#ifdef F_NOT_TOO_LATE
#define TOO_LATE(k) false
#else
/* code: is_late, dlock_engine_acknowledge */
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

/* What must hold when somebody is told that something is durable */
inline check_kept(c)
{
	if
	:: C[c].k == 0 ->
		PROPERTY(KEPT, follows[1] == OLD || C[c].position <= branch);
		if :: C[c].position > kept -> kept = C[c].position :: else fi
	:: else
	fi
}

/* code: is_running */
#define RUNS(k, c) (M[k].holder == c && M[k].held && M[k].deadline > 0)

/* client c at primary k */
proctype Backend(byte c; bit k)
{
	end:
	do
	/* A grant.  code: dlock_engine_acquire, dlock_expired_end, dlock_quorum_check */
	:: d_step {
		UP(k) && C[c].at == IDLE && ROOM(k) && (c == 1 || flushed[0] > 0) &&
		(M[k].holder == NOBODY || (M[k].held && M[k].deadline == 0)) ->
		append(k, c);
		M[k].holder = c; M[k].token = flushed[k]; M[k].held = 0; M[k].deadline = 0;
		C[c].at = ACQUIRES; C[c].k = k; C[c].position = flushed[k]; C[c].asked = DURATION;
		SAY("client %d asks server %d for a lease: record %d\n", c, k, C[c].position)
	   }
	/* code: dlock_wait_granted */
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
	/* It gives up, or LK003.  code: dlock_engine_take_back, dlock_quorum_limit */
	:: d_step {
		C[c].at == ACQUIRES && C[c].k == k && UP(k) && ROOM(k) ->
		if
		:: M[k].holder == c && M[k].token == C[c].position -> set_free(k)
		:: else
		fi;
		forget(c)
	   }

	/*
	 * A renewal: its clock starts anew at once, and it is answered after a
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
	/* code: dlock_renew_lease, dlock_flush_wait_change, dlock_holding_is_running */
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
	/* The server is gone before the answer */
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
 * load has memory say what the log says; every lease has its full duration.
 * code: restore_all, dlock_upkeep_restore, dlock_upkeep_start_clocks
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
				/* no promotion begins with what is before this */ \
				if :: s == 1 -> log[flushed[s] - 1] = NOBODY :: else fi } \
	:: d_step { known[s] < sent[s] && !stopped -> known[s] = sent[s]; \
				/* no record before the newest confirmed one is that */ \
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
	 * docs/ha/promote_quorum: the other one follows, and has nothing more.
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
	/* it turns to the candidate, which it can follow only if it is not ahead */
	:: d_step {
		candidate && follows[2] == OLD &&
#ifdef F_PROMOTE_BEHIND
		true ->
		/* what it has more is taken off it */
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
	/* server 0 crashes and comes back as what it was */
	:: d_step {
		!stopped && !crashed ->
		SAY("server 0 crashes and comes back\n", 0, 0, 0);
		crashed = 1;
		if :: C[1].at != IDLE && C[1].k == 0 -> forget(1) :: else fi;
		if :: C[2].at != IDLE && C[2].k == 0 -> forget(2) :: else fi;
		load(0, flushed[0])
	   }
	/* it is made a standby of its successor, by pg_rewind */
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
