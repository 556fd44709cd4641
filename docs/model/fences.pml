/*
 * fences.pml
 *	  Commits that depend on a lease, and everything that can happen to it.
 *
 * Client 0 has two sessions, client 1 is the next in line.  A commit goes in
 * the steps of scope.c: a fence while the transaction runs, the check in
 * PRE_COMMIT, the moment from which others see its changes, and then one lock
 * hold for each thing that it does to leases.
 *
 * Left out: durability (a grant that waits for its flush may be told or taken
 * back at any moment), the order of the queue, several resources, savepoints,
 * tokens (a session's reference is void once its lease has ended: tokens do
 * not repeat, see durability.pml), priorities.
 *
 * IDENTIFICATION
 *	  docs/model/fences.pml
 */
#define SESSIONS 3
#define CLIENT(s) ((s) == 2 -> 1 : 0)

#ifndef SCRATCH
#define SCRATCH hidden			/* not for a search in breadth, which Spin refuses then */
#endif
#ifdef STORY
#define SAY(t, a, b, c)	printf(t, a, b, c)
#else
#define SAY(t, a, b, c)	skip
#endif

/* modes */
#define SH 1
#define EX 2
#define CONFLICT(a, b) ((a) == EX || (b) == EX)

/* scopes */
#define LEASE 1
#define TRANS 2

#define FREE 0
#define PENDING 1
#define HELD 2

/* where a session is */
#define IDLE 0
#define QUEUED 1
#define GRANTED 2				/* waits for its flush */
#define HOLDS 3					/* it has a reference to a lease */
#define CHECKED 4				/* in PRE_COMMIT, or waiting for flush and standbys */
#define VISIBLE 5				/* others see what it has written */

typedef Lease
{
	unsigned	state : 2;
	unsigned	mode : 2;
	unsigned	plain : 2;
	unsigned	trans : 2;
	unsigned	fences : 2;
	bit			downgrade;
	bit			ran_out;		/* deadline <= now */
	bit			in_heap;
};
Lease L[2];

typedef Session
{
	unsigned	at : 3;
	unsigned	scope : 2;
	unsigned	mode : 2;
	bit			stands;			/* the lease is the one that it refers to */
	bit			upgraded;
	bit			claimed;		/* exclusive to another session since its grant */
	unsigned	fence : 2;		/* the mode that its commit depends on */
	bit			weakened;		/* its lease was made shared since its grant */
	bit			told;			/* was told of an exclusive hold, which stands */
};
Session S[SESSIONS];

SCRATCH byte i;
SCRATCH byte j;
SCRATCH byte choice;

inline forget(s)
{
	S[s].at = IDLE; S[s].scope = 0; S[s].mode = 0; S[s].stands = 0;
	S[s].upgraded = 0; S[s].claimed = 0; S[s].fence = 0; S[s].told = 0; S[s].weakened = 0
}

/* code: is_running */
#define RUNNING(c) (L[c].state == HELD && L[c].plain + L[c].trans > 0 && !L[c].ran_out)

/* Its clock starts anew.  code: dlock_clock_restart, dlock_deadline_set */
inline restart_clock(c)
{
	L[c].ran_out = 0;
	L[c].in_heap = (L[c].state == HELD && L[c].trans == 0 -> 1 : 0)
}

/* code: dlock_engine_acknowledge, acknowledge */
inline acknowledge(s, c)
{
	assert(L[c].mode >= S[s].mode);
	L[c].state = HELD;
	restart_clock(c);
	S[s].at = HOLDS;
	S[s].upgraded = 0; S[s].claimed = 0;
	S[s].told = (S[s].mode == EX -> 1 : 0)
}

/* code: dlock_hold_add, add_hold, give */
inline add_hold(s, c)
{
	S[s].stands = 1;
	if
	:: S[s].scope == TRANS -> L[c].trans++; L[c].in_heap = 0; L[c].ran_out = 0
	:: S[s].scope == LEASE -> L[c].plain++
	fi;
	if
	:: S[s].mode == EX ->
		/* another claim: whoever has an older one cannot weaken it */
		L[c].downgrade = 0;
		if :: s == 0 -> S[1].claimed = 1 :: s == 1 -> S[0].claimed = 1 :: else fi
	:: else
	fi;
	S[s].claimed = 0;
	S[s].at = GRANTED;
	restart_clock(c);
	SAY("session %d: granted mode %d, upgraded %d\n", s, L[c].mode, S[s].upgraded)
}

