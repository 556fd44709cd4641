/*
 * durability.pml
 *	  What is acknowledged, what is durable, and what is there after a crash.
 *
 * One resource, two clients, the writer process with its batches, a crash.
 * Each atomic step is what the code does while it holds the partition lock
 * once (for the cut: all partition locks), or one write to the WAL.  The
 * comment "code:" names the functions that a step stands for; make lint checks
 * that they exist.
 *
 * Batches have no numbers here.  The model distinguishes three: those that are
 * durable (0), the one that the writer has cut and not published (1), and the
 * open one (2).  A cut turns 2 into 1, publishing turns 1 into 0.  That is
 * exact, because open_batch is never more than two ahead of durable_batch,
 * unless a writer fails; then its batch is published with the next one.  And
 * it makes the number of batches unlimited.
 *
 * Durable state is a prefix of the WAL.  All that matters of it is the table
 * as of the last commit in the prefix: "cut" is what the writer has collected
 * for its batch, "fl" is what is flushed.  A flush, by the writer or by a
 * commit of data, flushes everything before it.
 *
 * Each hold has its mode.  The model assumes that a client knows what its
 * sessions have released and downgraded: afterwards none of them believes that
 * it has more.
 *
 * Left out: the order of the queue (it is served by session number); what was
 * acknowledged between the call and the commit of a release or a downgrade;
 * durations (time may pass at any moment: a lease that can run out may do so
 * in any state); two resources (a cut takes all at once; see README.md);
 * running out under a fence and the order of steps in a commit (fences.pml);
 * standbys (replication.pml).
 *
 * Bounds: SESSIONS, the scopes and modes used, TOKENS, CRASHES; see
 * test/model/runs.txt.
 *
 * IDENTIFICATION
 *	  docs/model/durability.pml
 */
#ifndef SESSIONS
#define SESSIONS 2				/* 3: client 1 has two */
#endif
#ifndef TOKENS
#define TOKENS 3				/* no new lease once this many were granted */
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
/* which sessions use which scopes, besides scope lease */
#if SESSIONS == 2
#define MAY_USE_OFF(s) true
#define MAY_USE_TRANS(s) true
#else
#define MAY_USE_OFF(s) false
#define NO_QUEUE				/* a request that is not granted ends */
#ifdef NO_TRANS
#define MAY_USE_TRANS(s) false
#else
#define MAY_USE_TRANS(s) ((s) > 0)
#endif
#endif
#ifdef WITH_UPGRADE				/* dlock_set_options, if not blocked */
#define MAY_UPGRADE(s) true
#else
#define MAY_UPGRADE(s) false
#endif
#ifdef WITH_SESSION
#define MAY_USE_SESSION(s) true
#else
#define MAY_USE_SESSION(s) false
#endif
#ifndef BLOCK
#define BLOCK 2					/* tokens in a block */
#endif

/* which properties are checked: all, or the one that ONLY names */
#ifdef ONLY
#define PROPERTY(n, e) assert(ONLY != n || (e))
#else
#define PROPERTY(n, e) assert(e)
#endif
#ifndef SCRATCH
#define SCRATCH hidden			/* empty for a breadth-first search: Spin
								 * does not allow hidden variables there */
#endif
#ifdef STORY
#define SAY0(t)			printf(t)
#define SAY1(t, a)		printf(t, a)
#define SAY(t, a, b, c)	printf(t, a, b, c)
#else
#define SAY0(t)			skip
#define SAY1(t, a)		skip
#define SAY(t, a, b, c)	skip
#endif
#define EXCLUSION	1			/* no two clients believe that they hold it */
#define KEPT		2			/* what was acknowledged is there */
#define COMMITS		3			/* no later commit under a lower token */
#define RISING		4			/* tokens rise in the order of acknowledgement */
#define FLUSHED_1	5			/* claim 4: acknowledged, hence durable */
#define ENDS_7		7			/* claim 29: nothing over an undurable end */
#define ONE_MOMENT	8			/* no two conflicting rows are durable */

#define NOBODY 2
#define CLIENT(s) ((s) == 0 -> 0 : 1)

/* modes */
#define SH 1
#define EX 2
#define CONFLICT(a, b) ((a) == EX || (b) == EX)

/* scopes; OFF is scope lease under dlock.durable = off */
#define LEASE 1
#define OFF 2
#define TRANS 3
#define SESSION 4

/* states of a lease */
#define FREE 0
#define PENDING 1
#define HELD 2

/* where a session is */
#define IDLE 0
#define QUEUED 1				/* dlock_acquire_wait_in_queue */
#define GRANTED 2				/* dlock_acquire_wait_for_flush */
#define HOLDS 3					/* it has, or had, a lease with a token */
#define FENCED 4				/* between PRE_COMMIT and the commit record */
#define WRITTEN 5				/* the commit record is flushed */

/* batches */
#define DURABLE 0
#define CUT 1
#define OPEN 2

