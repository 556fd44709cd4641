--
-- A lease of scope "transaction" ends with the (sub)transaction that took it,
-- one of scope "session" with the session; releases follow the
-- (sub)transaction that asked for them.  What is kept for the end of a
-- transaction and is forgotten, applied twice, or handed to the wrong
-- subtransaction would show here.
--
\set SHOW_CONTEXT never
SET statement_timeout = '1min';
SET intervalstyle = postgres;
SET dlock.default_ttl = '1h';
SET dlock.client = 't_scope_a';

CREATE VIEW t_scope_leases AS
    SELECT resource, mode, scope, hold_count, expires_at IS NULL AND remaining IS NULL AS endless
      FROM dlock_list() WHERE client LIKE 't_scope%' ORDER BY resource;

--
-- transaction
--
BEGIN;
SELECT dlock_acquire('t_scope:x', scope := 'transaction') AS token \gset
SELECT dlock_acquire('t_scope:x', scope := 'transaction') = :token AS same;
SELECT * FROM t_scope_leases;
SELECT dlock_try_acquire('t_scope:x', client := 't_scope_b') AS kept_out;
COMMIT;
SELECT * FROM t_scope_leases;
BEGIN;
SELECT dlock_acquire('t_scope:x', scope := 'transaction') > :token AS higher;
ROLLBACK;
SELECT * FROM t_scope_leases;
-- alone in its statement, it is over at once
SELECT dlock_acquire('t_scope:x', scope := 'transaction') > 0 AS acquired;
SELECT * FROM t_scope_leases;
-- no row is written for it
BEGIN;
SELECT dlock_acquire('t_scope:x', scope := 'transaction') > 0 AS acquired;
SELECT dlock_acquire('t_scope:y') > 0 AS acquired;
SELECT resource_name FROM dlock.locks WHERE resource_name LIKE 't_scope%';
COMMIT;
SELECT * FROM t_scope_leases;
SELECT dlock_release('t_scope:y');

-- savepoints
BEGIN;
SELECT dlock_acquire('t_scope:outer', scope := 'transaction') > 0 AS acquired;
SAVEPOINT a;
SELECT dlock_acquire('t_scope:outer', scope := 'transaction') > 0 AS acquired;
SELECT dlock_acquire('t_scope:inner', scope := 'transaction') > 0 AS acquired;
SELECT dlock_acquire('t_scope:plain') > 0 AS acquired;
SELECT * FROM t_scope_leases;
ROLLBACK TO a;
SELECT * FROM t_scope_leases;
SELECT dlock_acquire('t_scope:inner', scope := 'transaction') > 0 AS acquired;
RELEASE a;
SAVEPOINT b;
ROLLBACK TO b;
SELECT * FROM t_scope_leases;
COMMIT;
SELECT * FROM t_scope_leases;
SELECT dlock_release('t_scope:plain');

-- released savepoints belong to the one around them
BEGIN;
SAVEPOINT a;
SAVEPOINT b;
SELECT dlock_acquire('t_scope:inner', scope := 'transaction') > 0 AS acquired;
RELEASE b;
SELECT count(*) FROM t_scope_leases;
ROLLBACK TO a;
SELECT count(*) FROM t_scope_leases;
COMMIT;

-- a release in a savepoint
SELECT dlock_acquire('t_scope:rel') > 0 AS acquired;
BEGIN;
SAVEPOINT a;
SELECT dlock_release('t_scope:rel');
ROLLBACK TO a;
SELECT dlock_release('t_scope:rel') AS again;
ROLLBACK TO a;
COMMIT;
SELECT * FROM t_scope_leases;
BEGIN;
SAVEPOINT a;
SELECT dlock_release('t_scope:rel');
RELEASE a;
SELECT * FROM t_scope_leases;
SAVEPOINT b;
SELECT dlock_release('t_scope:rel') AS no_more;
ROLLBACK TO b;
COMMIT;
SELECT * FROM t_scope_leases;
SELECT dlock_acquire('t_scope:rel') > 0 AS acquired;
BEGIN;
SAVEPOINT a;
SAVEPOINT b;
SELECT dlock_release('t_scope:rel');
RELEASE b;
ROLLBACK TO a;
COMMIT;
SELECT * FROM t_scope_leases;
-- a downgrade as well
BEGIN;
SAVEPOINT a;
SELECT dlock_set_options('t_scope:rel', mode := 'shared');
ROLLBACK TO a;
COMMIT;
SELECT * FROM t_scope_leases;
BEGIN;
SAVEPOINT a;
SELECT dlock_set_options('t_scope:rel', mode := 'shared');
RELEASE a;
COMMIT;
SELECT * FROM t_scope_leases;
SELECT dlock_release('t_scope:rel');