#define IN_THE_WAY(c, m) (L[1 - (c)].state != FREE && CONFLICT(L[1 - (c)].mode, m))

/*
 * A fence keeps others out until what is written under it can be seen.
 */
#define DEPENDS(s, m) (S[s].at == CHECKED && CONFLICT(S[s].fence, m))
#define NO_COMMIT_UNDER_WAY(c, m) \
	((c) == 0 -> !DEPENDS(2, m) : !DEPENDS(0, m) && !DEPENDS(1, m))

/* code: dlock_queue_serve, serve_head, serve_also, dlock_client_serve */
inline serve()
{
	j = 0;
	do
	:: j < SESSIONS ->
		if
		:: S[j].at == QUEUED && L[CLIENT(j)].state != FREE &&
			(L[CLIENT(j)].mode >= S[j].mode || L[1 - CLIENT(j)].state == FREE) ->
			if
			:: L[CLIENT(j)].mode < S[j].mode ->
				L[CLIENT(j)].mode = S[j].mode;
				S[j].upgraded = 1
			:: else
			fi;
			add_hold(j, CLIENT(j))
		:: S[j].at == QUEUED && L[CLIENT(j)].state == FREE &&
			!IN_THE_WAY(CLIENT(j), S[j].mode) ->
			L[CLIENT(j)].state = PENDING; L[CLIENT(j)].mode = S[j].mode;
			assert(NO_COMMIT_UNDER_WAY(CLIENT(j), S[j].mode));
			add_hold(j, CLIENT(j))
		:: else
		fi;
		j++
	:: else -> break
	od;
	skip
}

/* code: dlock_lease_end */
inline end_lease(c)
{
	SAY("the lease of client %d ends\n", c, 0, 0);
	assert(L[c].fences == 0);
	i = 0;
	do
	:: i < SESSIONS ->
		if :: CLIENT(i) == c -> S[i].stands = 0; S[i].told = 0 :: else fi;
		i++
	:: else -> break
	od;
	L[c].state = FREE; L[c].mode = 0; L[c].plain = 0; L[c].trans = 0;
	L[c].downgrade = 0; L[c].ran_out = 0; L[c].in_heap = 0;
	serve()
}

/* code: dlock_lease_weaken */
inline weaken(c)
{
	if
	:: L[c].fences > 0 -> L[c].downgrade = 1
	:: else ->
		L[c].downgrade = 0;
		L[c].mode = SH;
		SAY("the lease of client %d is shared now\n", c, 0, 0);
		i = 0;
		do
		:: i < SESSIONS ->
			if :: CLIENT(i) == c -> S[i].told = 0 :: else fi;
			if
			:: CLIENT(i) == c && S[i].at == GRANTED && S[i].mode == EX -> S[i].weakened = 1
			:: else
			fi;
			i++
		:: else -> break
		od;
		serve()
	fi
}

/* code: dlock_lease_settle */
inline drop_hold(s, c)
{
	if
	:: S[s].scope == TRANS && L[c].trans > 0 -> L[c].trans--
	:: S[s].scope == LEASE && L[c].plain > 0 -> L[c].plain--
	:: else
	fi;
	if
	:: L[c].plain + L[c].trans == 0 && L[c].fences == 0 -> end_lease(c)
	:: L[c].plain + L[c].trans > 0 && L[c].trans == 0 && S[s].scope == TRANS ->
		restart_clock(c)
	:: else
	fi
}

/* code: dlock_holding_let_go, last_fence_gone */
inline let_go(s, c)
{
	if
	:: S[s].stands ->
		L[c].fences--;
		if
		:: L[c].fences == 0 && L[c].plain + L[c].trans == 0 -> end_lease(c)
		:: L[c].fences == 0 && L[c].plain + L[c].trans > 0 ->
#ifndef F_NOT_BACK_IN_HEAP
			if
			:: L[c].state == HELD && L[c].trans == 0 -> L[c].in_heap = 1
			:: else
			fi;
#endif
			if :: L[c].downgrade -> weaken(c) :: else fi
		:: else
		fi
	:: else
	fi
}

#ifdef F_EXPIRY_IGNORES_FENCES
#define UNFENCED(c) true
#else
#define UNFENCED(c) (L[c].fences == 0)
#endif
#ifdef F_CLAIMS_IGNORED
#define CLAIMED(s) false
#else
#define CLAIMED(s) S[s].claimed
#endif
#ifdef F_MODE_NOT_CHECKED
#define MODE_COVERS(s) true
#else
#define MODE_COVERS(s) (L[CLIENT(s)].mode >= S[s].fence)
#endif