/* memory: the lease of each client */
typedef Lease
{
	byte		tok;
	unsigned	state : 2;
	unsigned	mode : 2;
	unsigned	plain : 3;		/* holds that a row shows */
	unsigned	ex : 3;			/* of these: exclusive */
	unsigned	row_mode : 2;	/* the mode that the row should have */
	bit			upgraded;		/* exclusive, whatever its holds */
	unsigned	trans : 3;		/* holds of scope transaction */
	unsigned	kept : 3;		/* holds that stop the clock */
	unsigned	fences : 2;
	bit			promised;		/* an acknowledgement depends on its row */
	bit			written;		/* its last copy in a cut shows it as held */
	unsigned	row : 2;		/* the batch that first shows what was promised */
	bit			shared;			/* was granted or made shared */
};
Lease L[2];
unsigned	ends : 2;			/* the batch that carries the newest end */
byte		next_token;
byte		token_limit = BLOCK;

/* rows: token, holds and mode in one byte; 0 none */
#define ROW(t, h, m) ((t) * 32 + (h) * 4 + (m))
#define ROW_TOKEN(r) ((r) / 32)
#define ROW_HOLDS(r) (((r) / 4) % 8)
#define ROW_MODE(r) ((r) % 4)
byte		cut[2];
byte		fl[2];
byte		cut_limit = BLOCK;
byte		fl_limit = BLOCK;

#ifdef F_HALF_A_CUT
bit			half;
#endif
#ifdef WITH_PARTS
bit			part;			/* a part was taken, and the batch is still open */
#endif
/* the writer: 0 nothing, 1 cut, 2 flushed */
unsigned	writer : 2;

/* sessions */
typedef Session
{
	unsigned	at : 3;
	unsigned	scope : 3;
	unsigned	mode : 2;		/* requested; later: as the session believes */
	bit			upgrading;		/* its upgrade was granted, and not acknowledged */
	byte		tok;
	unsigned	batch : 2;		/* to wait for */
	unsigned	fence : 2;		/* the mode that the commit depends on */
	bit			sure;			/* may believe that it holds the lease */
};
Session S[SESSIONS];

/* history */
byte		commit_token;		/* highest of an exclusive commit */
byte		acked;				/* highest acknowledged */
byte		crashes;
byte		granted;			/* how many tokens */

/* scratch: never read before it is written in the same step */
SCRATCH byte i;
SCRATCH byte j;
SCRATCH byte other;
SCRATCH byte before;
SCRATCH byte choice;
SCRATCH byte old;

/* code: dlock_batch_collect; each noted number of the batch changes */
inline turn(from, to)
{
	if :: L[0].row == from -> L[0].row = to :: else fi;
	if :: L[1].row == from -> L[1].row = to :: else fi;
	if :: ends == from -> ends = to :: else fi;
	i = 0;
	do
	:: i < SESSIONS ->
		if :: S[i].batch == from -> S[i].batch = to :: else fi;
		i++
	:: else -> break
	od;
	skip
}

/*
 * note_end notes for the resource that a row shows more than memory has.
 * code: dlock_pending_mark, note_end, dlock_ends_note
 */
inline note_end(c)
{
#ifndef F_NO_ENDS
	if :: L[c].written -> ends = OPEN :: else fi
#else
	skip
#endif
}

/*
 * check_acknowledged: what must be true when a hold is acknowledged to a
 * session.  FLUSHED_1 leaves out dlock.durable = off and scope transaction,
 * which do not promise it.
 */
inline check_acknowledged(s, c, first)
{
	other = 1 - c;
	i = 0;
	do
	:: i < SESSIONS ->
		PROPERTY(EXCLUSION, !(CLIENT(i) == other && S[i].sure &&
							  CONFLICT(S[i].mode, S[s].mode)));
		i++
	:: else -> break
	od;
	PROPERTY(FLUSHED_1, S[s].scope == TRANS || S[s].scope == OFF ||
			 (ROW_TOKEN(fl[c]) == S[s].tok && ROW_MODE(fl[c]) >= S[s].mode));
	PROPERTY(ENDS_7, fl[other] == 0 ||
			 !CONFLICT(ROW_MODE(fl[other]), S[s].mode));
	PROPERTY(ENDS_7, fl[c] == 0 || ROW_TOKEN(fl[c]) == S[s].tok ||
			 !CONFLICT(ROW_MODE(fl[c]), S[s].mode));
	if
	/* a shared lease that becomes exclusive keeps its token */
	:: first && S[s].mode == EX && !L[c].shared ->
		PROPERTY(RISING, S[s].tok > acked)
	:: first && S[s].mode == SH ->
		PROPERTY(RISING, S[s].tok > commit_token)
	:: else
	fi;
	if :: S[s].tok > acked -> acked = S[s].tok :: else fi
}

/*
 * acknowledge reports a hold to its session.
 * code: dlock_grant_acknowledge, acknowledge, still_granted, dlock_lease_tell
 */
