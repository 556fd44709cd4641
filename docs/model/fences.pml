/*
 * fences.pml
 *	  Commits that depend on a lease, and everything that can happen to it.
 *
 * Client 0 has two sessions; client 1, the next in line, has one.  A lease has
 * holds of scope lease, which belong to the client, one hold of scope
 * transaction for each session, and upgrades (dlock_set_options).  A commit
 * follows the steps of scope.c: fences, releases and downgrades are requested
 * while the transaction runs.  Then comes the check in PRE_COMMIT, then the
 * moment from which other sessions see its changes, and then one lock hold for
 * each thing that the transaction does to leases.
 *
 * Left out: durability (a grant that waits for its flush may be acknowledged
 * or taken back at any moment; durability.pml has the row), the order of the
 * queue, several resources, savepoints, tokens (a session's reference is void
 * once its lease has ended, because tokens do not repeat: durability.pml),
 * priorities, scope session (its mode follows the same rules as scope lease),
 * and holds that cannot be counted separately because slots have run out.
 *
 * Simplified: a transaction has one fence for everything that it relies on, in
 * the strongest of these modes; the fence exists as long as one of them does.
 * A session that has requested something acquires nothing before the end of
 * its transaction; the other session does.  Upgrades that can no longer be
 * undone count as one.
 *
 * Bounds: a client with HOLDS holds of scope lease requests no more of them.
 *
 * IDENTIFICATION
 *	  docs/model/fences.pml
 */
#define SESSIONS 3
#define CLIENT(s) ((s) == 2 -> 1 : 0)
#ifndef HOLDS
#define HOLDS 2
#endif
/* client 1 only has to be in client 0's way: one hold is enough */
#define ROOM(c) (L[c].ex + L[c].sh < ((c) == 0 -> HOLDS : 1))
#ifdef NO_TRANS
#define MAY_USE_TRANS(s) false
#else
#define MAY_USE_TRANS(s) (CLIENT(s) == 0)
#endif
#ifdef NO_UPGRADE
#define MAY_UPGRADE(s) false
#else
#define MAY_UPGRADE(s) (CLIENT(s) == 0)
#endif
/* for sessions 0 and 1 only: client 1 has a single session */
#define OTHER(s) (1 - (s))

#ifndef SCRATCH
#define SCRATCH hidden			/* empty for a breadth-first search: Spin
								 * does not allow hidden variables there */
#endif
#ifdef STORY
#define SAY(t, a, b, c)	printf(t, a, b, c)
#else
#define SAY(t, a, b, c)	skip
#endif

/* which properties are checked: all, or the one that ONLY names */
#ifdef ONLY
#define PROPERTY(n, e) assert(ONLY != n || (e))
#else
#define PROPERTY(n, e) assert(e)
#endif
#define EXCLUSION	1			/* no two clients in conflicting modes */
#define NOT_BETWEEN	2			/* no grant between check and visibility */
#define TOLD		3			/* what is acknowledged is true */
#define HOLDS_DECIDE 4			/* a lease is as strong as its holds and upgrades */
#define LET_IN		5			/* and keeps waiters out for no other reason */
#define LAST_WISH	6			/* a request undoes nothing later */
#define COUNTS		7			/* the counters are right; a lease ends */

/* modes */
#define SH 1
#define EX 2
#define CONFLICT(a, b) ((a) == EX || (b) == EX)
#define STRONGER(a, b) ((a) > (b) -> (a) : (b))

/* scopes; UPGRADE: no hold, a change of the mode */
#define LEASE 1
#define TRANS 2
#define UPGRADE 3

/* states of a lease */
#define FREE 0
#define PENDING 1
#define HELD 2

/* where a session is */
#define IDLE 0
#define QUEUED 1
#define GRANTED 2				/* waits for its flush */
#define UNSURE 3				/* its acknowledged upgrade may be undone */
#define BUSY 4					/* in a transaction that uses a lease */
#define CHECKED 5				/* in PRE_COMMIT, or waiting for flush and standbys */
#define OVER 6					/* ended; its requests are carried out */

/* what a transaction has requested */
#define RELEASE 1
#define DOWNGRADE 2

typedef Lease
{
	unsigned	state : 2;
	unsigned	mode : 2;
	unsigned	ex : 3;			/* holds of scope lease that are exclusive */
	unsigned	sh : 3;			/* that are shared */
	unsigned	fences : 2;
	unsigned	upgrades : 2;	/* that were acknowledged */
	bit			ran_out;		/* deadline <= now */
	bit			in_heap;
};
Lease L[2];

