--
-- dlock_fence makes a commit depend on a lease: whatever ends the lease before
-- makes the commit fail, wherever in the transaction the fence was put up, as
-- long as that part of it was not rolled back.  A fence that is forgotten, that
-- outlives its savepoint or its transaction, or that changes the lease it is
-- put on would show here.
--
\set SHOW_CONTEXT never
SET statement_timeout = '1min';
SET dlock.default_ttl = '1h';
SET dlock.client = 't_fence_a';

CREATE TABLE t_fence (what text);
CREATE VIEW t_fence_leases AS
    SELECT resource, client, mode, hold_count, remaining > '1 min' AS long
      FROM dlock_list() WHERE resource LIKE 't_fence%' ORDER BY resource, client;
-- takes the lease away, as an expiry would, and takes it anew
CREATE FUNCTION t_fence_lose(name text) RETURNS bigint LANGUAGE sql AS
    'SELECT dlock_force_release(name)';
CREATE PROCEDURE t_fence_renew_token(name text, INOUT token bigint) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM dlock_force_release(name);
    token := dlock_acquire(name);
END $$;

--
-- the lease is held: nothing changes
--
SELECT dlock_acquire('t_fence:x') AS token \gset
BEGIN;
SELECT dlock_fence('t_fence:x', :token);
SELECT dlock_fence('t_fence:x', :token);
INSERT INTO t_fence VALUES ('fenced');
SELECT * FROM t_fence_leases;
COMMIT;
SELECT * FROM t_fence_leases;
-- in a transaction of one statement
INSERT INTO t_fence SELECT 'one statement' FROM dlock_fence('t_fence:x', :token);
-- rolled back
BEGIN;
SELECT dlock_fence('t_fence:x', :token);
ROLLBACK;
SELECT * FROM t_fence_leases;
-- the client plays no part, the role does
BEGIN;
SET LOCAL dlock.client = 't_fence_b';
SELECT dlock_fence('t_fence:x', :token);
COMMIT;

--
-- what cannot be fenced
--
\set VERBOSITY sqlstate
SELECT dlock_fence('t_fence:x', :token + 1);
SELECT dlock_fence('t_fence:X', :token);
SELECT dlock_fence('t_fence:x', NULL);
SELECT dlock_fence('t_fence:x', 0);
SELECT dlock_fence(NULL, 1);
SELECT dlock_fence('', 1);
CREATE ROLE regress_dlock_fence;
GRANT INSERT ON t_fence TO regress_dlock_fence;
SET ROLE regress_dlock_fence;
SELECT dlock_fence('t_fence:x', :token);
RESET ROLE;
\set VERBOSITY default
SELECT dlock_fence('t_fence:nothing', 1);

--
-- lost before the commit
--
\set VERBOSITY sqlstate
BEGIN;
SELECT dlock_fence('t_fence:x', :token);
INSERT INTO t_fence VALUES ('LOST');
SELECT t_fence_lose('t_fence:x');
COMMIT;
-- lost, and taken again: that is another lease
SELECT dlock_acquire('t_fence:x') AS token \gset
BEGIN;
SELECT dlock_fence('t_fence:x', :token);
INSERT INTO t_fence VALUES ('LOST, taken again');
CALL t_fence_renew_token('t_fence:x', :token) \gset
COMMIT;
-- fenced as well: the first fence decides
BEGIN;
SELECT dlock_fence('t_fence:x', :token);
CALL t_fence_renew_token('t_fence:x', :token) \gset
SELECT dlock_fence('t_fence:x', :token);
INSERT INTO t_fence VALUES ('LOST, both fenced');
COMMIT;
-- run out; a fence does not keep it
BEGIN;
SELECT dlock_fence('t_fence:x', :token);
SELECT dlock_set_options('t_fence:x', ttl := '1 ms');
SELECT wait_until($$ status = 'free' FROM dlock_status('t_fence:x') $$);
INSERT INTO t_fence VALUES ('LOST, run out');
COMMIT;
-- lost in a deferred trigger, which runs at commit
SELECT dlock_acquire('t_fence:x') AS token \gset
CREATE TABLE t_fence_deferred (what text);
CREATE FUNCTION t_fence_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM t_fence_lose('t_fence:x');
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER lose AFTER INSERT ON t_fence_deferred
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION t_fence_trigger();
BEGIN;
SELECT dlock_fence('t_fence:x', :token);
INSERT INTO t_fence VALUES ('LOST, deferred');
INSERT INTO t_fence_deferred VALUES ('LOST, deferred');
COMMIT;
DROP TABLE t_fence_deferred;
DROP FUNCTION t_fence_trigger;
\set VERBOSITY default