inline acknowledge(s, c)
{
	before = L[c].state;
	L[c].state = HELD;
	S[s].at = HOLDS;
	S[s].sure = 1;
	S[s].batch = DURABLE;
	if
	:: S[s].upgrading -> S[s].upgrading = 0; S[s].mode = EX; L[c].upgraded = 1
	:: else
	fi;
	SAY("session %d: acknowledged token %d mode %d\n", s, S[s].tok, S[s].mode);
	check_acknowledged(s, c, before == PENDING)
}

/* Its row must be durable before an acknowledgement.  code: dlock_lease_add_hold */
inline promise(c)
{
	if :: !L[c].promised -> L[c].promised = 1; L[c].row = OPEN :: else fi
}

/*
 * grant_hold counts one more hold.
 * code: dlock_lease_add_hold, dlock_holds_add, grant_hold, give
 */
inline grant_hold(s, c, queued, again)
{
	S[s].tok = L[c].tok;
	if
	:: S[s].scope == TRANS -> L[c].trans++; L[c].kept++
	:: S[s].scope == SESSION -> L[c].plain++; L[c].kept++; promise(c)
	:: S[s].scope == LEASE -> L[c].plain++; promise(c)
	:: S[s].scope == OFF -> L[c].plain++
	fi;
	if
	:: S[s].scope != TRANS && S[s].mode == EX -> L[c].ex++; L[c].row_mode = EX
	:: else
	fi;
	wait_for(s, c, queued, again)
}

/*
 * wait_for sets the batch that a hold or an upgrade waits for.
 * code: dlock_lease_hold_batch
 */
inline wait_for(s, c, queued, again)
{
	S[s].batch = DURABLE;
#ifdef F_HANDOVER_BEFORE_FLUSH
	if :: !(queued) -> S[s].batch = ends :: else fi;
#else
#ifdef F_REENTRANT_AT_ONCE
	if :: !(again) -> S[s].batch = ends :: else fi;
#else
#ifndef F_NO_ENDS
	S[s].batch = ends;
#endif
#endif
#endif
	if
#ifndef F_ACK_BEFORE_FLUSH
#ifdef F_UPGRADE_AT_ONCE
	:: (S[s].scope == LEASE || S[s].scope == SESSION) && L[c].plain > 0 && !S[s].upgrading ->
		S[s].batch = OPEN
#else
	:: (S[s].scope == LEASE || S[s].scope == SESSION) && L[c].plain > 0 -> S[s].batch = OPEN
#endif
#endif
#ifndef F_UNDURABLE_TOKENS
	:: L[c].tok > token_limit -> S[s].batch = OPEN
#endif
	:: else
	fi;
	S[s].at = GRANTED;
	SAY("session %d: granted token %d, waits for batch %d\n", s, S[s].tok, S[s].batch);
	if
	:: S[s].batch == DURABLE && !(queued) -> acknowledge(s, c)
	:: else
	fi
}

/* code: dlock_lease_prepare, dlock_lease_grant */
inline grant(s, c)
{
	granted++;
	next_token++;
	assert(next_token < 8);
	L[c].tok = next_token;
	L[c].state = PENDING;
	L[c].mode = S[s].mode;
	L[c].row_mode = SH;
	L[c].promised = 0;
	L[c].shared = (S[s].mode == SH -> 1 : 0)
}

/* code: dlock_lease_conflicts, dlock_lease_of_client */
#define IN_THE_WAY(c, m) (L[1 - (c)].state != FREE && CONFLICT(L[1 - (c)].mode, m))

/*
 * serve grants what the waiters in the queue may have now.  One that would
 * need a token beyond the bound of the model stays there.
 * code: dlock_transition_serve_queue, serve_head, serve_also, share, dlock_transition_serve_client,
 * promote, dlock_lease_strengthen
 */
inline serve()
{
	j = 0;
	do
	:: j < SESSIONS ->
		if
		:: S[j].at == QUEUED && L[CLIENT(j)].state != FREE &&
			(L[CLIENT(j)].mode >= S[j].mode || L[1 - CLIENT(j)].state == FREE) ->
			if
			:: L[CLIENT(j)].mode < S[j].mode -> L[CLIENT(j)].mode = S[j].mode
			:: else
			fi;
			grant_hold(j, CLIENT(j), true, true)
		:: S[j].at == QUEUED && L[CLIENT(j)].state == FREE &&
			!IN_THE_WAY(CLIENT(j), S[j].mode) && granted < TOKENS ->
			grant(j, CLIENT(j));
			grant_hold(j, CLIENT(j), true, false)
		:: else
		fi;
		j++
	:: else -> break
	od;
	skip
}

/* code: dlock_transition_end, dlock_slots_put_lease, demote */
inline end_lease(c)
{
	note_end(c);
	SAY("lease of client %d, token %d ends; ends %d\n", c, L[c].tok, ends);
	L[c].tok = 0; L[c].state = FREE; L[c].mode = 0; L[c].plain = 0;
	L[c].trans = 0; L[c].kept = 0; L[c].promised = 0; L[c].written = 0;
	L[c].ex = 0; L[c].row_mode = 0; L[c].upgraded = 0;
	L[c].row = DURABLE; L[c].shared = 0;
	serve()
}