typedef Session
{
	unsigned	at : 3;
	unsigned	scope : 2;
	unsigned	mode : 2;		/* that was requested */
	unsigned	trans : 2;		/* its hold of scope transaction: the mode */
	bit			stands;			/* the lease that it refers to still exists */
	unsigned	fence : 2;		/* the mode that its commit depends on */
	unsigned	ask : 2;
	unsigned	note : 2;		/* RELEASE: of a hold of that mode */
	unsigned	had : 2;		/* RELEASE, DOWNGRADE: the mode in which it had the lease */
	/* DOWNGRADE: what was acknowledged since it was requested */
	bit			later_hold;
	bit			later_trans;
	bit			later_upgrade;
	bit			counted;		/* UNSURE: no downgrade has undone its upgrade */
#ifdef F_UNDO_RESTORES
	unsigned	before : 2;		/* UNSURE: the upgrades before it */
#endif
};
Session S[SESSIONS];

SCRATCH byte i;
SCRATCH byte j;
SCRATCH byte m;
SCRATCH byte need;
SCRATCH byte wrote;

inline forget(s)
{
	S[s].at = IDLE; S[s].scope = 0; S[s].mode = 0; S[s].trans = 0; S[s].stands = 0;
	S[s].fence = 0; S[s].ask = 0; S[s].note = 0; S[s].had = 0; S[s].later_hold = 0;
	S[s].later_trans = 0; S[s].later_upgrade = 0; S[s].counted = 0
#ifdef F_UNDO_RESTORES
	; S[s].before = 0
#endif
}

/*
 * What a lease has.  A hold or upgrade of a session that waits for its flush
 * is not acknowledged.  code: find_hold, dlock_holds_add, dlock_holds_tell
 */
#define MINE(s, c) (CLIENT(s) == c && S[s].stands)
#define WAITS_FOR(s, c, k, m) (MINE(s, c) && S[s].at == GRANTED && S[s].scope == k && S[s].mode == m -> 1 : 0)
#define UNTOLD(c, k, m) (WAITS_FOR(0, c, k, m) + WAITS_FOR(1, c, k, m) + WAITS_FOR(2, c, k, m))
#define HAS_TRANS(s, c) (MINE(s, c) && S[s].trans != 0 -> 1 : 0)
#define TRANS_HOLDS(c) (HAS_TRANS(0, c) + HAS_TRANS(1, c) + HAS_TRANS(2, c))
#define TRANS_EX(s, c) (MINE(s, c) && S[s].trans == EX)
#define TOLD_EX(c) (L[c].ex - UNTOLD(c, LEASE, EX))
#define TOLD_SH(c) (L[c].sh - UNTOLD(c, LEASE, SH))
#define HOLD_COUNT(c) (L[c].ex + L[c].sh + TRANS_HOLDS(c))

#ifdef F_UPGRADING_NOT_COUNTED
#define UPGRADING(c) 0
#else
#define UPGRADING(c) UNTOLD(c, UPGRADE, EX)
#endif
#define COUNTED(s, c) (MINE(s, c) && S[s].counted -> 1 : 0)
#define MAY_BE_UNDONE(c) (COUNTED(0, c) + COUNTED(1, c) + COUNTED(2, c))

/* code: dlock_hold_modes_strongest, strongest */
#define HOLDS_MODE(c) \
	(L[c].upgrades > 0 || L[c].ex > 0 || UPGRADING(c) > 0 || \
	 TRANS_EX(0, c) || TRANS_EX(1, c) || TRANS_EX(2, c) -> EX : SH)

/*
 * The mode that a session has, without the other session's own holds.
 * code: dlock_hold_modes_survey
 */
#define OWN_MODE(s, c) \
	(L[c].upgrades > 0 || TOLD_EX(c) > 0 || (S[s].at != GRANTED && TRANS_EX(s, c)) -> EX : SH)

/* code: dlock_lookup_runs */
#define RUNNING(c) (L[c].state == HELD && HOLD_COUNT(c) > 0 && !L[c].ran_out)

/* Its clock restarts.  code: dlock_lease_restart_clock, dlock_deadline_set */
#define NO_DEADLINE(c) (!L[c].in_heap && !L[c].ran_out)
inline restart_clock(c)
{
	if
	:: L[c].state == HELD && TRANS_HOLDS(c) == 0 -> L[c].ran_out = 0; L[c].in_heap = 1
	:: else
	fi
}