-- a client that has it anyway keeps it when the transaction ends
SELECT dlock_acquire('t_scope:both', ttl := '1 h') AS token \gset
BEGIN;
SELECT dlock_acquire('t_scope:both', scope := 'transaction') = :token AS same;
SELECT hold_count FROM t_scope_leases;
COMMIT;
SELECT * FROM t_scope_leases;
BEGIN;
SELECT dlock_acquire('t_scope:both', scope := 'transaction') = :token AS same;
SELECT dlock_release('t_scope:both') AS one, dlock_release('t_scope:both') AS two, dlock_release('t_scope:both') AS three;
ROLLBACK;
SELECT * FROM t_scope_leases;
-- and the other way round: a plain hold outlives the transaction's
BEGIN;
SELECT dlock_release('t_scope:both');
COMMIT;
BEGIN;
SELECT dlock_acquire('t_scope:both', scope := 'transaction') AS token \gset
SELECT dlock_acquire('t_scope:both') = :token AS same;
SELECT hold_count FROM dlock.locks WHERE resource_name = 't_scope:both' AND status = 'held';
ROLLBACK;
-- what is left is a plain lease
SELECT * FROM t_scope_leases;
SELECT token = :token AS same FROM dlock_status('t_scope:both');
SELECT dlock_release('t_scope:both');

-- released before its end: at its end
BEGIN;
SELECT dlock_acquire('t_scope:x', scope := 'transaction') > 0 AS acquired;
SELECT dlock_release('t_scope:x') AS first, dlock_release('t_scope:x') AS second;
SELECT hold_count FROM t_scope_leases;
COMMIT;
SELECT * FROM t_scope_leases;
BEGIN;
SELECT dlock_acquire('t_scope:x', scope := 'transaction') > 0 AS acquired;
SELECT dlock_release_all(), dlock_release_all() AS second;
COMMIT;
SELECT * FROM t_scope_leases;

-- with a time limit: lost before the commit, there is no commit
CREATE TABLE t_scope_data (id int);
BEGIN;
SELECT dlock_acquire('t_scope:x', ttl := '1 ms', scope := 'transaction') > 0 AS acquired;
INSERT INTO t_scope_data VALUES (1);
SELECT wait_until($$ status = 'free' FROM dlock_status('t_scope:x') $$);
\set VERBOSITY terse
COMMIT;
\set VERBOSITY default
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM t_scope_data;
-- by an administrator's hand as well
BEGIN;
SELECT dlock_acquire('t_scope:x', ttl := '1 h', scope := 'transaction') > 0 AS acquired;
INSERT INTO t_scope_data VALUES (1);
SELECT dlock_force_release('t_scope:x');
\set VERBOSITY sqlstate
COMMIT;
\set VERBOSITY default
SELECT count(*) FROM t_scope_data;
-- which is the only way to lose one without a time limit
BEGIN;
SELECT dlock_acquire('t_scope:x', scope := 'transaction') > 0 AS acquired;
INSERT INTO t_scope_data VALUES (1);
SELECT dlock_force_release('t_scope:x');
\set VERBOSITY sqlstate
COMMIT;
\set VERBOSITY default
SELECT count(*) FROM t_scope_data;
-- even if another client, or the same, has got the resource meanwhile
BEGIN;
SELECT dlock_acquire('t_scope:x', ttl := '1 ms', scope := 'transaction') > 0 AS acquired;
SELECT wait_until($$ status = 'free' FROM dlock_status('t_scope:x') $$);
SELECT dlock_acquire('t_scope:x') > 0 AS acquired;
\set VERBOSITY sqlstate
COMMIT;
\set VERBOSITY default
SELECT * FROM t_scope_leases;
SELECT dlock_release('t_scope:x');
-- held to the end, it commits; deferred triggers run before
CREATE FUNCTION t_scope_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE 'deferred trigger: %', (SELECT status FROM dlock_status('t_scope:x'));
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER t_scope_trigger AFTER INSERT ON t_scope_data
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION t_scope_trigger();
BEGIN;
SELECT dlock_acquire('t_scope:x', ttl := '1 h', scope := 'transaction') > 0 AS acquired;
SELECT endless FROM t_scope_leases;
INSERT INTO t_scope_data VALUES (2);
COMMIT;
SELECT id FROM t_scope_data;
SELECT * FROM t_scope_leases;
-- renewed in time, too
BEGIN;
SELECT dlock_acquire('t_scope:x', ttl := '1 h', scope := 'transaction') AS token \gset
SELECT expires_at > clock_timestamp() + '90 min' AS renewed
  FROM dlock_renew('t_scope:x', ttl := '2 h', token := :token);