/*
 * What a lease has, by mode.  A hold whose request still waits for its batch
 * is not acknowledged.
 * code: find_hold, dlock_holds_tell
 */
#define KNOWS(s, c) (CLIENT(s) == c && S[s].tok == L[c].tok && S[s].at >= GRANTED)
#define IS_TRANS_EX(s, c) (KNOWS(s, c) && S[s].scope == TRANS && S[s].mode == EX)
#define IS_UNTOLD_EX(s, c) \
	(KNOWS(s, c) && S[s].at == GRANTED && S[s].scope != TRANS && !S[s].upgrading && S[s].mode == EX -> 1 : 0)
#define IS_UNTOLD_SH(s, c) \
	(KNOWS(s, c) && S[s].at == GRANTED && S[s].scope != TRANS && !S[s].upgrading && S[s].mode == SH -> 1 : 0)
#define IS_UPGRADING(s, c) (KNOWS(s, c) && S[s].upgrading)
#if SESSIONS == 2
#define ANY(p, c) (p(0, c) || p(1, c))
#define COUNT(p, c) (p(0, c) + p(1, c))
#else
#define ANY(p, c) (p(0, c) || p(1, c) || p(2, c))
#define COUNT(p, c) (p(0, c) + p(1, c) + p(2, c))
#endif

/* code: dlock_hold_modes_row, dlock_hold_modes_strongest, strongest */
#define HOLDS_ROW_MODE(c) (L[c].ex > 0 || L[c].upgraded || ANY(IS_UPGRADING, c) -> EX : SH)
#define HOLDS_MODE(c) (HOLDS_ROW_MODE(c) == EX || ANY(IS_TRANS_EX, c) -> EX : SH)

#ifdef F_ROW_MODE_LATE
#define ROW_MODE_MAY_CHANGE(c) (L[c].fences == 0)
#else
#define ROW_MODE_MAY_CHANGE(c) true
#endif

/*
 * lower ends the belief of a client's sessions in exclusive mode, once the
 * client has released its exclusive holds or made them shared.
 */
inline lower(c)
{
	if
	:: L[c].ex == COUNT(IS_UNTOLD_EX, c) && !L[c].upgraded ->
		i = 0;
		do
		:: i < SESSIONS ->
			if
			:: KNOWS(i, c) && S[i].scope != TRANS && S[i].mode == EX &&
				(S[i].at > GRANTED || S[i].upgrading) -> S[i].mode = SH
			:: else
			fi;
			i++
		:: else -> break
		od
	:: else
	fi
}

/*
 * settle_mode makes a lease as weak as its holds allow, or leaves that to the
 * removal of the last fence; the mode for the row becomes weaker at once.
 * code: dlock_transition_settle_mode, dlock_lease_settle_row_mode
 */
inline settle_mode(c)
{
	if
	:: L[c].row_mode > HOLDS_ROW_MODE(c) && ROW_MODE_MAY_CHANGE(c) ->
		L[c].row_mode = SH;
#ifndef F_WEAKENING_NOT_NOTED
		note_end(c);
#endif
		SAY1("the row of client %d is to be shared\n", c)
	:: else
	fi;
	if
	:: L[c].fences == 0 && L[c].mode > HOLDS_MODE(c) ->
		L[c].mode = SH;
		L[c].shared = 1;
		SAY1("lease of client %d made shared\n", c);
		serve()
	:: else
	fi
}

/*
 * unsure ends the belief of a client's sessions that they hold the lease,
 * except for one scope: its time is over, an administrator took the lease
 * away, or the client has released as many holds as it has.
 */
inline unsure(c, but)
{
	i = 0;
	do
	:: i < SESSIONS ->
		if
		:: CLIENT(i) == c && S[i].tok == L[c].tok && S[i].scope != but ->
			S[i].sure = 0
		:: else
		fi;
		i++
	:: else -> break
	od;
	skip
}

/*
 * settle does what follows the end of a hold; the lease ends with its last
 * one.
 * code: dlock_transition_settle
 */
inline settle(c)
{
	if
	:: L[c].plain == 0 -> unsure(c, TRANS)
	:: else
	fi;
	if
	:: L[c].plain + L[c].trans == 0 && L[c].fences == 0 -> end_lease(c)
	:: else ->
		if
		:: L[c].plain == 0 ->
			/* the remaining holds need no row */
			L[c].promised = 0; L[c].row = DURABLE;
			if :: L[c].trans == 0 -> L[c].upgraded = 0 :: else fi;
#ifndef F_ENDS_IF_DURABLE
			note_end(c)
#endif
		:: else
		fi;
		settle_mode(c)
	fi
}