/* A downgrade, or the end of the last hold.  code: dlock_lease_downgrade */
inline drop_upgrades(c)
{
	L[c].upgrades = 0;
	i = 0;
	do
	:: i < SESSIONS -> if :: CLIENT(i) == c -> S[i].counted = 0 :: else fi; i++
	:: else -> break
	od
}

/*
 * A hold or upgrade is acknowledged.  While it waited for that, an exclusive
 * one has kept the lease exclusive.
 * code: dlock_grant_acknowledge, acknowledge, dlock_lease_tell
 */
inline acknowledge(s, c)
{
	SAY("session %d: acknowledged, scope %d, mode %d\n", s, S[s].scope, S[s].mode);
	PROPERTY(TOLD, L[c].mode >= S[s].mode);
	L[c].state = HELD;
	restart_clock(c);
	if
	:: c == 0 && S[OTHER(s)].ask == DOWNGRADE && S[OTHER(s)].stands && S[s].mode == EX ->
		if
		:: S[s].scope == LEASE -> S[OTHER(s)].later_hold = 1
		:: S[s].scope == TRANS -> S[OTHER(s)].later_trans = 1
		:: S[s].scope == UPGRADE -> S[OTHER(s)].later_upgrade = 1
		fi
	:: else
	fi;
	if
	:: S[s].scope == LEASE -> forget(s)
	:: S[s].scope == TRANS -> S[s].at = BUSY
	:: S[s].scope == UPGRADE ->
		S[s].at = UNSURE;
#ifdef F_UNDO_RESTORES
		S[s].before = L[c].upgrades;
#endif
		S[s].counted = 1;
		L[c].upgrades++
	fi
}

/*
 * One more hold or upgrade.  A lease that existed only for commits in progress
 * belongs to its client again.
 * code: dlock_lease_add_hold, dlock_holds_add, begin_anew, grant_hold, give
 */
inline grant_hold(s, c)
{
	if
	:: HOLD_COUNT(c) == 0 && L[c].fences > 0 && S[s].scope != UPGRADE ->
		L[c].in_heap = 0; L[c].ran_out = 0;
		/* as the new hold is, whatever the lease was */
		PROPERTY(HOLDS_DECIDE, L[c].upgrades == 0)
	:: else
	fi;
	S[s].stands = 1;
	S[s].at = GRANTED;
	if
	:: S[s].scope == TRANS -> S[s].trans = S[s].mode; L[c].in_heap = 0; L[c].ran_out = 0
	:: S[s].scope == LEASE && S[s].mode == EX -> L[c].ex++
	:: S[s].scope == LEASE && S[s].mode == SH -> L[c].sh++
	:: else
	fi;
	SAY("session %d: granted, scope %d; the lease has mode %d\n", s, S[s].scope, L[c].mode)
}

#define IN_THE_WAY(c, m) (L[1 - (c)].state != FREE && CONFLICT(L[1 - (c)].mode, m))

/*
 * A fence keeps other clients out until the changes made under it are visible.
 */
#define DEPENDS(s, m) (S[s].at == CHECKED && CONFLICT(S[s].fence, m))
#define NO_COMMIT_UNDER_WAY(c, m) \
	((c) == 0 -> !DEPENDS(2, m) : !DEPENDS(0, m) && !DEPENDS(1, m))

/* a waiter in the queue can be granted what it requests */
#define FITS(j, c) \
	((L[c].state != FREE && (L[c].mode >= S[j].mode || L[1 - (c)].state == FREE)) || \
	 (L[c].state == FREE && !IN_THE_WAY(c, S[j].mode)))

/* code: dlock_transition_serve_queue, serve_head, serve_also, dlock_transition_serve_client, dlock_lease_strengthen */
inline serve()
{
	j = 0;
	do
	:: j < SESSIONS ->
		if
		:: S[j].at == QUEUED && FITS(j, CLIENT(j)) ->
			if
			:: L[CLIENT(j)].state == FREE ->
				L[CLIENT(j)].state = PENDING; L[CLIENT(j)].mode = S[j].mode
			:: L[CLIENT(j)].state != FREE && L[CLIENT(j)].mode < S[j].mode ->
				L[CLIENT(j)].mode = S[j].mode
			:: else
			fi;
			PROPERTY(NOT_BETWEEN, NO_COMMIT_UNDER_WAY(CLIENT(j), S[j].mode));
			grant_hold(j, CLIENT(j))
		:: else
		fi;
		j++
	:: else -> break
	od;
	skip
}