--
-- released in the same transaction: the lease is held until the commit is seen
--
SELECT dlock_acquire('t_fence:x') AS token \gset
BEGIN;
SELECT dlock_fence('t_fence:x', :token);
SELECT dlock_release('t_fence:x');
INSERT INTO t_fence VALUES ('fenced, released');
COMMIT;
SELECT * FROM t_fence_leases;
SELECT dlock_acquire('t_fence:x') AS token \gset
BEGIN;
SELECT dlock_release('t_fence:x');
SELECT dlock_fence('t_fence:x', :token);
INSERT INTO t_fence VALUES ('released, fenced');
COMMIT;
SELECT * FROM t_fence_leases;

--
-- savepoints
--
SELECT dlock_acquire('t_fence:x') AS token \gset
-- rolled back with the savepoint
BEGIN;
INSERT INTO t_fence VALUES ('fence rolled back');
SAVEPOINT s;
SELECT dlock_fence('t_fence:x', :token);
ROLLBACK TO s;
SELECT t_fence_lose('t_fence:x');
COMMIT;
\set VERBOSITY sqlstate
-- kept with it
SELECT dlock_acquire('t_fence:x') AS token \gset
BEGIN;
SAVEPOINT s;
SELECT dlock_fence('t_fence:x', :token);
RELEASE s;
INSERT INTO t_fence VALUES ('LOST, savepoint');
SELECT t_fence_lose('t_fence:x');
COMMIT;
-- outside as well as inside
SELECT dlock_acquire('t_fence:x') AS token \gset
BEGIN;
SELECT dlock_fence('t_fence:x', :token);
SAVEPOINT s;
SELECT dlock_fence('t_fence:x', :token);
ROLLBACK TO s;
INSERT INTO t_fence VALUES ('LOST, outside');
SELECT t_fence_lose('t_fence:x');
COMMIT;
-- inside, rolled back, and once more
SELECT dlock_acquire('t_fence:x') AS token \gset
BEGIN;
SAVEPOINT s;
SELECT dlock_fence('t_fence:x', :token);
ROLLBACK TO s;
SELECT dlock_fence('t_fence:x', :token);
INSERT INTO t_fence VALUES ('LOST, once more');
SELECT t_fence_lose('t_fence:x');
COMMIT;
\set VERBOSITY default

--
-- functions and procedures
--
SELECT dlock_acquire('t_fence:x') AS token \gset
CREATE FUNCTION t_fence_caught(token bigint) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM dlock_fence('t_fence:x', token);
    RAISE division_by_zero;
EXCEPTION WHEN division_by_zero THEN
    RETURN 'caught';
END $$;
BEGIN;
SELECT t_fence_caught(:token);
SELECT t_fence_lose('t_fence:x');
INSERT INTO t_fence VALUES ('fence caught');
COMMIT;
-- a procedure that commits: each of its transactions stands for itself
CREATE PROCEDURE t_fence_commits(again bool) LANGUAGE plpgsql AS $$
DECLARE
    token bigint := dlock_acquire('t_fence:x');
BEGIN
    PERFORM dlock_fence('t_fence:x', token);
    INSERT INTO t_fence VALUES (format('procedure, first, again %s', again));
    COMMIT;
    IF again THEN
        PERFORM dlock_fence('t_fence:x', token);
    END IF;
    INSERT INTO t_fence VALUES (format('procedure, second, again %s', again));
    PERFORM t_fence_lose('t_fence:x');
    COMMIT;
END $$;
CALL t_fence_commits(false);
\set VERBOSITY sqlstate
CALL t_fence_commits(true);
\set VERBOSITY default