COMMIT;
SELECT * FROM t_scope_leases;
-- lost in a savepoint that is rolled back, it is not missed
BEGIN;
SAVEPOINT a;
SELECT dlock_acquire('t_scope:x', ttl := '1 ms', scope := 'transaction') > 0 AS acquired;
SELECT wait_until($$ status = 'free' FROM dlock_status('t_scope:x') $$);
ROLLBACK TO a;
COMMIT;
-- acquired in a deferred trigger, it is released like any other
CREATE OR REPLACE FUNCTION t_scope_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE 'acquired: %', dlock_acquire('t_scope:late', scope := 'transaction') > 0;
    RETURN NULL;
END $$;
INSERT INTO t_scope_data VALUES (3);
SELECT * FROM t_scope_leases;
DROP TABLE t_scope_data;
DROP FUNCTION t_scope_trigger;

--
-- session
--
SELECT dlock_acquire('t_scope:s', scope := 'session', ttl := '1 ms') AS token \gset
SELECT * FROM t_scope_leases;
SELECT scope, ttl, expiration_at IS NULL AS endless FROM dlock.locks WHERE resource_name = 't_scope:s' AND status = 'held';
BEGIN;
SELECT dlock_acquire('t_scope:s', scope := 'session') = :token AS same;
ROLLBACK;
SELECT * FROM t_scope_leases;
SELECT dlock_release('t_scope:s');
SELECT * FROM t_scope_leases;
BEGIN;
SELECT dlock_release('t_scope:s');
ROLLBACK;
BEGIN;
SAVEPOINT a;
SELECT dlock_acquire('t_scope:s', scope := 'session') = :token AS same;
ROLLBACK TO a;
COMMIT;
SELECT hold_count FROM t_scope_leases;
SELECT dlock_release('t_scope:s');
SELECT dlock_release('t_scope:s'), dlock_release('t_scope:s') AS second;
SELECT * FROM t_scope_leases;
-- with a plain hold below, its time starts when the session's is gone
SELECT dlock_acquire('t_scope:s', ttl := '1 h') AS token \gset
SELECT dlock_acquire('t_scope:s', scope := 'session') = :token AS same;
SELECT hold_count, endless FROM t_scope_leases;
SELECT dlock_release('t_scope:s');
SELECT hold_count, endless FROM t_scope_leases;
SELECT dlock_release('t_scope:s');
-- with a plain hold on top, that is what is left at the end
SELECT dlock_acquire('t_scope:s', scope := 'session') AS token \gset
SELECT dlock_acquire('t_scope:s', ttl := '1 h') = :token AS same;
SELECT * FROM t_scope_leases;
SELECT dlock_release('t_scope:s');
SELECT * FROM t_scope_leases;
SELECT dlock_release('t_scope:s');

-- DISCARD ALL ends the session's leases, and no others
SELECT dlock_acquire('t_scope:s1', scope := 'session') > 0 AS acquired,
       dlock_acquire('t_scope:s2', scope := 'session', client := 't_scope_b') > 0 AS acquired;
SELECT dlock_acquire('t_scope:s3', ttl := '1 h') > 0 AS acquired;
SELECT dlock_acquire('t_scope:s3', scope := 'session') > 0 AS acquired;
SELECT dlock_acquire('t_scope:s4', client := 't_scope_b') > 0 AS acquired;
SELECT * FROM t_scope_leases;
BEGIN;
DISCARD ALL;
ROLLBACK;
SELECT count(*) FROM t_scope_leases;
DISCARD ALL;
SET dlock.default_ttl = '1h';
SELECT * FROM t_scope_leases;
SELECT current_setting('dlock.client') AS client;
-- and the session is another client from then on
SELECT dlock_acquire('t_scope:me', scope := 'lease') > 0 AS acquired;
SELECT holder AS before FROM dlock_status('t_scope:me') \gset
DISCARD ALL;
SELECT dlock_try_acquire('t_scope:me') AS another;
SELECT dlock_release('t_scope:me') AS another;
SELECT holder = :'before' AS kept FROM dlock_status('t_scope:me');
SELECT dlock_release('t_scope:me', client := :'before');
SELECT status FROM dlock_status('t_scope:me');
SELECT dlock_release_all('t_scope_a'), dlock_release_all('t_scope_b');
SET dlock.default_ttl = '1h';
SET dlock.client = 't_scope_a';