/* The lease of a queued upgrade has ended.  code: dismiss_changers */
inline dismiss_changers(c)
{
	i = 0;
	do
	:: i < SESSIONS ->
		if
		:: CLIENT(i) == c && S[i].at == QUEUED && S[i].scope == UPGRADE -> forget(i)
		:: else
		fi;
		i++
	:: else -> break
	od;
	skip
}

/* code: dlock_transition_end */
inline end_lease(c)
{
	SAY("the lease of client %d ends\n", c, 0, 0);
	assert(L[c].fences == 0);
	dismiss_changers(c);
	i = 0;
	do
	:: i < SESSIONS ->
		if
		:: MINE(i, c) ->
			S[i].stands = 0; S[i].trans = 0; S[i].counted = 0;
			S[i].later_hold = 0; S[i].later_trans = 0; S[i].later_upgrade = 0;
			if
			/* nothing that these could do has any effect */
			:: S[i].at == OVER || S[i].at == UNSURE -> forget(i)
			:: S[i].at == GRANTED -> S[i].scope = LEASE; S[i].mode = SH
			:: else
			fi
		:: else
		fi;
		i++
	:: else -> break
	od;
	L[c].state = FREE; L[c].mode = 0; L[c].ex = 0; L[c].sh = 0;
	L[c].upgrades = 0; L[c].ran_out = 0; L[c].in_heap = 0;
	serve()
}

#ifdef F_SETTLE_IGNORES_FENCES
#define MAY_SETTLE(c) true
#else
#define MAY_SETTLE(c) (L[c].fences == 0)
#endif

/*
 * The lease becomes as weak as its holds allow.  code: dlock_transition_settle_mode
 */
inline set_mode(c)
{
	if
	:: L[c].mode != HOLDS_MODE(c) ->
		L[c].mode = HOLDS_MODE(c);
		SAY("the lease of client %d has mode %d now\n", c, L[c].mode, 0);
#ifndef F_NOT_SERVED
		serve()
#endif
	:: else
	fi
}

inline settle_mode(c)
{
	if :: MAY_SETTLE(c) -> set_mode(c) :: else fi
}

/*
 * A hold has ended.  With the last one the upgrades end too, and the lease if
 * it has no fences.  code: dlock_transition_settle
 */
inline settle(c, of_transaction)
{
	if
	:: HOLD_COUNT(c) == 0 && L[c].fences == 0 -> end_lease(c)
	:: else ->
		if
		:: HOLD_COUNT(c) == 0 ->
#ifndef F_UPGRADES_OUTLIVE_HOLDS
			drop_upgrades(c);
#endif
			dismiss_changers(c)
		:: else
		fi;
		if :: NO_DEADLINE(c) -> restart_clock(c) :: else fi;
#ifdef F_TRANSACTION_OUTLIVED
		if :: !of_transaction -> settle_mode(c) :: else fi
#else
		settle_mode(c)
#endif
	fi
}

/* code: dlock_holding_end_transaction, dlock_holds_end_transaction */
inline end_trans(s, c)
{
	SAY("session %d: its hold of scope transaction ends\n", s, 0, 0);
	S[s].trans = 0;
	settle(c, true)
}

/* code: dlock_holding_let_go, last_fence_gone */
inline let_go(s, c)
{
	SAY("session %d: its fence goes\n", s, 0, 0);
	L[c].fences--;
	if
	:: L[c].fences == 0 && HOLD_COUNT(c) == 0 -> end_lease(c)
	:: L[c].fences == 0 && HOLD_COUNT(c) > 0 ->
#ifndef F_NOT_BACK_IN_HEAP
		if :: L[c].ran_out && !L[c].in_heap -> L[c].in_heap = 1 :: else fi;
#endif
#ifndef F_NOT_SETTLED_AFTER_FENCE
		settle_mode(c)
#endif
	:: else
	fi
}

#ifdef F_RELEASE_TAKES_UNTOLD
#define RELEASABLE_EX(c) L[c].ex
#define RELEASABLE_SH(c) L[c].sh
#else
#define RELEASABLE_EX(c) TOLD_EX(c)
#define RELEASABLE_SH(c) TOLD_SH(c)
#endif
#ifdef F_RELEASE_TAKES_STRONGER
#define MAY_TAKE_EX(s) true
#else
#define MAY_TAKE_EX(s) (S[s].note == EX)
#endif