/*
 * drop_hold removes a hold that ends, or that a session releases: that is the
 * strongest one that was acknowledged.
 * code: dlock_holds_end_transaction, dlock_holds_end_session,
 * dlock_holds_release, release_own, release_others
 */
inline drop_hold(s, c)
{
	if
	:: S[s].scope == TRANS -> L[c].trans--; L[c].kept--
	:: S[s].scope != TRANS && L[c].plain > COUNT(IS_UNTOLD_EX, c) + COUNT(IS_UNTOLD_SH, c) ->
		if
		:: S[s].scope == SESSION && L[c].kept > L[c].trans -> L[c].kept--
		:: else
		fi;
		L[c].plain--;
		if :: L[c].ex > COUNT(IS_UNTOLD_EX, c) -> L[c].ex-- :: else fi
	:: else
	fi;
	S[s].tok = 0;
	lower(c);
	settle(c)
}

/*
 * downgrade makes the lease and its acknowledged holds shared.
 * code: dlock_holding_downgrade, dlock_holds_weaken, dlock_lease_downgrade
 */
inline downgrade(c)
{
	L[c].upgraded = 0;
	L[c].ex = COUNT(IS_UNTOLD_EX, c);
	i = 0;
	do
	:: i < SESSIONS ->
		if
		:: IS_TRANS_EX(i, c) && S[i].at > GRANTED -> S[i].mode = SH
		:: else
		fi;
		i++
	:: else -> break
	od;
	lower(c);
	settle_mode(c)
}

/* code: dlock_lookup_stands; the lease that the session refers to */
#define IS_MINE(s) (L[CLIENT(s)].state != FREE && L[CLIENT(s)].tok == S[s].tok)
#define HOLD_COUNT(c) (L[c].plain + L[c].trans)
/* code: dlock_lookup_runs */
#define IS_RUNNING(s) (IS_MINE(s) && L[CLIENT(s)].state == HELD && HOLD_COUNT(CLIENT(s)) > 0)

inline forget(s)
{
	S[s].at = IDLE; S[s].scope = 0; S[s].mode = 0; S[s].tok = 0;
	S[s].batch = DURABLE; S[s].upgrading = 0; S[s].fence = 0; S[s].sure = 0
}

/* A request with the scope and mode that are set.
 * code: dlock_grant_request, grant_lease, hold_more, strengthen, dlock_enqueue_request */
inline request(s, c)
{
	if
	:: L[c].state != FREE && L[c].mode >= S[s].mode ->
		grant_hold(s, c, false, true)
	:: L[c].state != FREE && L[c].mode < S[s].mode && L[1 - c].state == FREE ->
		L[c].mode = EX;
		grant_hold(s, c, false, true);
		serve()
	:: L[c].state == FREE && !IN_THE_WAY(c, S[s].mode) ->
		grant(s, c);
		grant_hold(s, c, false, false);
		serve()
#ifdef NO_QUEUE
	:: else -> forget(s)
#else
	:: else -> S[s].at = QUEUED
#endif
	fi
}

/*
 * An upgrade: not a hold, but the lease is as strong as if it had one more.
 * code: dlock_change_lease, upgrade, hold_more, strengthen, dlock_lease_add_hold
 */
inline upgrade(s, c)
{
	S[s].upgrading = 1;
	L[c].mode = EX;
	L[c].row_mode = EX;
	if :: L[c].plain > 0 && S[s].scope != OFF -> promise(c) :: else fi;
	wait_for(s, c, false, true);
	serve()
}

/* code: dlock_grant_take_back, undo, dlock_holds_take_back */
inline take_back(s, c)
{
	if
	:: S[s].upgrading ->
		S[s].upgrading = 0; S[s].at = HOLDS; S[s].batch = DURABLE;
		if :: IS_MINE(s) -> settle_mode(c) :: else fi
	:: !S[s].upgrading && IS_MINE(s) ->
		if
		:: S[s].scope == TRANS -> L[c].trans--; L[c].kept--
		:: S[s].scope != TRANS ->
			L[c].plain--;
			if :: S[s].mode == EX -> L[c].ex-- :: else fi;
			if :: S[s].scope == SESSION -> L[c].kept-- :: else fi
		fi;
		forget(s);
		settle(c)
	:: else -> forget(s)
	fi
}

#define KEEP_HOLD 0
#define DROP_HOLD 1
#define DOWNGRADE 2

/* code: at_commit, drop_event, dlock_holding_let_go, last_fence_gone,
 * dlock_holding_release, dlock_holding_end_transaction */
inline commit_done(s, c)
{
	SAY("session %d: COMMIT, then %d\n", s, choice, 0);
	L[c].fences--;
	S[s].at = HOLDS;
	if
	:: L[c].fences == 0 && L[c].plain + L[c].trans > 0 -> settle_mode(c)
	:: L[c].fences == 0 && L[c].plain + L[c].trans == 0 -> end_lease(c)
	:: else
	fi;
	if
	:: choice == KEEP_HOLD || !IS_MINE(s)
	:: choice == DROP_HOLD && IS_MINE(s) -> drop_hold(s, c)
	:: choice == DOWNGRADE && IS_MINE(s) -> downgrade(c)
	fi;
	if :: choice == DROP_HOLD -> forget(s) :: else fi
}