--
-- cursors
--
SELECT dlock_acquire('t_fence:x') AS token \gset
BEGIN;
DECLARE c CURSOR FOR SELECT dlock_fence('t_fence:x', t) FROM (VALUES (:token::bigint)) AS v (t);
INSERT INTO t_fence VALUES ('never fetched');
SELECT t_fence_lose('t_fence:x');
COMMIT;
SELECT dlock_acquire('t_fence:x') AS token \gset
\set VERBOSITY sqlstate
BEGIN;
DECLARE c CURSOR FOR SELECT dlock_fence('t_fence:x', t) FROM (VALUES (:token::bigint)) AS v (t);
FETCH c;
CLOSE c;
INSERT INTO t_fence VALUES ('LOST, cursor');
SELECT t_fence_lose('t_fence:x');
COMMIT;
-- one that is held open is run to its end at commit
SELECT dlock_acquire('t_fence:x') AS token \gset
BEGIN;
DECLARE c CURSOR WITH HOLD FOR SELECT dlock_fence('t_fence:x', t) FROM (VALUES (:token::bigint)) AS v (t);
INSERT INTO t_fence VALUES ('LOST, cursor held open');
SELECT t_fence_lose('t_fence:x');
COMMIT;
\set VERBOSITY default

--
-- modes and scopes
--
SELECT dlock_acquire('t_fence:x', mode := 'shared') AS token \gset
SELECT dlock_acquire('t_fence:x', mode := 'shared', client := 't_fence_b') AS token_b \gset
BEGIN;
SELECT dlock_fence('t_fence:x', :token), dlock_fence('t_fence:x', :token_b);
INSERT INTO t_fence VALUES ('shared');
COMMIT;
SELECT dlock_release('t_fence:x', client := 't_fence_b');
-- fenced shared, then exclusive as well, then made shared at commit
BEGIN;
SELECT dlock_fence('t_fence:x', :token);
SELECT dlock_set_options('t_fence:x', mode := 'exclusive');
SELECT dlock_fence('t_fence:x', :token);
SELECT dlock_set_options('t_fence:x', mode := 'shared');
INSERT INTO t_fence VALUES ('made shared');
COMMIT;
SELECT * FROM t_fence_leases;
SELECT dlock_release('t_fence:x');
SELECT dlock_acquire('t_fence:x', scope := 'session') AS token \gset
BEGIN;
SELECT dlock_fence('t_fence:x', :token);
INSERT INTO t_fence VALUES ('scope session');
COMMIT;
\set VERBOSITY sqlstate
BEGIN;
SELECT dlock_fence('t_fence:x', :token);
INSERT INTO t_fence VALUES ('LOST, scope session');
SELECT t_fence_lose('t_fence:x');
COMMIT;
\set VERBOSITY default
BEGIN;
SELECT dlock_acquire('t_fence:x', scope := 'transaction', ttl := '1 h') AS token \gset
SELECT dlock_fence('t_fence:x', :token);
INSERT INTO t_fence VALUES ('scope transaction');
COMMIT;
SELECT * FROM t_fence_leases;

--
-- where it is refused
--
SELECT dlock_acquire('t_fence:x') AS token \gset
BEGIN;
SELECT dlock_fence('t_fence:x', :token);
INSERT INTO t_fence VALUES ('LOST, prepared');
PREPARE TRANSACTION 't_fence';
-- one that is there all the same must not hold up all that follows
SELECT count(*) > 0 AS prepared FROM pg_prepared_xacts WHERE gid = 't_fence' \gset
\if :prepared
ROLLBACK PREPARED 't_fence';
\endif
CREATE FUNCTION t_fence_worker(token bigint) RETURNS text LANGUAGE plpgsql PARALLEL SAFE
AS 'BEGIN PERFORM dlock_fence(''t_fence:x'', token); RETURN ''fenced''; END';
-- the setting's name has changed with PostgreSQL 16
SELECT name AS parallel FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query') \gset
SET :parallel = regress;
SELECT t_fence_worker(:token);
RESET :parallel;

-- in a function with its owner's rights, the caller's lease and the owner's
CREATE FUNCTION t_fence_definer(token bigint) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
AS 'BEGIN PERFORM dlock_fence(''t_fence:x'', token); RETURN ''fenced''; END';
SET ROLE regress_dlock_fence;
SELECT t_fence_definer(:token);
RESET ROLE;
ALTER FUNCTION t_fence_definer OWNER TO regress_dlock_fence;
SELECT t_fence_definer(:token);

-- what was written, and what is left
SELECT what FROM t_fence;
SELECT dlock_release('t_fence:x');
SELECT * FROM t_fence_leases;

DROP VIEW t_fence_leases;
DROP TABLE t_fence;
DROP FUNCTION t_fence_lose, t_fence_caught, t_fence_worker, t_fence_definer;
DROP PROCEDURE t_fence_renew_token, t_fence_commits;
DROP ROLE regress_dlock_fence;