/*
 * A hold is released: one of the mode that was noted, or of a weaker one.
 * code: at_commit, dlock_holding_release, dlock_holds_release, take_told
 */
inline release(s, c)
{
	SAY("session %d: its release of mode %d is done\n", s, S[s].note, 0);
	if
	:: MAY_TAKE_EX(s) && RELEASABLE_EX(c) > 0 ->
		/* a stronger one was acknowledged later, and stays */
		PROPERTY(LAST_WISH, S[s].note == EX);
		L[c].ex--;
		settle(c, false)
	:: !(MAY_TAKE_EX(s) && RELEASABLE_EX(c) > 0) && RELEASABLE_SH(c) > 0 ->
		L[c].sh--;
		settle(c, false)
	:: else
	fi
}

#ifdef F_DOWNGRADE_TAKES_LATER
#define IS_LATER(b) false
#else
#define IS_LATER(b) (b)
#endif
#ifdef F_DOWNGRADE_TAKES_UNTOLD
#define STAYS_EX(c) 0
#define IS_UNTOLD(s) false
#else
#define STAYS_EX(c) UNTOLD(c, LEASE, EX)
#define IS_UNTOLD(s) (S[s].at == GRANTED)
#endif
#define WEAKEN_TRANS(t, s, c) \
	(TRANS_EX(t, c) && !IS_UNTOLD(t) && !((t) != (s) && IS_LATER(S[s].later_trans)))

/*
 * Acknowledged holds become shared, unless a hold of their kind was
 * acknowledged after the downgrade was requested.  The same applies to
 * upgrades.
 * code: at_commit, dlock_holding_downgrade, dlock_holds_weaken, split,
 * join_alike
 */
inline downgrade(s, c)
{
	SAY("session %d: its downgrade is done; later: hold %d, upgrade %d\n", s, S[s].later_hold, S[s].later_upgrade);
	/* whether something that was acknowledged later still exists */
	m = (S[s].later_hold && TOLD_EX(c) > 0) || (S[s].later_upgrade && L[c].upgrades > 0) ||
		(S[s].later_trans && TRANS_EX(OTHER(s), c));
	if :: !IS_LATER(S[s].later_upgrade) -> drop_upgrades(c) :: else fi;
	if
	:: !IS_LATER(S[s].later_hold) && L[c].ex > STAYS_EX(c) ->
		need = L[c].ex - STAYS_EX(c);
		L[c].sh = L[c].sh + need; L[c].ex = L[c].ex - need
	:: else
	fi;
	if :: WEAKEN_TRANS(s, s, c) -> S[s].trans = SH :: else fi;
	if :: WEAKEN_TRANS(OTHER(s), s, c) -> S[OTHER(s)].trans = SH :: else fi;
	PROPERTY(LAST_WISH, !m || HOLDS_MODE(c) == EX);
	settle_mode(c)
}

#ifdef F_EXPIRY_IGNORES_FENCES
#define UNFENCED(c) true
#else
#define UNFENCED(c) (L[c].fences == 0)
#endif
/* what else is checked for a transaction that has written something */
#ifdef F_RELEASE_NO_FENCE
#define CHECKED_TOO(s) (S[s].ask == RELEASE -> m : need)
#else
#ifdef F_DOWNGRADE_NO_FENCE
#define CHECKED_TOO(s) (S[s].ask == DOWNGRADE -> m : need)
#else
#ifdef F_RELEASE_RELIES_ON_HOLD
#define CHECKED_TOO(s) (S[s].ask == RELEASE -> STRONGER(m, S[s].note) : need)
#else
#define CHECKED_TOO(s) need
#endif
#endif
#endif
#ifdef F_MODE_NOT_CHECKED
#define MODE_COVERS(s) true
#else
#define MODE_COVERS(s) (L[CLIENT(s)].mode >= m)
#endif

/*
 * code: dlock_grant_request, find_resource, dlock_transition_end_expired, grant_lease,
 * hold_more, strengthen, grant_hold
 */