/*
 * tidy lets a client forget a token that is neither in memory nor in a row:
 * nothing that it could try with that token has any effect.  Fewer states.
 */
inline tidy()
{
	i = 0;
	do
	:: i < SESSIONS ->
		other = CLIENT(i);
		if
		:: S[i].at == HOLDS && !S[i].sure && !IS_MINE(i) &&
			(crashes == CRASHES || (ROW_TOKEN(fl[other]) != S[i].tok &&
									ROW_TOKEN(cut[other]) != S[i].tok)) ->
			forget(i)
		:: else
		fi;
		i++
	:: else -> break
	od;
	skip
}

#if SESSIONS == 2
#define FIRST_COME(s) ((s) == 0 || granted > 0)
#else
#define FIRST_COME(s) ((s) < 2 || S[1].at != IDLE)
#endif

/* the first processes, so their numbers are those of the sessions */
#define me _pid
active [SESSIONS] proctype Backend()
{
	end:
	do
	/* A request of any scope and mode arrives.  code: dlock_acquire_lease */
	:: atomic {
		S[me].at == IDLE && (granted < TOKENS || L[CLIENT(me)].state != FREE) &&
		/* clients are alike, and so are sessions: the first comes first */
		FIRST_COME(me) ->
		if
		:: S[me].scope = LEASE
		:: MAY_USE_OFF(me) -> S[me].scope = OFF
		:: MAY_USE_TRANS(me) -> S[me].scope = TRANS
		:: MAY_USE_SESSION(me) -> S[me].scope = SESSION
		fi;
		if
		:: S[me].mode = EX
#ifndef NO_SHARED
		:: S[me].mode = SH
#endif
		fi;
		d_step { SAY("session %d: asks, scope %d mode %d\n", me, S[me].scope, S[me].mode);
				 request(me, CLIENT(me)) }
	   }

	/* It leaves the queue.  code: dlock_enqueue_leave */
	:: d_step { S[me].at == QUEUED -> forget(me) }

	/* Its batch is durable.  code: dlock_acquire_wait_for_flush, dlock_grant_acknowledge */
	:: d_step {
		S[me].at == GRANTED && S[me].batch == DURABLE ->
		if
		:: IS_MINE(me) && HOLD_COUNT(CLIENT(me)) > 0 -> acknowledge(me, CLIENT(me))
		:: else -> take_back(me, CLIENT(me))
		fi;
		tidy()
	   }

	/* It gives up first.  code: abandon_request, dlock_grant_take_back */
	:: d_step { S[me].at == GRANTED ->
				SAY1("session %d: takes back\n", me);
				take_back(me, CLIENT(me)); tidy() }

	/*
	 * PRE_COMMIT of a transaction that has written under the lease: a hold of
	 * scope transaction, a fence, or a release.
	 * code: keep_leases, dlock_holding_keep, fence_lease
	 */
	:: d_step {
		S[me].at == HOLDS && IS_RUNNING(me) && L[CLIENT(me)].mode >= S[me].mode ->
		SAY1("session %d: PRE_COMMIT\n", me);
		L[CLIENT(me)].fences++;
		S[me].fence = L[CLIENT(me)].mode;
#if !defined(F_NO_ENDS) && !defined(F_COMMIT_AT_ONCE)
		if :: S[me].fence == EX -> S[me].batch = ends :: else fi;
#endif
		S[me].at = FENCED
	   }

	/* The commit record, inserted and flushed.  code: keep_leases */
	:: d_step {
		S[me].at == FENCED && S[me].batch == DURABLE ->
		SAY("session %d: commit record, token %d mode %d\n", me, S[me].tok, S[me].fence);
		PROPERTY(COMMITS, S[me].tok >= commit_token);
		if :: S[me].fence == EX -> commit_token = S[me].tok :: else fi;
		S[me].fence = 0;
		S[me].at = WRITTEN
	   }

	/* COMMIT: the changes are visible; holds and releases take effect. */
	:: atomic {
		S[me].at == WRITTEN ->
		if
		:: S[me].scope != TRANS -> choice = KEEP_HOLD
		:: S[me].scope != TRANS && L[CLIENT(me)].mode == EX ->
			choice = DOWNGRADE
		:: choice = DROP_HOLD
		fi;
		d_step { commit_done(me, CLIENT(me)); tidy() }
	   }

	/*
	 * The end of a transaction that has written nothing, or is rolled back,
	 * or of the session; a release.
	 * code: at_abort, dlock_session_holds_end, dlock_holding_end_session
	 */
	:: d_step {
		S[me].at == HOLDS ->
		SAY1("session %d: gives back\n", me);
		if
		:: IS_MINE(me) -> drop_hold(me, CLIENT(me))
		:: else
		fi;
		forget(me);
		tidy()
	   }

	/*
	 * It makes its lease exclusive.
	 * code: dlock_set_options, dlock_grant_request
	 */
	:: d_step {
		MAY_UPGRADE(me) && S[me].at == HOLDS && IS_RUNNING(me) && S[me].sure &&
		S[me].scope != TRANS && L[1 - CLIENT(me)].state == FREE ->
		SAY1("session %d: upgrades\n", me);
		upgrade(me, CLIENT(me))
	   }

	/*
	 * A client that is not sure renews.  The answer waits for the row.
	 * code: dlock_renew_lease, dlock_holding_renew
	 */
	:: d_step {
		S[me].at == HOLDS && !S[me].sure && IS_RUNNING(me) &&
		L[CLIENT(me)].plain > 0 && !L[CLIENT(me)].promised &&
		(S[me].scope == LEASE || S[me].scope == SESSION) ->
		promise(CLIENT(me))
	   }
	/* a session with a hold of scope transaction may renew what others hold */
	:: d_step {
		S[me].at == HOLDS && S[me].scope == TRANS && IS_RUNNING(me) &&
#ifndef F_RENEW_AT_ONCE
		L[CLIENT(me)].promised && L[CLIENT(me)].row == DURABLE &&
#endif
		L[CLIENT(me)].plain > 0 ->
		PROPERTY(FLUSHED_1, ROW_TOKEN(fl[CLIENT(me)]) == S[me].tok)
	   }
	:: d_step {
#ifndef F_RENEW_AT_ONCE
		(S[me].scope == OFF ||
		 (L[CLIENT(me)].promised && L[CLIENT(me)].row == DURABLE)) &&
#endif
		L[CLIENT(me)].plain > 0 &&
		S[me].at == HOLDS && !S[me].sure && S[me].scope != TRANS &&
		IS_RUNNING(me) && L[CLIENT(me)].mode >= S[me].mode ->
		S[me].sure = 1;
		SAY("session %d: renews token %d\n", me, S[me].tok, 0);
		check_acknowledged(me, CLIENT(me), false)
	   }
	od
}

