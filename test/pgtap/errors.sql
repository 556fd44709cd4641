--
-- Every error that one session can provoke has the SQLSTATE that
-- docs/api.md promises, and its message.  Programs branch on the SQLSTATE; an
-- elog() that slipped through would come as XX000.
--
\set QUIET 1
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
\pset pager off

BEGIN;
SELECT plan(80);

SET LOCAL dlock.client = 't_pgtap_errors';
SET LOCAL dlock.default_ttl = '1h';
CREATE ROLE regress_dlock_errors;
SELECT dlock_acquire('t_pgtap:held', scope := 'transaction') AS token \gset
SELECT dlock_acquire('t_pgtap:shared', mode := 'shared', scope := 'transaction', client := client) AS t
  FROM unnest('{t_pgtap_errors,t_pgtap_other}'::text[]) AS client \g /dev/null

-- 22023, bad argument
CREATE TEMP TABLE calls (call text, message text);
INSERT INTO calls
SELECT format('SELECT %s(%s)', f, arg), message
  FROM unnest('{dlock_acquire,dlock_try_acquire,dlock_release,dlock_renew,dlock_set_options,dlock_status,dlock_force_release}'::text[]) AS f,
       (VALUES ($$''$$, 'resource name must not be empty'), ('NULL', 'resource name must not be null'),
               ($$repeat('x', 256)$$, 'resource name is too long')) AS v (arg, message);
INSERT INTO calls VALUES
    ($$SELECT * FROM dlock_queue('')$$, 'resource name must not be empty'),
    ($$SELECT dlock_acquire('t_pgtap:x', client := '')$$, 'client name must not be empty'),
    ($$SELECT dlock_acquire('t_pgtap:x', client := repeat('x', 256))$$, 'client name is too long'),
    ($$SELECT dlock_release_all('')$$, 'client name must not be empty'),
    ($$SELECT dlock_renew_all(client := repeat('x', 256))$$, 'client name is too long'),
    ($$SELECT dlock_acquire('t_pgtap:x', '-1 s')$$, 'timeout must not be negative'),
    ($$SELECT dlock_acquire('t_pgtap:x', '178000000 years')$$, 'timeout is out of range'),
    ($$SELECT dlock_try_acquire('t_pgtap:x', NULL)$$, 'timeout must not be null'),
    ($$SELECT dlock_acquire_all(NULL)$$, 'resources must not be null'),
    ($$SELECT dlock_acquire_all('{t_pgtap:x,NULL}')$$, 'resource name must not be null'),
    ($$SELECT dlock_acquire_all('{t_pgtap:x,""}')$$, 'resource name must not be empty'),
    ($$SELECT dlock_acquire_all('{t_pgtap:x}', '-1 s')$$, 'timeout must not be negative'),
    ($$SELECT dlock_try_acquire_all('{t_pgtap:x}', NULL)$$, 'timeout must not be null'),
    ($$SELECT dlock_set_options('t_pgtap:held', timeout := '-1 s')$$, 'timeout must not be negative'),
    ($$SELECT dlock_acquire('t_pgtap:x', ttl := '0')$$, 'ttl is out of range'),
    ($$SELECT dlock_acquire('t_pgtap:x', ttl := '-1 s')$$, 'ttl is out of range'),
    ($$SELECT dlock_acquire('t_pgtap:x', ttl := '999 us')$$, 'ttl is out of range'),
    ($$SELECT dlock_acquire('t_pgtap:x', ttl := '25 h')$$, 'ttl is out of range'),
    ($$SELECT dlock_acquire('t_pgtap:x', ttl := '178000000 years')$$, 'ttl is out of range'),
    ($$SELECT dlock_renew('t_pgtap:held', '0')$$, 'ttl is out of range'),
    ($$SELECT dlock_renew_all('25 h')$$, 'ttl is out of range'),
    ($$SELECT dlock_set_options('t_pgtap:held', ttl := '0')$$, 'ttl is out of range'),
    ($$SELECT dlock_acquire('t_pgtap:x', mode := 'update')$$, 'unrecognized lease mode: "update"'),
    ($$SELECT dlock_acquire('t_pgtap:x', mode := NULL)$$, 'mode must not be null'),
    ($$SELECT dlock_set_options('t_pgtap:held', mode := 'SHARED')$$, 'unrecognized lease mode: "SHARED"'),
    ($$SELECT dlock_acquire('t_pgtap:x', scope := 'forever')$$, 'unrecognized lease scope: "forever"'),
    ($$SET LOCAL dlock.client = ''; SET LOCAL dlock.require_client = on; SELECT dlock_release('t_pgtap:held')$$, 'client name is required'),
    ($$SELECT dlock_acquire('t_pgtap:x', priority := NULL)$$, 'priority must not be null'),
    ($$SELECT dlock_release('t_pgtap:held', 0)$$, 'token must be positive'),
    ($$SELECT dlock_renew('t_pgtap:held', token := -1)$$, 'token must be positive'),
    ($$SELECT dlock_set_options('t_pgtap:held', token := 0)$$, 'token must be positive'),
    ($$SELECT dlock_force_release('t_pgtap:held', 0)$$, 'token must be positive');
SELECT throws_ok(call, '22023', message, call) FROM calls;

