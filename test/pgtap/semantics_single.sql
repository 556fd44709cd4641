--
-- What one transaction sees of the rules: tokens, re-entrancy, modes, what is
-- at once and what is at commit.  (What happens at commit is in sql/*.sql.)
-- Re-entrancy with a second token, or a release that does not wait for the
-- commit, would show here.
--
\set QUIET 1
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
\pset pager off

BEGIN;
SELECT plan(41);

SET LOCAL dlock.client = 't_single_a';
SET LOCAL dlock.default_ttl = '1h';

CREATE FUNCTION pg_temp.take(resource text, mode text DEFAULT 'exclusive', client text DEFAULT NULL) RETURNS bigint
LANGUAGE sql AS $$ SELECT dlock_try_acquire($1, mode := $2, scope := 'transaction', client := $3) $$;

-- tokens
SELECT pg_temp.take('t_single:1') AS t1 \gset
SELECT pg_temp.take('t_single:2') AS t2 \gset
SELECT pg_temp.take('t_single:3', client := 't_single_b') AS t3 \gset
SELECT ok(:t1 > 0, 'a token is positive');
SELECT ok(:t2 > :t1, 'the next is higher');
SELECT ok(:t3 > :t2, 'also for another client');

-- re-entrancy
SELECT is(pg_temp.take('t_single:1'), :t1::bigint, 'again: the same token');
SELECT is(pg_temp.take('t_single:1', 'shared'), :t1::bigint, 'again in a weaker mode: the same token');
SELECT is(pg_temp.take('t_single:1', client := 't_single_b'), NULL, 'not for another client');
SELECT is(pg_temp.take('t_single:1', 'shared', 't_single_b'), NULL, 'not even shared');
SELECT results_eq($$ SELECT token, mode, scope, hold_count FROM dlock_list('t_single_a') WHERE resource = 't_single:1' $$,
                  format($$ VALUES (%s::bigint, 'exclusive', 'transaction', 3) $$, :t1), 'holds are counted');

-- modes: held, wanted, by another, by the same
CREATE TEMP TABLE matrix AS
    SELECT format('t_single:%s/%s', held, wanted) AS name, held, wanted, other_may
      FROM (VALUES ('shared', 'shared', true), ('shared', 'exclusive', false),
                   ('exclusive', 'shared', false), ('exclusive', 'exclusive', false)) AS v (held, wanted, other_may);
SELECT isnt(pg_temp.take(name, held), NULL, format('%s on a free resource', held)) FROM matrix;
SELECT is(pg_temp.take(name, wanted, 't_single_b') IS NOT NULL, other_may,
          format('%s beside %s of another', wanted, held)) FROM matrix;
SELECT dlock_set_options(name, priority := 1) FROM matrix \g /dev/null
SELECT is(pg_temp.take(name, wanted), token, format('%s after one''s own %s', wanted, held))
  FROM matrix, LATERAL (SELECT token FROM dlock_list('t_single_a') WHERE resource = name) AS l;
SELECT is(s.status, CASE WHEN held = 'shared' AND wanted = 'shared' THEN 'shared' ELSE 'exclusive' END,
          format('%s and %s make it what it is', held, wanted))
  FROM matrix, LATERAL dlock_status(name) AS s;

-- release: asked for now, done at commit
SELECT is(dlock_release('t_single:2', :t1), false, 'not with the token of another resource');
SELECT is(dlock_release('t_single:2', client := 't_single_b'), false, 'not by another client');
SELECT is(dlock_release('t_single:2', :t2), true, 'with its own token');
SELECT is(dlock_release('t_single:2'), false, 'not twice');
SELECT is((SELECT status FROM dlock_status('t_single:2')), 'exclusive', 'still held');
SELECT is(pg_temp.take('t_single:2', client := 't_single_b'), NULL, 'nobody else gets it before the commit');
SELECT is(dlock_release('t_single:never'), false, 'what was never held');
SELECT is(dlock_release_all(client := 't_single_stranger'), 0::bigint, 'all of a stranger''s');

-- a lease with a time: its clock
SELECT dlock_acquire('t_single:time', ttl := '10 min', scope := 'transaction') AS t4 \gset
SELECT results_eq($$ SELECT remaining BETWEEN '9 min' AND '10 min', expires_at - clock_timestamp() BETWEEN '9 min' AND '10 min'
                       FROM dlock_status('t_single:time') $$, $$ VALUES (true, true) $$, 'starts with the grant');
SELECT results_eq($$ SELECT expires_at - clock_timestamp() BETWEEN '19 min' AND '20 min', waiters
                       FROM dlock_renew('t_single:time', '20 min') $$, $$ VALUES (true, 0) $$, 'and anew when renewed');
SELECT is(dlock_set_options('t_single:time', ttl := '5 min', token := :t4), true, 'shorter');
SELECT results_eq($$ SELECT remaining BETWEEN '4 min' AND '5 min' FROM dlock_status('t_single:time') $$,
                  $$ VALUES (true) $$, 'is shorter at once');
SELECT is((SELECT expires_at FROM dlock_status('t_single:1')), NULL, 'without a time, none is shown');

-- by force: at once
SELECT is(dlock_force_release('t_single:3', :t3), 1::bigint, 'one lease ended');
SELECT is((SELECT status FROM dlock_status('t_single:3')), 'free', 'free before the commit');
SELECT ok(pg_temp.take('t_single:3') > :t3, 'for the next');
SELECT is(dlock_release('t_single:3', client := 't_single_b'), false, 'its former holder has nothing to release');

SELECT * FROM finish();
ROLLBACK;