inline request(s, c)
{
	SAY("session %d: asks, scope %d, mode %d\n", s, S[s].scope, S[s].mode);
	/* leases that have run out end first, unless there is a fence */
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
	:: S[s].scope == UPGRADE && (L[c].state == FREE || HOLD_COUNT(c) == 0 || L[c].ran_out) -> forget(s)
	:: S[s].scope != UPGRADE && L[c].state == FREE && !IN_THE_WAY(c, S[s].mode) ->
		L[c].state = PENDING; L[c].mode = S[s].mode;
		PROPERTY(NOT_BETWEEN, NO_COMMIT_UNDER_WAY(c, S[s].mode));
		grant_hold(s, c);
		serve()
	:: L[c].state != FREE && L[c].mode >= S[s].mode &&
		!(S[s].scope == UPGRADE && (HOLD_COUNT(c) == 0 || L[c].ran_out)) ->
		grant_hold(s, c);
		restart_clock(c)
	:: L[c].state != FREE && L[c].mode < S[s].mode && L[1 - c].state == FREE &&
		!(S[s].scope == UPGRADE && (HOLD_COUNT(c) == 0 || L[c].ran_out)) ->
		L[c].mode = EX;
		grant_hold(s, c);
		restart_clock(c);
		serve()
	:: else -> S[s].at = QUEUED
	fi
}

/*
 * An unacknowledged grant is undone.
 * code: abandon_request, dlock_grant_take_back, undo
 */
inline take_back(s, c)
{
	SAY("session %d: takes back\n", s, 0, 0);
	if
	:: S[s].stands && S[s].scope == UPGRADE ->
		forget(s);
		settle_mode(c)
	:: S[s].stands && S[s].scope != UPGRADE ->
		if
		:: S[s].scope == LEASE && S[s].mode == EX -> L[c].ex--
		:: S[s].scope == LEASE && S[s].mode == SH -> L[c].sh--
		:: else
		fi;
		need = (S[s].scope == TRANS -> 1 : 0);
		forget(s);
#ifdef F_TAKE_BACK_IGNORES_FENCES
		if
		:: HOLD_COUNT(c) > 0 -> set_mode(c)
		:: else
		fi;
#endif
		settle(c, need)
	:: else -> forget(s)
	fi
}

/*
 * The upgrade of a call that fails later is removed from the count, unless a
 * downgrade has undone it already.
 * code: dlock_change_lease, abandon_upgrade, dlock_grant_take_back, undo
 */
inline undo_upgrade(s, c)
{
	SAY("session %d: undoes its upgrade\n", s, 0, 0);
#ifdef F_UNDO_RESTORES
	need = 1;
	if :: S[s].stands -> L[c].upgrades = S[s].before :: else fi;
#else
#ifdef F_UNDO_TAKES_ANOTHERS
	need = (L[c].upgrades > 0 -> 1 : 0);
#else
	need = S[s].counted;
#endif
	if :: S[s].stands && need -> L[c].upgrades-- :: else fi;
#endif
	if
	:: S[s].stands && need -> forget(s); settle_mode(c)
	:: else -> forget(s)
	fi
}

#define me _pid
/* a lease that exists for commits alone cannot be upgraded */
#ifdef F_UPGRADE_OF_NOTHING
#define IS_THERE(s) true
#else
#define IS_THERE(s) (S[s].scope != UPGRADE || HOLD_COUNT(CLIENT(s)) > 0)
#endif
#define HAS_TIME(s) (S[s].at == IDLE || (S[s].at == BUSY && S[s].stands))