-- LK001, lease lost
SELECT throws_ok(call, 'LK001', 'lease on resource "t_pgtap:' || resource || '" is not held', call)
  FROM (VALUES ('never', $$SELECT dlock_renew('t_pgtap:never')$$),
               ('held', format('SELECT dlock_renew(''t_pgtap:held'', token := %s)', :token + 1)),
               ('held', $$SELECT dlock_renew('t_pgtap:held', client := 't_pgtap_other')$$),
               ('held', $$SELECT dlock_renew('t_pgtap:held', client := 't_pgtap_stranger')$$),
               ('never', $$SELECT dlock_set_options('t_pgtap:never', mode := 'shared')$$),
               ('never', $$SELECT dlock_set_options('t_pgtap:never', priority := 1)$$),
               ('held', format('SELECT dlock_set_options(''t_pgtap:held'', ttl := ''1 s'', token := %s)', :token + 1)))
       AS v (resource, call);

-- 55P03, not available in time
SELECT throws_ok($$ SELECT dlock_acquire('t_pgtap:held', '0', client := 't_pgtap_other') $$, '55P03',
                 'could not obtain a lease on resource "t_pgtap:held"', 'in no time');
SELECT throws_ok($$ SELECT dlock_acquire('t_pgtap:held', '10 ms', client := 't_pgtap_other') $$, '55P03',
                 'could not obtain a lease on resource "t_pgtap:held"', 'in time');
SELECT throws_ok($$ SELECT dlock_set_options('t_pgtap:shared', mode := 'exclusive', timeout := '0') $$, '55P03',
                 'could not obtain a lease on resource "t_pgtap:shared"', 'upgrade in no time');
SELECT is((SELECT dlock_try_acquire('t_pgtap:held', '10 ms', client := 't_pgtap_other')), NULL, 'try: no error');
SELECT throws_ok($$ SELECT dlock_acquire_all('{t_pgtap:x,t_pgtap:held}', '10 ms', client := 't_pgtap_other') $$, '55P03',
                 'could not obtain a lease on resource "t_pgtap:held"', 'one of several');
SELECT is_empty($$ SELECT dlock_try_acquire_all('{t_pgtap:x,t_pgtap:held}', '10 ms', client := 't_pgtap_other') $$, 'try all: no error');
SET LOCAL dlock.deadlock_policy = no_wait;
SELECT throws_ok($$ SELECT dlock_acquire('t_pgtap:held', client := 't_pgtap_other') $$, '55P03',
                 'could not obtain a lease on resource "t_pgtap:held"', 'no_wait');
SET LOCAL dlock.deadlock_policy = wait_die;
SELECT throws_ok($$ SELECT dlock_acquire('t_pgtap:held', client := 't_pgtap_other') $$, '40P01',
                 'cannot wait for a lease on resource "t_pgtap:held"', 'wait_die, and too young');
SET LOCAL dlock.deadlock_policy = detect;
SET LOCAL lock_timeout = '10ms';
SELECT throws_ok($$ SELECT dlock_acquire('t_pgtap:held', client := 't_pgtap_other') $$, '55P03',
                 'canceling statement due to lock timeout', 'lock_timeout');
SELECT is(dlock_try_acquire('t_pgtap:held', '1 h', client := 't_pgtap_other'), NULL, 'lock_timeout and try');
SET LOCAL lock_timeout = 0;

-- 42501, not yours
SET LOCAL ROLE regress_dlock_errors;
SELECT throws_ok($$ SELECT dlock_release('t_pgtap:held') $$, '42501',
                 'permission denied for dlock client "t_pgtap_errors"', 'client of another role');
SELECT throws_ok($$ SELECT dlock_acquire('t_pgtap:x', client := 't_pgtap_other') $$, '42501',
                 'permission denied for dlock client "t_pgtap_other"', 'client of another role');
SELECT throws_ok($$ SELECT dlock_force_release('t_pgtap:held') $$, '42501',
                 'permission denied for function dlock_force_release', 'force');
RESET ROLE;
SELECT throws_ok($$ DELETE FROM dlock.locks $$, '42501', 'cannot change table "locks" directly', 'leases by SQL');
SELECT throws_ok($$ TRUNCATE dlock.locks $$, '42501', 'cannot change table "locks" directly', 'leases by SQL');

-- 25000, in a parallel worker
CREATE FUNCTION pg_temp.in_worker() RETURNS bigint LANGUAGE plpgsql PARALLEL SAFE
AS 'BEGIN RETURN dlock_try_acquire(''t_pgtap:worker''); END';
-- the setting's name has changed with PostgreSQL 16
SELECT name AS parallel FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query') \gset
SET LOCAL :parallel = regress;
PREPARE in_worker AS SELECT pg_temp.in_worker();
SELECT throws_ok('in_worker', '25000', 'cannot use dlock in a parallel worker', 'parallel worker');
SET LOCAL :parallel = off;

-- 39P01, the trigger function called as something else
SELECT throws_ok($$ SELECT dlock.refuse_write() $$, '39P01',
                 'must be called as a trigger', 'trigger function by itself');

-- nothing of this has left a trace
SELECT results_eq($$ SELECT status, holder, waiters FROM dlock_status('t_pgtap:held') $$,
                  $$ VALUES ('exclusive', 't_pgtap_errors', 0) $$, 'the lease is untouched');
SELECT is_empty($$ SELECT * FROM dlock_queue() $$, 'nobody waits');
SELECT set_eq($$ SELECT resource, client FROM dlock_list() WHERE resource LIKE 't_pgtap:%' $$,
              $$ VALUES ('t_pgtap:held', 't_pgtap_errors'), ('t_pgtap:shared', 't_pgtap_errors'),
                        ('t_pgtap:shared', 't_pgtap_other') $$, 'no other lease came of it');

SELECT * FROM finish();
ROLLBACK;