#ifdef F_ROW_HAS_LEASE_MODE
#define COPIED_MODE(c) L[c].mode
#else
#define COPIED_MODE(c) L[c].row_mode
#endif

/* code: take_slots, copy_slot, extend_tokens; bit c of "old" says whether a
 * lease of client c that was taken durable = off is old enough */
inline collect()
{
#ifdef F_HALF_A_CUT
	j = half; half = 0;
#else
	j = 0;
#endif
	do
	:: j < 2 ->
		if
		:: L[j].state != FREE && L[j].plain > 0 &&
			(L[j].promised || L[j].written || ((old >> j) & 1)) ->
			cut[j] = ROW(L[j].tok, L[j].plain, COPIED_MODE(j))
		:: else -> cut[j] = 0
		fi;
#ifndef F_WRITTEN_WHEN_PUBLISHED
		L[j].written = (cut[j] != 0 -> 1 : 0);
#endif
		j++
	:: else -> break
	od;
	if
	:: next_token + BLOCK / 2 >= token_limit -> cut_limit = next_token + BLOCK
	:: else -> cut_limit = token_limit
	fi;
	SAY("writer: cut, rows %d %d old %d\n", cut[0], cut[1], old);
	turn(OPEN, CUT);
#ifdef WITH_PARTS
	part = 0;
#endif
	writer = 1
}

#define YOUNG(c) (L[c].plain > 0 && !L[c].promised && !L[c].written)