active [SESSIONS] proctype Backend()
{
	end:
	do
	:: atomic {
		S[me].at == IDLE ->
		if
		:: ROOM(CLIENT(me)) -> S[me].scope = LEASE
		:: MAY_USE_TRANS(me) -> S[me].scope = TRANS
		:: MAY_UPGRADE(me) && RUNNING(CLIENT(me)) -> S[me].scope = UPGRADE
		fi;
		if :: S[me].mode = EX :: S[me].scope != UPGRADE -> S[me].mode = SH fi;
		d_step { request(me, CLIENT(me)) }
	   }
	/* code: dlock_enqueue_leave */
	:: d_step { S[me].at == QUEUED -> forget(me) }
	:: d_step {
		S[me].at == GRANTED ->
		if
		:: S[me].stands && !L[CLIENT(me)].ran_out && IS_THERE(me) -> acknowledge(me, CLIENT(me))
		:: else -> take_back(me, CLIENT(me))
		fi
	   }
	:: d_step { S[me].at == GRANTED -> take_back(me, CLIENT(me)) }

	/* The upgrade's call returns or fails.  code: dlock_change_lease */
	:: d_step {
		S[me].at == UNSURE ->
		if
		:: S[me].counted && L[CLIENT(me)].upgrades > MAY_BE_UNDONE(CLIENT(me)) -> L[CLIENT(me)].upgrades--
		:: else
		fi;
		forget(me)
	   }
	:: d_step { S[me].at == UNSURE -> undo_upgrade(me, CLIENT(me)) }

	/*
	 * It fences the lease as it is now.
	 * code: dlock_fence_own, dlock_fence_token, fence_lease
	 */
	:: d_step {
		HAS_TIME(me) && S[me].fence == 0 && RUNNING(CLIENT(me)) ->
		S[me].at = BUSY; S[me].stands = 1;
		S[me].fence = L[CLIENT(me)].mode;
		SAY("session %d: fences, mode %d\n", me, S[me].fence, 0)
	   }

	/*
	 * It requests the release of the strongest hold that the client can
	 * release.  Its own hold of scope transaction ends with the transaction
	 * anyway.
	 * code: dlock_release_lease, dlock_xact_release, release_own,
	 * available_holds, ask_for_release
	 */
	:: d_step {
		CLIENT(me) == 0 && HAS_TIME(me) && S[me].ask == 0 && RUNNING(CLIENT(me)) &&
		(TOLD_EX(CLIENT(me)) > 0 || (TOLD_SH(CLIENT(me)) > 0 && S[me].mode != EX)) ->
		S[me].at = BUSY; S[me].stands = 1;
		S[me].ask = RELEASE;
		S[me].note = (TOLD_EX(CLIENT(me)) > 0 -> EX : SH);
		S[me].had = OWN_MODE(me, CLIENT(me));
		SAY("session %d: asks for the release of a hold of mode %d\n", me, S[me].note, 0)
	   }

	/*
	 * It requests a downgrade.
	 * code: dlock_change_at_commit, dlock_xact_downgrade
	 */
	:: d_step {
		CLIENT(me) == 0 && HAS_TIME(me) && S[me].ask == 0 && RUNNING(CLIENT(me)) &&
		L[CLIENT(me)].mode == EX ->
		S[me].at = BUSY; S[me].stands = 1;
		S[me].ask = DOWNGRADE;
		S[me].had = OWN_MODE(me, CLIENT(me));
		SAY("session %d: asks for a downgrade\n", me, 0, 0)
	   }

	/*
	 * PRE_COMMIT of a transaction that may have written something.  It depends
	 * on its hold and its fence.  If it has written something, it also depends
	 * on the lease that it releases or downgrades, in the mode that it had.
	 * If one of these is lost, the transaction is rolled back.
	 * code: keep_leases, is_relied_on, dlock_holding_keep
	 */
	:: atomic {
		S[me].at == BUSY ->
		if :: S[me].ask != 0 -> wrote = 1 :: wrote = 0 fi;
		d_step {
			/* need: what it depends on; m: what is checked */
			need = S[me].fence;
			if :: S[me].scope == TRANS -> need = STRONGER(need, S[me].mode) :: else fi;
			m = need;
			if
			:: wrote -> need = STRONGER(need, S[me].had); m = CHECKED_TOO(me)
			:: else
			fi;
			if
			/* nothing to check; the second only with a fault */
			:: m == 0 && need == 0 -> S[me].at = OVER
			:: m == 0 && need > 0 -> S[me].fence = need; S[me].at = CHECKED; S[me].stands = 0
			:: m > 0 && S[me].stands && RUNNING(CLIENT(me)) && MODE_COVERS(me) ->
				S[me].fence = need;
				L[CLIENT(me)].fences++;
				S[me].at = CHECKED;
				SAY("session %d: passes the check of PRE_COMMIT, mode %d, wrote %d\n", me, need, wrote)
			:: else -> S[me].fence = 0; S[me].ask = 0; S[me].note = 0; S[me].had = 0; S[me].at = OVER
			fi;
			wrote = 0
		}
	   }

	/* ROLLBACK.  code: at_abort */
	:: d_step { S[me].at == BUSY ->
		S[me].fence = 0; S[me].ask = 0; S[me].note = 0; S[me].had = 0; S[me].at = OVER }

	/*
	 * Its changes are visible from now on.  No other client may have been
	 * granted the resource before: it would have read the old data.
	 */
	:: d_step {
		S[me].at == CHECKED ->
		SAY("session %d: its changes are visible\n", me, 0, 0);
		PROPERTY(NOT_BETWEEN, !IN_THE_WAY(CLIENT(me), S[me].fence));
		S[me].at = OVER
	   }

	/* An error before that.  code: at_abort, drop_event */
	:: d_step { S[me].at == CHECKED -> S[me].ask = 0; S[me].note = 0; S[me].had = 0; S[me].at = OVER }

	/*
	 * The transaction's requests are carried out, in one lock hold each.  The
	 * release of a lease may come before or after the removal of the
	 * transaction's last fence.  code: at_commit, drop_event
	 */
	:: d_step {
		S[me].at == OVER && S[me].trans != 0 -> end_trans(me, CLIENT(me))
	   }
	:: d_step {
		S[me].at == OVER && S[me].trans == 0 && S[me].fence != 0 ->
		if :: S[me].stands -> let_go(me, CLIENT(me)) :: else fi;
		S[me].fence = 0
	   }
	:: d_step {
		S[me].at == OVER && S[me].ask != 0 ->
		if
		:: S[me].stands && S[me].ask == RELEASE -> release(me, CLIENT(me))
		:: S[me].stands && S[me].ask == DOWNGRADE -> downgrade(me, CLIENT(me))
		:: else
		fi;
		S[me].ask = 0; S[me].note = 0; S[me].had = 0;
		S[me].later_hold = 0; S[me].later_trans = 0; S[me].later_upgrade = 0
	   }
	:: d_step {
		S[me].at == OVER && S[me].trans == 0 && S[me].fence == 0 && S[me].ask == 0 -> forget(me)
	   }
#ifdef F_RELEASE_BEFORE_VISIBLE
	:: d_step {
		S[me].at == CHECKED && S[me].stands && S[me].ask == RELEASE ->
		L[CLIENT(me)].fences--;
		release(me, CLIENT(me)); S[me].stands = 0; S[me].ask = 0
	   }
#endif
	/* A renewal.  code: dlock_holding_renew */
	:: d_step { L[CLIENT(me)].ran_out == 0 && RUNNING(CLIENT(me)) && S[me].at == IDLE ->
		restart_clock(CLIENT(me)) }
	od
}

