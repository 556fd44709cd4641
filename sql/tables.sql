--
-- dlock's tables are dlock's: everybody else looks at most.  A row changed by
-- hand would come back as a lease after the next restart, so the table of
-- leases refuses it even to superusers.
--
\set SHOW_CONTEXT never
SET statement_timeout = '1min';
SET dlock.default_ttl = '1h';
SET dlock.client = 't_tables';

CREATE ROLE regress_dlock_nobody;
CREATE ROLE regress_dlock_monitor IN ROLE pg_monitor;

SELECT dlock_acquire('t_tables:1') AS token \gset

-- superusers
INSERT INTO dlock.locks SELECT * FROM dlock.locks WHERE resource_name = 't_tables:1';
\echo :LAST_ERROR_SQLSTATE
UPDATE dlock.locks SET token = token + 1;
DELETE FROM dlock.locks;
DELETE FROM dlock.locks WHERE false;
TRUNCATE dlock.locks;
COPY dlock.locks (id) FROM stdin;
\.
\set VERBOSITY terse
MERGE INTO dlock.locks AS l USING (VALUES (1)) AS v (x) ON true WHEN MATCHED THEN DELETE;
WITH gone AS (DELETE FROM dlock.locks RETURNING *) SELECT count(*) FROM gone;
SELECT dlock.refuse_write();
\set VERBOSITY default

-- everybody else
SET ROLE regress_dlock_nobody;
SELECT count(*) FROM dlock.locks;
SELECT count(*) FROM dlock.clients;
SELECT count(*) FROM dlock.token_blocks;
\set VERBOSITY terse
DELETE FROM dlock.locks;
INSERT INTO dlock.clients (name, role) VALUES ('t_tables_x', current_user::regrole);
UPDATE dlock.clients SET role = current_user::regrole;
DELETE FROM dlock.clients;
UPDATE dlock.token_blocks SET upto = 0;
DELETE FROM dlock.token_blocks;
TRUNCATE dlock.clients, dlock.token_blocks;
BEGIN;
LOCK TABLE dlock.locks IN ACCESS SHARE MODE;
ROLLBACK;
SELECT nextval('dlock.clients_id_seq');
CREATE TABLE dlock.mine ();
DROP TABLE dlock.locks;
\set VERBOSITY default

-- pg_monitor looks
SET ROLE regress_dlock_monitor;
SELECT resource_name, token = :token AS token FROM dlock.locks WHERE resource_name LIKE 't_tables%' AND status = 'held';
SELECT count(*) FROM dlock.clients WHERE name = 't_tables_x';
SELECT count(*) > 0 AS any FROM dlock.token_blocks;
\set VERBOSITY terse
DELETE FROM dlock.locks;
DELETE FROM dlock.clients;
DELETE FROM dlock.token_blocks;
SELECT 1 FROM dlock.locks FOR UPDATE;
BEGIN;
LOCK TABLE dlock.locks IN EXCLUSIVE MODE;
ROLLBACK;
\set VERBOSITY default
RESET ROLE;

-- no token may have been given out that is not below its bound
SELECT count(*) AS rows, max(upto) >= :token AS above,
       bool_and(database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS ours
  FROM dlock.token_blocks;

-- what moves the rows is allowed, and followed
VACUUM (FULL) dlock.locks;
SELECT dlock_acquire('t_tables:2') > :token AS acquired;
SELECT dlock_acquire('t_tables:1') = :token AS same;
SELECT resource_name, hold_count FROM dlock.locks WHERE owner = 't_tables' AND status = 'held' ORDER BY resource_name;
VACUUM dlock.locks;
ANALYZE dlock.locks;
SELECT dlock_release('t_tables:1');
SELECT dlock_acquire('t_tables:3') > :token AS acquired;
SELECT resource_name, hold_count FROM dlock.locks WHERE owner = 't_tables' AND status = 'held' ORDER BY resource_name;

SELECT dlock_release_all();
DROP ROLE regress_dlock_nobody, regress_dlock_monitor;