#ifdef F_MODE_NOT_CHECKED_WHEN_TOLD
#define MODE_STANDS(s) true
#else
#define MODE_STANDS(s) (!S[s].weakened)
#endif

/* code: dlock_engine_acquire, find_resource, dlock_expired_end, start, strengthen */
inline request(s, c)
{
	/* whose time is over is sent away first, but for those under a fence */
	if
	:: L[c].ran_out && L[c].fences == 0 -> end_lease(c)
	:: else
	fi;
	if
	:: L[1 - c].ran_out && UNFENCED(1 - c) ->
#ifdef F_EXPIRY_IGNORES_FENCES
		L[1 - c].fences = 0;
#endif
		end_lease(1 - c)
	:: else
	fi;
	if
	:: L[c].state != FREE && L[c].mode >= S[s].mode -> add_hold(s, c)
	:: L[c].state != FREE && L[c].mode < S[s].mode && L[1 - c].state == FREE ->
		L[c].mode = EX;
		S[s].upgraded = 1;
		add_hold(s, c);
		serve()
	:: L[c].state == FREE && !IN_THE_WAY(c, S[s].mode) ->
		L[c].state = PENDING; L[c].mode = S[s].mode;
		assert(NO_COMMIT_UNDER_WAY(c, S[s].mode));
		add_hold(s, c);
		serve()
	:: else -> S[s].at = QUEUED
	fi
}

/* code: abandon, dlock_engine_take_back */
inline take_back(s, c)
{
	SAY("session %d: takes back\n", s, 0, 0);
	if
	:: S[s].stands ->
		if
		:: S[s].upgraded && !CLAIMED(s) ->
			/* nobody else's exclusive hold is undone with it */
			assert(s == 2 || !S[1 - s].told);
#ifdef F_TAKE_BACK_IGNORES_FENCES
			L[c].mode = SH; L[c].downgrade = 0;
			serve()
#else
			weaken(c)
#endif
		:: else
		fi;
		drop_hold(s, c)
	:: else
	fi;
	forget(s)
}

#define ONLY_LET_GO 0
#define GIVE_BACK 1
#define MAKE_SHARED 2

#define me _pid