/*
 * Time and the monitor.
 * code: dlock_maintenance_expire, dlock_deadline_first, dlock_holding_force_release
 */
#define EXPIRY(c) \
	:: d_step { L[c].in_heap && !L[c].ran_out -> L[c].ran_out = 1 } \
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
#define FENCED(s) (S[s].stands && (S[s].at == CHECKED || S[s].at == OVER) && S[s].fence != 0 -> 1 : 0)
#define SOUND(c) \
	(L[c].state == FREE || \
	 ((HOLD_COUNT(c) > 0 || L[c].fences > 0) && \
	  (!L[c].ran_out || L[c].in_heap || L[c].fences > 0) && \
	  (L[c].in_heap || L[c].ran_out || TRANS_HOLDS(c) > 0 || TOLD_EX(c) + TOLD_SH(c) == 0) && \
	  L[c].upgrades >= MAY_BE_UNDONE(c)))

/* as strong as the strongest of its holds, or stronger under a fence */
#define IS_AS_STRONG(c) \
	(L[c].state == FREE || L[c].mode == HOLDS_MODE(c) || \
	 (L[c].mode > HOLDS_MODE(c) && L[c].fences > 0))

/* a waiter is kept out by a hold, an upgrade or a commit in progress */
#define KEPT_OUT(c, m) \
	(L[1 - (c)].state != FREE && (CONFLICT(HOLDS_MODE(1 - (c)), m) || L[1 - (c)].fences > 0))
#define SERVED(s) \
	(S[s].at != QUEUED || \
	 (L[CLIENT(s)].state == FREE -> KEPT_OUT(CLIENT(s), S[s].mode) : \
	  L[CLIENT(s)].mode < S[s].mode && L[1 - CLIENT(s)].state != FREE))

active proctype Watch()
{
	end:
	do
	:: d_step { !SOUND(0) || !SOUND(1) ||
				L[0].fences != FENCED(0) + FENCED(1) || L[1].fences != FENCED(2) ->
				PROPERTY(COUNTS, false) }
	:: d_step { !IS_AS_STRONG(0) || !IS_AS_STRONG(1) -> PROPERTY(HOLDS_DECIDE, false) }
	:: d_step { !SERVED(0) || !SERVED(1) || !SERVED(2) -> PROPERTY(LET_IN, false) }
	:: d_step { L[0].state != FREE && L[1].state != FREE && CONFLICT(L[0].mode, L[1].mode) ->
				PROPERTY(EXCLUSION, false) }
	od
}