--
-- PL/pgSQL
--
-- an exception block is a subtransaction
SELECT dlock_acquire('t_scope:p') > 0 AS acquired;
DO $$
BEGIN
    BEGIN
        PERFORM dlock_release('t_scope:p');
        PERFORM dlock_acquire('t_scope:x', scope := 'transaction');
        PERFORM dlock_acquire('t_scope:y');
        RAISE division_by_zero;
    EXCEPTION WHEN division_by_zero THEN
        RAISE NOTICE 'x: %', (SELECT status FROM dlock_status('t_scope:x'));
    END;
    PERFORM dlock_acquire('t_scope:z', scope := 'transaction');
    BEGIN
        PERFORM dlock_acquire('t_scope:w', scope := 'transaction');
    EXCEPTION WHEN division_by_zero THEN
        NULL;
    END;
    RAISE NOTICE 'w: %', (SELECT status FROM dlock_status('t_scope:w'));
END $$;
SELECT * FROM t_scope_leases;
-- where an error of dlock itself is caught, the transaction goes on
DO $$
BEGIN
    PERFORM dlock_renew('t_scope:never');
EXCEPTION WHEN SQLSTATE 'LK001' THEN
    RAISE NOTICE 'lost';
END $$;
DO $$
BEGIN
    PERFORM dlock_acquire('t_scope:p', '0', client := 't_scope_b');
EXCEPTION WHEN lock_not_available THEN
    RAISE NOTICE 'not available';
END $$;
SELECT dlock_release_all();

-- a procedure that commits: each part is a transaction
CREATE PROCEDURE t_scope_procedure() LANGUAGE plpgsql AS $$
BEGIN
    PERFORM dlock_acquire('t_scope:1');
    PERFORM dlock_acquire('t_scope:2', scope := 'transaction');
    PERFORM dlock_acquire('t_scope:3', scope := 'session');
    COMMIT;
    RAISE NOTICE 'committed: %', (SELECT array_agg(resource ORDER BY resource) FROM t_scope_leases);
    PERFORM dlock_release('t_scope:1');
    ROLLBACK;
    RAISE NOTICE 'rolled back: %', (SELECT array_agg(resource ORDER BY resource) FROM t_scope_leases);
    PERFORM dlock_release('t_scope:1');
    COMMIT;
    RAISE NOTICE 'released: %', (SELECT array_agg(resource ORDER BY resource) FROM t_scope_leases);
    PERFORM dlock_acquire('t_scope:4', scope := 'transaction');
END $$;
CALL t_scope_procedure();
SELECT * FROM t_scope_leases;
SELECT dlock_release_all();

-- many of each, in one transaction and its savepoints
BEGIN;
SELECT count(dlock_acquire('t_scope:t' || i, scope := 'transaction')),
       count(dlock_acquire('t_scope:l' || i)),
       count(dlock_acquire('t_scope:s' || i, scope := 'session')) FROM generate_series(1, 100) AS i;
SAVEPOINT a;
SELECT count(*) FILTER (WHERE dlock_release('t_scope:l' || i)) AS l,
       count(*) FILTER (WHERE dlock_release('t_scope:s' || i)) AS s FROM generate_series(1, 40) AS i;
RELEASE a;
SAVEPOINT b;
SELECT dlock_release_all();
ROLLBACK TO b;
SELECT left(resource, 9) AS kind, count(*) FROM t_scope_leases GROUP BY 1 ORDER BY 1;
COMMIT;
SELECT left(resource, 9) AS kind, count(*) FROM t_scope_leases GROUP BY 1 ORDER BY 1;
SELECT dlock_release_all();

SELECT count(*) FROM t_scope_leases;
DROP PROCEDURE t_scope_procedure;
DROP VIEW t_scope_leases;