/* code: dlock_write_batch */
active proctype Writer()
{
	end:
	do
#ifdef F_HALF_A_CUT
	/* slot 0 is copied before the others, under another lock */
	:: d_step {
		writer == 0 && !half -> half = 1;
		cut[0] = (L[0].state != FREE && L[0].plain > 0 ->
				  ROW(L[0].tok, L[0].plain, COPIED_MODE(0)) : 0);
		if :: cut[0] != 0 -> L[0].written = 1 :: else fi
	   }
#endif
#ifdef WITH_PARTS
	/*
	 * A part that has slot 0 in it.  If the slot changes before the cut, it is
	 * copied again; so the cut below copies every slot, and all that lasts of
	 * this copy is "written".  A writer that fails here has no effect.
	 * code: dlock_batch_collect, take_slots
	 */
	:: d_step {
		writer == 0 && !part -> part = 1;
		L[0].written = (L[0].state != FREE && L[0].plain > 0 &&
						(L[0].promised || L[0].written) -> 1 : 0)
	   }
	:: d_step {
		writer == 0 && !part && L[0].state != FREE && YOUNG(0) -> part = 1;
		L[0].written = 1
	   }
#endif
	/* code: dlock_batch_collect */
	:: atomic {
		writer == 0 ->
		if
		:: old = 0
		:: YOUNG(0) -> old = 1
		:: YOUNG(1) -> old = 2
		:: YOUNG(0) && YOUNG(1) -> old = 3
		fi;
		d_step { collect() }
	   }

	/*
	 * The commit record of the batch is flushed, by the writer or by another
	 * process's commit.  code: dlock_store_write, end_durably
	 */
	:: d_step {
		writer == 1 ->
		SAY0("writer: flushed\n");
		fl[0] = cut[0]; fl[1] = cut[1]; fl_limit = cut_limit;
		cut[0] = 0; cut[1] = 0;
		writer = 2;
		tidy()
	   }

	/* code: raise_tokens, dlock_pending_publish */
	:: d_step {
#ifdef F_PUBLISH_BEFORE_FLUSH
		writer == 1 || writer == 2 ->
#else
		writer == 2 ->
#endif
#ifdef F_WRITTEN_WHEN_PUBLISHED
		j = 0;
		do
		:: j < 2 ->
			if
			:: fl[j] != 0 && L[j].state != FREE && L[j].tok == ROW_TOKEN(fl[j]) ->
				L[j].written = 1
			:: else
			fi;
			j++
		:: else -> break
		od;
#endif
		SAY0("writer: publishes\n");
		token_limit = cut_limit;
		turn(CUT, DURABLE);
		cut[0] = 0; cut[1] = 0;
		writer = 0;
		tidy()
	   }

	/*
	 * It fails; the next writer writes all rows anew.
	 * code: dlock_load_all, dlock_pending_mark_all
	 */
	:: d_step {
		writer > 0 ->
		cut[0] = 0; cut[1] = 0; cut_limit = token_limit;
		writer = 0;
		tidy()
	   }
	od
}

/*
 * Time, or an administrator.  A lease that is PENDING, or kept by a session or
 * transaction, ends by force only.  Both end the client's belief that it holds
 * the lease: the model assumes that it watches its clock.
 * code: dlock_maintenance_expire, dlock_transition_end_expired, dlock_holding_force_release
 */
active proctype Monitor()
{
	end:
	do
	:: d_step { L[0].state != FREE && L[0].fences == 0 ->
				unsure(0, 0); end_lease(0); tidy() }
	:: d_step { L[1].state != FREE && L[1].fences == 0 ->
				unsure(1, 0); end_lease(1); tidy() }
	od
}

/*
 * The server crashes, and all leases are loaded before anything else happens.
 * All holds of a lease have the mode of its row then.
 * code: load_lease, dlock_maintenance_restore, dlock_holds_restore,
 * dlock_maintenance_start_clocks
 */
active proctype Crash()
{
	end:
	do
	:: d_step {
		crashes < CRASHES ->
		SAY0("crash, restart\n");
		crashes++;
		PROPERTY(ONE_MOMENT, fl[0] == 0 || fl[1] == 0 ||
				 !CONFLICT(ROW_MODE(fl[0]), ROW_MODE(fl[1])));
		j = 0;
		do
		:: j < 2 ->
			L[j].tok = ROW_TOKEN(fl[j]);
			L[j].state = (fl[j] != 0 -> HELD : FREE);
			L[j].mode = ROW_MODE(fl[j]);
			L[j].plain = ROW_HOLDS(fl[j]);
			L[j].trans = 0; L[j].kept = 0; L[j].fences = 0; L[j].promised = (fl[j] != 0 -> 1 : 0);
			L[j].row = DURABLE; L[j].shared = 0; L[j].upgraded = 0;
			L[j].row_mode = L[j].mode;
#ifdef F_RESTORED_AS_SHARED
			L[j].ex = 0;
#else
			L[j].ex = (L[j].mode == EX -> L[j].plain : 0);
#endif
#ifdef F_RESTORED_NOT_WRITTEN
			L[j].written = 0;
#else
			L[j].written = (fl[j] != 0 -> 1 : 0);
#endif
			cut[j] = 0;
			j++
		:: else -> break
		od;
		ends = DURABLE;
		next_token = fl_limit;
		token_limit = fl_limit; cut_limit = fl_limit;
#ifdef WITH_PARTS
		part = 0;
#endif
		writer = 0;
		j = 0;
		do
		:: j < SESSIONS ->
			if
			:: (S[j].at < HOLDS && !S[j].upgrading) || S[j].scope == TRANS -> forget(j)
			:: else ->
				S[j].upgrading = 0;
				S[j].at = HOLDS; S[j].batch = DURABLE; S[j].fence = 0;
				if
				:: S[j].scope == OFF -> S[j].sure = 0
				:: S[j].scope == SESSION -> S[j].scope = LEASE
				:: else
				fi;
				PROPERTY(KEPT, !S[j].sure || (L[CLIENT(j)].tok == S[j].tok &&
											  L[CLIENT(j)].mode >= S[j].mode))
			fi;
			j++
		:: else -> break
		od;
		tidy()
	   }
	od
}