active [SESSIONS] proctype Backend()
{
	end:
	do
	:: atomic {
		S[me].at == IDLE ->
		if :: S[me].scope = LEASE :: S[me].scope = TRANS fi;
		if :: S[me].mode = EX :: S[me].mode = SH fi;
		d_step {
			SAY("session %d: asks, scope %d, mode %d\n", me, S[me].scope, S[me].mode);
			request(me, CLIENT(me))
		}
	   }
	/* code: dlock_engine_leave_queue */
	:: d_step { S[me].at == QUEUED -> forget(me) }
	:: d_step {
		S[me].at == GRANTED ->
		if
		:: S[me].stands && !L[CLIENT(me)].ran_out && MODE_STANDS(me) -> acknowledge(me, CLIENT(me))
		:: else -> take_back(me, CLIENT(me))
		fi
	   }
	:: d_step { S[me].at == GRANTED -> take_back(me, CLIENT(me)) }

	/* It writes under the lease.  code: dlock_fence_own, dlock_scope_fence */
	:: d_step {
		S[me].at == HOLDS && S[me].fence == 0 && S[me].stands && RUNNING(CLIENT(me)) &&
		L[CLIENT(me)].mode >= S[me].mode ->
		S[me].fence = (S[me].scope == TRANS -> S[me].mode : L[CLIENT(me)].mode);
		SAY("session %d: writes, mode %d\n", me, S[me].fence, 0)
	   }

	/* PRE_COMMIT; where it fails, all is rolled back.  code: keep_leases, dlock_holding_keep */
	:: d_step {
		S[me].at == HOLDS && S[me].fence != 0 ->
		if
		:: S[me].stands && RUNNING(CLIENT(me)) && MODE_COVERS(me) ->
			L[CLIENT(me)].fences++;
			S[me].at = CHECKED;
			SAY("session %d: passes the check of PRE_COMMIT\n", me, 0, 0)
		:: else ->
			S[me].fence = 0;
			if
			:: S[me].scope == TRANS && S[me].stands -> drop_hold(me, CLIENT(me))
			:: else
			fi;
			if :: S[me].scope == TRANS -> forget(me) :: else fi
		fi
	   }

	/*
	 * Its changes are visible from now on.  Nobody else may have been let in
	 * who read what was there before.
	 */
	:: d_step {
		S[me].at == CHECKED ->
		SAY("session %d: its changes are visible\n", me, 0, 0);
		assert(!IN_THE_WAY(CLIENT(me), S[me].fence));
		S[me].at = VISIBLE
	   }

	/* An error on the way.  code: at_abort, drop_event */
	:: d_step {
		S[me].at == CHECKED ->
		S[me].at = VISIBLE;			/* nothing depends on the lease any more */
		if :: S[me].scope == TRANS && S[me].stands -> drop_hold(me, CLIENT(me)) :: else fi;
		let_go(me, CLIENT(me));
		S[me].fence = 0;
		if :: S[me].scope == TRANS -> forget(me) :: else -> S[me].at = HOLDS fi
	   }

	/*
	 * COMMIT.  The hold of a transaction ends, and the fence goes; a release or
	 * downgrade that was asked for before follows under its own lock hold.
	 * code: at_commit, drop_event, dlock_holding_end_transaction
	 */
	:: d_step {
		S[me].at == VISIBLE ->
		if :: S[me].scope == TRANS && S[me].stands -> drop_hold(me, CLIENT(me)) :: else fi;
		let_go(me, CLIENT(me));
		S[me].fence = 0;
		if :: S[me].scope == TRANS -> forget(me) :: else -> S[me].at = HOLDS fi
	   }

	/*
	 * A release, or the end of a transaction without fences.
	 * code: dlock_holding_release, dlock_holding_end_session
	 */
	:: d_step {
		S[me].at == HOLDS && S[me].fence == 0 ->
		if :: S[me].stands -> drop_hold(me, CLIENT(me)) :: else fi;
		forget(me)
	   }
#ifdef F_RELEASE_BEFORE_VISIBLE
	:: d_step {
		S[me].at == CHECKED && S[me].stands ->
		L[CLIENT(me)].fences--;
		drop_hold(me, CLIENT(me)); S[me].stands = 0
	   }
#endif
	/* A downgrade, unless it is exclusive to others since.  code: dlock_holding_downgrade */
	:: d_step {
		S[me].at == HOLDS && S[me].stands && S[me].mode == EX &&
		L[CLIENT(me)].mode == EX && !S[me].claimed ->
		SAY("session %d: makes it shared\n", me, 0, 0);
		S[me].mode = SH;
		weaken(CLIENT(me))
	   }
	/* A renewal.  code: dlock_holding_renew */
	:: d_step {
		S[me].at == HOLDS && S[me].stands && RUNNING(CLIENT(me)) ->
		restart_clock(CLIENT(me))
	   }
	od
}

/*
 * Time and the monitor.
 * code: dlock_upkeep_expire, dlock_deadline_first, dlock_holding_force_release
 */
#define EXPIRY(c) \
	:: d_step { L[c].state == HELD && L[c].trans == 0 && !L[c].ran_out -> L[c].ran_out = 1 } \
	:: d_step { L[c].ran_out && L[c].in_heap && L[c].fences == 0 -> end_lease(c) } \
	:: d_step { L[c].ran_out && L[c].in_heap && L[c].fences > 0 -> L[c].in_heap = 0 } \
	:: d_step { L[c].state != FREE && L[c].fences == 0 -> end_lease(c) }

active proctype Monitor()
{
	end:
	do
	EXPIRY(0)
	EXPIRY(1)
	od
}

/* What is true whenever no lock is held */
#define FENCED(s) (S[s].stands && (S[s].at == CHECKED || S[s].at == VISIBLE) -> 1 : 0)
#define SOUND(c) \
	(L[c].state == FREE || \
	 ((L[c].plain + L[c].trans > 0 || L[c].fences > 0) && \
	  (!L[c].downgrade || L[c].fences > 0) && \
	  (!L[c].ran_out || L[c].in_heap || L[c].fences > 0)))

active proctype Watch()
{
	end:
	do
	:: d_step { !SOUND(0) || !SOUND(1) ||
				L[0].fences != FENCED(0) + FENCED(1) || L[1].fences != FENCED(2) ->
				assert(false) }
	:: d_step { L[0].state != FREE && L[1].state != FREE && CONFLICT(L[0].mode, L[1].mode) ->
				assert(false) }
	od
}
