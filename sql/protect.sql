--
-- dlock_protect makes locks mandatory: a row of the table can be written only
-- by who holds its resource exclusively, and is committed only if that is held
-- then.  A kind of statement or of table that slips through, a row that is
-- judged by its old key alone, an expression that the writer can bend, or one
-- by which its author breaks out of it would show here.
--
\set SHOW_CONTEXT errors
SET statement_timeout = '1min';
SET client_min_messages = warning;
SET dlock.default_ttl = '1h';
SET dlock.client = 't_protect_a';

CREATE TABLE t_account (id int PRIMARY KEY, owner text, balance int, opened timestamptz);

--
-- the expression: one expression over the row, and nothing that can change
--
\set VERBOSITY terse
SELECT dlock_protect('t_account', '');
SELECT dlock_protect('t_account', NULL);
SELECT dlock_protect('t_account', 'id); DROP TABLE t_account; --');
SELECT dlock_protect('t_account', '1; DROP TABLE t_account');
SELECT dlock_protect('t_account', 'id FROM t_account');
SELECT dlock_protect('t_account', 'id, owner');
SELECT dlock_protect('t_account', 'id AS name');
SELECT dlock_protect('t_account', 'DISTINCT id');
SELECT dlock_protect('t_account', 'id WHERE true');
SELECT dlock_protect('t_account', 'id GROUP BY id');
SELECT dlock_protect('t_account', 'id HAVING true');
SELECT dlock_protect('t_account', 'id ORDER BY 1');
SELECT dlock_protect('t_account', 'id LIMIT 1');
SELECT dlock_protect('t_account', 'id OFFSET 1');
SELECT dlock_protect('t_account', 'id FOR UPDATE');
SELECT dlock_protect('t_account', 'id WINDOW w AS ()');
SELECT dlock_protect('t_account', 'id UNION SELECT 1');
SELECT dlock_protect('t_account', '(SELECT ''x'')');
SELECT dlock_protect('t_account', 'count(id)');
SELECT dlock_protect('t_account', 'rank() OVER ()');
SELECT dlock_protect('t_account', 'generate_series(1, id)');
SELECT dlock_protect('t_account', 'random()');
SELECT dlock_protect('t_account', 'current_user');
SELECT dlock_protect('t_account', 'opened');
SELECT dlock_protect('t_account', 'format(''%s'', id)');
SELECT dlock_protect('t_account', 'ctid::text');
SELECT dlock_protect('t_account', 'tableoid');
SELECT dlock_protect('t_account', 't_account::text');
SELECT dlock_protect('t_account', 't_account');
SELECT dlock_protect('t_account', 'nothing');
SELECT dlock_protect('t_account', 'other.id');
SELECT dlock_protect('t_account', 'nothing(id)');
SELECT dlock_protect('t_account', 'id +');
SELECT dlock_protect('t_account', '$1');
SELECT dlock_protect('t_account', 'DEFAULT');
SELECT dlock_protect('t_account', '*');
SELECT dlock_protect('t_account', 't_account.*');
-- objects of a temporary schema, which other sessions do not have
CREATE DOMAIN pg_temp.t_kind AS text;
CREATE FUNCTION pg_temp.t_name(int) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'account:' || $1 $$;
CREATE OPERATOR pg_temp.### (FUNCTION = textcat, LEFTARG = text, RIGHTARG = text);
SELECT dlock_protect('t_account', 'id::text::pg_temp.t_kind');
SELECT dlock_protect('t_account', '''account:''::pg_temp.t_kind || id');
SELECT dlock_protect('t_account', 'CASE WHEN id = 1 THEN pg_temp.t_name(id) ELSE ''other'' END');
SELECT dlock_protect('t_account', '''account:'' OPERATOR(pg_temp.###) id::text');
SELECT dlock_protect('t_account', '(''account:'' OPERATOR(pg_catalog.||) id::text) = ANY (''{}''::pg_temp.t_kind[]::text[])');
DROP DOMAIN pg_temp.t_kind;
DROP FUNCTION pg_temp.t_name;
DROP OPERATOR pg_temp.### (text, text);
\set VERBOSITY default
-- where an error is, is shown
SELECT dlock_protect('t_account', '''account:'' || ident');
SELECT count(*) AS triggers FROM pg_trigger WHERE tgrelid = 't_account'::regclass;
-- what may be said in many ways is stored in one, with all names qualified
SELECT dlock_protect('t_account', $$ 'account:' -- by number
                                     || t_account.id $$);
SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 't_account'::regclass ORDER BY tgname;
SELECT dlock_protect('t_account', 'owner');

--
-- every kind of write
--
INSERT INTO t_account VALUES (1, 'ada', 10);
SELECT dlock_acquire('account:1') AS token1 \gset
INSERT INTO t_account VALUES (1, 'ada', 10);
INSERT INTO t_account VALUES (1, 'ada', 10), (2, 'bob', 20) ON CONFLICT DO NOTHING;
SELECT dlock_acquire('account:2') AS token2 \gset
INSERT INTO t_account VALUES (2, 'bob', 20);
UPDATE t_account SET balance = balance + 1;
SELECT dlock_release('account:2');
\set VERBOSITY sqlstate
UPDATE t_account SET balance = balance + 1;
UPDATE t_account SET balance = balance + 1 WHERE id = 2;
UPDATE t_account SET balance = balance + 1 WHERE id = 1;
-- the resource of the row as it was, and as it is
UPDATE t_account SET id = 3 WHERE id = 1;
UPDATE t_account SET id = 3 WHERE id = 2;
SELECT dlock_acquire('account:3') > 0 AS acquired;
UPDATE t_account SET id = 3 WHERE id = 2;
UPDATE t_account SET id = 3 WHERE id = 1;
UPDATE t_account SET id = 1 WHERE id = 3;
SELECT dlock_release('account:3');
DELETE FROM t_account WHERE id = 2;
DELETE FROM t_account WHERE id = 1 RETURNING id;
INSERT INTO t_account VALUES (1, 'ada', 10);
-- what writes nothing needs nothing
UPDATE t_account SET balance = 0 WHERE id = 4;
DELETE FROM t_account WHERE id = 4;
SELECT id, owner FROM t_account ORDER BY id FOR UPDATE;
-- ON CONFLICT
INSERT INTO t_account VALUES (2, 'eve', 0) ON CONFLICT DO NOTHING;
INSERT INTO t_account VALUES (2, 'eve', 0) ON CONFLICT (id) DO UPDATE SET owner = 'eve';
INSERT INTO t_account VALUES (1, 'eve', 0) ON CONFLICT (id) DO UPDATE SET owner = 'ada, updated';
INSERT INTO t_account VALUES (1, 'eve', 0) ON CONFLICT (id) DO UPDATE SET id = 4;
INSERT INTO t_account VALUES (4, 'eve', 0) ON CONFLICT (id) DO UPDATE SET owner = 'eve';
-- COPY
COPY t_account (id, owner, balance) FROM stdin;
5	eve	0
\.
-- MERGE
MERGE INTO t_account USING (VALUES (1), (2)) AS v (id) ON v.id = t_account.id
 WHEN MATCHED THEN UPDATE SET owner = 'eve';
MERGE INTO t_account USING (VALUES (1), (5)) AS v (id) ON v.id = t_account.id
 WHEN MATCHED THEN UPDATE SET owner = 'ada, merged' WHEN NOT MATCHED THEN INSERT VALUES (v.id, 'eve');
MERGE INTO t_account USING (VALUES (2)) AS v (id) ON v.id = t_account.id WHEN MATCHED THEN DELETE;
MERGE INTO t_account USING (VALUES (1)) AS v (id) ON v.id = t_account.id
 WHEN MATCHED THEN UPDATE SET owner = 'ada, merged';
-- a statement inside another, a rule, a view
WITH gone AS (DELETE FROM t_account WHERE id = 2 RETURNING *) SELECT count(*) FROM gone;
CREATE VIEW t_account_view AS SELECT id, owner FROM t_account;
DELETE FROM t_account_view WHERE id = 2;
-- a cursor
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM t_account WHERE id = 2 FOR UPDATE;
FETCH c;
DELETE FROM t_account WHERE CURRENT OF c;
ROLLBACK;
\set VERBOSITY default
TRUNCATE t_account;
SELECT id, owner FROM t_account ORDER BY id;
DROP VIEW t_account_view;
-- COPY with what may be, and rows of no resource or one that is none
SELECT dlock_acquire('account:' || i) > 0 AS acquired FROM generate_series(5, 6) AS i;
COPY t_account (id, owner, balance) FROM stdin;
5	eve	0
6	fay	0
\.
SELECT dlock_unprotect('t_account'), dlock_unprotect('t_account');
DELETE FROM t_account WHERE id > 4;
SELECT dlock_protect('t_account', 'owner');
INSERT INTO t_account VALUES (7, NULL);
INSERT INTO t_account VALUES (7, '');
\set VERBOSITY terse
INSERT INTO t_account VALUES (7, repeat('x', 256));
\set VERBOSITY default
SELECT dlock_unprotect('t_account');
SELECT dlock_protect('t_account', $$'account:' || id$$);

--
-- who holds it
--
-- another client, also of the same role; a shared lease
SET dlock.client = 't_protect_b';
UPDATE t_account SET balance = 0 WHERE id = 1;
SELECT dlock_acquire('account:2', mode := 'shared') > 0 AS acquired;
UPDATE t_account SET balance = 0 WHERE id = 2;
SELECT dlock_release('account:2');
-- a lease that the transaction fences, or that it or the session holds, as
-- whatever client
BEGIN;
SELECT dlock_fence('account:1', :token1);
UPDATE t_account SET balance = 101 WHERE id = 1;
COMMIT;
\set VERBOSITY sqlstate
UPDATE t_account SET balance = 0 WHERE id = 1;
\set VERBOSITY default
SELECT dlock_acquire('account:2', scope := 'session', client := 't_protect_c') > 0 AS acquired;
UPDATE t_account SET balance = 102 WHERE id = 2;
SELECT dlock_release('account:2', client := 't_protect_c');
BEGIN;
SELECT dlock_acquire('account:2', scope := 'transaction', client := 't_protect_c') > 0 AS acquired;
UPDATE t_account SET balance = 103 WHERE id = 2;
COMMIT;
-- the session's own client
RESET dlock.client;
\set VERBOSITY sqlstate
UPDATE t_account SET balance = 0 WHERE id = 2;
SELECT dlock_acquire('account:2') > 0 AS acquired;
UPDATE t_account SET balance = 104 WHERE id = 2;
SELECT dlock_release('account:2');
SET dlock.client = 't_protect_a';
UPDATE t_account SET balance = 0 WHERE id = 2;

--
-- until commit
--
BEGIN;
UPDATE t_account SET balance = 0 WHERE id = 1;
SELECT dlock_force_release('account:1');
COMMIT;
-- in the same statement, the cached resource included
SELECT dlock_acquire('account:1') AS token1 \gset
BEGIN;
UPDATE t_account SET balance = 0 WHERE id = 1;
UPDATE t_account SET balance = 0 WHERE id = 1 AND dlock_force_release('account:1') = 1;
COMMIT;
-- with a savepoint that is rolled back, its fence goes
SELECT dlock_acquire('account:1') AS token1 \gset
BEGIN;
SAVEPOINT s;
UPDATE t_account SET balance = 0 WHERE id = 1;
ROLLBACK TO s;
SELECT dlock_force_release('account:1');
COMMIT;
-- and has to be put up again
SELECT dlock_acquire('account:1') AS token1 \gset
BEGIN;
SAVEPOINT s;
UPDATE t_account SET balance = 0 WHERE id = 1;
ROLLBACK TO s;
UPDATE t_account SET balance = 0 WHERE id = 1;
SELECT dlock_force_release('account:1');
COMMIT;
BEGIN;
SAVEPOINT s;
SELECT dlock_acquire('account:1', scope := 'transaction') > 0 AS acquired;
UPDATE t_account SET balance = 0 WHERE id = 1;
ROLLBACK TO s;
UPDATE t_account SET balance = 0 WHERE id = 1;
COMMIT;
-- released in the same transaction; not in an earlier one
SELECT dlock_acquire('account:1') AS token1 \gset
BEGIN;
SELECT dlock_release('account:1');
UPDATE t_account SET balance = 105 WHERE id = 1;
COMMIT;
UPDATE t_account SET balance = 0 WHERE id = 1;
-- in a procedure that commits, and an exception that is caught
CREATE PROCEDURE t_protect_commits() LANGUAGE plpgsql AS $$
BEGIN
    PERFORM dlock_acquire('account:1');
    UPDATE t_account SET balance = 106 WHERE id = 1;
    PERFORM dlock_release('account:1');
    COMMIT;
    BEGIN
        UPDATE t_account SET balance = 0 WHERE id = 1;
    EXCEPTION WHEN SQLSTATE 'LK002' THEN
        RAISE INFO 'refused';
    END;
END $$;
CALL t_protect_commits();
SELECT id, balance FROM t_account ORDER BY id;
-- two-phase commit is refused
SELECT dlock_acquire('account:1') AS token1 \gset
BEGIN;
UPDATE t_account SET balance = 0 WHERE id = 1;
PREPARE TRANSACTION 't_protect';
-- one that is there all the same must not hold up all that follows
SELECT count(*) > 0 AS prepared FROM pg_prepared_xacts WHERE gid = 't_protect' \gset
\if :prepared
ROLLBACK PREPARED 't_protect';
\endif
\set VERBOSITY default

--
-- what other triggers make of the row counts; so do generated columns
--
CREATE TABLE t_changed (id int, name text GENERATED ALWAYS AS ('changed:' || id::text) STORED);
CREATE FUNCTION t_changed_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.id := NEW.id + 1;
    RETURN NEW;
END $$;
CREATE TRIGGER zzz BEFORE INSERT OR UPDATE ON t_changed FOR EACH ROW EXECUTE FUNCTION t_changed_trigger();
SELECT dlock_protect('t_changed', 'name');
SELECT dlock_acquire('changed:1') > 0 AS acquired;
INSERT INTO t_changed VALUES (1);
INSERT INTO t_changed VALUES (0);
UPDATE t_changed SET id = 0;
UPDATE t_changed SET id = id;
SELECT * FROM t_changed;
-- rows of one resource, and of many, in one statement
SELECT dlock_unprotect('t_changed');
DROP TRIGGER zzz ON t_changed;
SELECT dlock_protect('t_changed', $$'all'$$);
SELECT dlock_acquire('all') > 0 AS acquired;
INSERT INTO t_changed SELECT generate_series(2, 1000);
SELECT dlock_unprotect('t_changed');
SELECT dlock_protect('t_changed', $$'changed:' || id % 100$$);
SELECT count(dlock_acquire('changed:' || i)) FROM generate_series(0, 98) AS i;
UPDATE t_changed SET id = id + 1 WHERE id <= 99;
UPDATE t_changed SET id = id + 100 WHERE id % 100 < 99;
SELECT count(*), max(id) FROM t_changed;
SELECT dlock_release_all() > 99 AS released;
DROP TABLE t_changed;
DROP FUNCTION t_changed_trigger;
-- foreign keys act as the writer
SELECT dlock_acquire('account:1') AS token1 \gset
CREATE TABLE t_entry (account int REFERENCES t_account ON DELETE CASCADE ON UPDATE CASCADE, what text);
INSERT INTO t_entry VALUES (1, 'entry');
SELECT dlock_protect('t_entry', $$'entries of ' || account$$);
BEGIN;
DELETE FROM t_account WHERE id = 1;
ROLLBACK;
TRUNCATE t_account, t_entry;
SELECT dlock_unprotect('t_account');
TRUNCATE t_account CASCADE;
SELECT dlock_unprotect('t_entry');
DROP TABLE t_entry;
SELECT dlock_protect('t_account', $$'account:' || id$$);

--
-- which tables
--
\set VERBOSITY terse
CREATE VIEW t_view AS SELECT 1 AS id;
CREATE MATERIALIZED VIEW t_matview AS SELECT 1 AS id;
CREATE SEQUENCE t_sequence;
CREATE FOREIGN DATA WRAPPER t_fdw;
CREATE SERVER t_server FOREIGN DATA WRAPPER t_fdw;
CREATE FOREIGN TABLE t_foreign (id int) SERVER t_server;
CREATE TABLE t_parent (id int);
CREATE TABLE t_child () INHERITS (t_parent);
SELECT dlock_protect('t_view', 'id');
SELECT dlock_protect('t_matview', 'id');
SELECT dlock_protect('t_sequence', 'last_value');
SELECT dlock_protect('t_foreign', 'id');
SELECT dlock_protect('t_account_pkey', 'id');
SELECT dlock_protect('pg_class', 'relname');
SELECT dlock_protect('t_parent', 'id');
SELECT dlock_protect(NULL, 'id');
SELECT dlock_protect(0, 'id');
SELECT dlock_unprotect(NULL);
SELECT dlock_unprotect(0);
SELECT dlock_unprotect('t_view');
SELECT dlock_unprotect('t_parent');
\set VERBOSITY default
SELECT dlock_protect('t_child', 'id');
\set VERBOSITY sqlstate
INSERT INTO t_child VALUES (1);
INSERT INTO t_parent VALUES (1);
TRUNCATE t_parent;
TRUNCATE ONLY t_parent;
CREATE TEMP TABLE t_temp (id int) ON COMMIT DELETE ROWS;
CREATE UNLOGGED TABLE t_unlogged (id int);
SELECT dlock_protect('t_temp', 'id'), dlock_protect('t_unlogged', 'id');
INSERT INTO t_temp VALUES (1);
INSERT INTO t_unlogged VALUES (1);
SELECT dlock_acquire('1') > 0 AS acquired;
INSERT INTO t_temp VALUES (1);
INSERT INTO t_unlogged VALUES (1);
SELECT dlock_release('1');
\set VERBOSITY default
DROP TABLE t_parent, t_child, t_temp, t_unlogged;
DROP VIEW t_view;
DROP MATERIALIZED VIEW t_matview;
DROP SEQUENCE t_sequence;

--
-- partitions, with columns in another order, now and later
--
CREATE TABLE t_part (id int, owner text, region int) PARTITION BY LIST (region);
CREATE TABLE t_part1 (dropped int, region int, owner text, id int);
ALTER TABLE t_part1 DROP COLUMN dropped;
ALTER TABLE t_part ATTACH PARTITION t_part1 FOR VALUES IN (1);
SELECT dlock_protect('t_part', $$'part:' || t_part.id || '/' || owner$$);
CREATE TABLE t_part2 (owner text, id int, region int);
ALTER TABLE t_part ATTACH PARTITION t_part2 FOR VALUES IN (2);
CREATE TABLE t_part3 PARTITION OF t_part FOR VALUES IN (3) PARTITION BY LIST (id);
CREATE TABLE t_part31 PARTITION OF t_part3 FOR VALUES IN (1, 2);
SELECT dlock_acquire('part:1/ada') > 0 AS acquired;
\set VERBOSITY sqlstate
INSERT INTO t_part VALUES (1, 'ada', 1);
INSERT INTO t_part VALUES (2, 'ada', 1);
INSERT INTO t_part1 (id, owner, region) VALUES (2, 'ada', 1);
INSERT INTO t_part2 (id, owner, region) VALUES (2, 'ada', 2);
INSERT INTO t_part31 (id, owner, region) VALUES (2, 'ada', 3);
INSERT INTO t_part2 (id, owner, region) VALUES (1, 'ada', 2);
UPDATE t_part SET owner = 'bob' WHERE region = 2;
-- from one partition to another
UPDATE t_part SET region = 3;
UPDATE t_part SET region = 2, owner = 'bob';
SELECT tableoid::regclass, id, owner, region FROM t_part;
TRUNCATE t_part;
TRUNCATE t_part1;
TRUNCATE t_part3;
TRUNCATE t_part31;
DELETE FROM t_part31;
-- a partition is protected as long as it is one
SELECT dlock_unprotect('t_part2');
ALTER TABLE t_part DETACH PARTITION t_part2;
INSERT INTO t_part2 (id, owner, region) VALUES (2, 'ada', 2);
TRUNCATE t_part2;
\set VERBOSITY terse
CREATE FOREIGN TABLE t_part4 PARTITION OF t_part FOR VALUES IN (4) SERVER t_server;
SELECT dlock_unprotect('t_part');
SELECT dlock_protect('t_part', 'id');
\set VERBOSITY default
SELECT count(*) AS triggers FROM pg_trigger WHERE tgname LIKE 'dlock%' AND tgrelid::regclass::text LIKE 't_part%';
SELECT dlock_release_all() > 0 AS released;
DROP TABLE t_part, t_part2;
DROP FOREIGN DATA WRAPPER t_fdw CASCADE;

--
-- roles
--
CREATE ROLE regress_dlock_owner;
CREATE ROLE regress_dlock_writer;
CREATE SCHEMA t_protect_evil AUTHORIZATION regress_dlock_writer;
CREATE SCHEMA t_protect_owner AUTHORIZATION regress_dlock_owner;
SET ROLE regress_dlock_owner;
CREATE FUNCTION t_protect_owner.name_of(int) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'owned:' || $1 $$;
CREATE TABLE t_protect_owner.t (id int);
GRANT USAGE ON SCHEMA t_protect_owner TO regress_dlock_writer;
GRANT INSERT ON t_protect_owner.t TO regress_dlock_writer;
SET search_path = t_protect_owner, public;
\set VERBOSITY terse
SELECT dlock_protect('t_account', 'id');
SELECT dlock_protect('t', 'name_of(id)');
SELECT tgargs FROM pg_trigger WHERE tgrelid = 't'::regclass AND tgname = 'dlock_protect';
SET ROLE regress_dlock_writer;
SELECT dlock_unprotect('t_protect_owner.t');
SELECT dlock_protect('t_protect_owner.t', 'id');
-- names in the expression are those of its author
SET search_path = t_protect_evil, public;
CREATE FUNCTION name_of(int) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'mine' $$;
CREATE FUNCTION evil_concat(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'mine' $$;
CREATE OPERATOR || (LEFTARG = text, RIGHTARG = text, FUNCTION = evil_concat);
SET dlock.client = 't_protect_writer';
SELECT dlock_acquire('mine') > 0 AS acquired;
\set VERBOSITY sqlstate
INSERT INTO t_protect_owner.t VALUES (1);
SELECT dlock_acquire('owned:1') > 0 AS acquired;
-- no other privilege is needed than to write
INSERT INTO t_protect_owner.t VALUES (1);
TRUNCATE t_protect_owner.t;
RESET ROLE;
RESET search_path;
-- the owner is not above it, nor is a superuser
INSERT INTO t_protect_owner.t VALUES (2);
SET ROLE regress_dlock_owner;
INSERT INTO t_protect_owner.t VALUES (2);
-- nobody writes under another role's lease by taking its name
INSERT INTO t_protect_owner.t VALUES (1);
-- a function with its owner's rights works under the caller's lease
CREATE FUNCTION t_protect_owner.put(int) RETURNS void LANGUAGE sql SECURITY DEFINER
AS 'INSERT INTO t_protect_owner.t VALUES ($1)';
SET ROLE regress_dlock_writer;
SELECT t_protect_owner.put(1);
SELECT t_protect_owner.put(2);
RESET ROLE;
SELECT count(*) FROM t_protect_owner.t;
\set VERBOSITY default
-- a function that changes is seen
SET ROLE regress_dlock_owner;
CREATE OR REPLACE FUNCTION t_protect_owner.name_of(int) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'new:' || $1 $$;
SET ROLE regress_dlock_writer;
INSERT INTO t_protect_owner.t VALUES (1);
RESET ROLE;
-- and so is a column: the protection fails, but does not open
ALTER TABLE t_protect_owner.t RENAME COLUMN id TO number;
INSERT INTO t_protect_owner.t VALUES (1);
ALTER TABLE t_protect_owner.t DROP COLUMN number, ADD COLUMN id int;
SET dlock.client = 't_protect_a';
INSERT INTO t_protect_owner.t VALUES (1);
SELECT dlock_acquire('new:1') > 0 AS acquired;
INSERT INTO t_protect_owner.t VALUES (1);
SELECT dlock_release('new:1');
SELECT dlock_release_all(client := 't_protect_writer');
SET client_min_messages = error;
DROP SCHEMA t_protect_evil, t_protect_owner CASCADE;
DROP ROLE regress_dlock_owner, regress_dlock_writer;
RESET client_min_messages;

--
-- ways around it, for those who may, and none by accident
--
SELECT dlock_release('account:1');
\set VERBOSITY sqlstate
SET session_replication_role = replica;
UPDATE t_account SET balance = 11;
ALTER TABLE t_account ENABLE ALWAYS TRIGGER dlock_protect;
UPDATE t_account SET balance = 12;
TRUNCATE t_account;
RESET session_replication_role;
ALTER TABLE t_account DISABLE TRIGGER dlock_protect;
UPDATE t_account SET balance = 12;
ALTER TABLE t_account ENABLE TRIGGER dlock_protect;
UPDATE t_account SET balance = 13;
SELECT balance FROM t_account;
-- the triggers by other names
ALTER TRIGGER dlock_protect ON t_account RENAME TO mine;
UPDATE t_account SET balance = 13;
SELECT dlock_unprotect('t_account');
UPDATE t_account SET balance = 13;
-- without dlock, no protection: the extension does not go unnoticed
SELECT dlock_protect('t_account', $$'account:' || id$$);
DROP EXTENSION dlock;
\set VERBOSITY terse
-- read only
BEGIN READ ONLY;
SELECT dlock_protect('t_account', 'id');
ROLLBACK;
BEGIN READ ONLY;
SELECT dlock_unprotect('t_account');
ROLLBACK;
-- the trigger functions, used otherwise
SELECT dlock.guard_row();
SELECT dlock.guard_truncate();
CREATE TABLE t_wrong (id int);
CREATE TRIGGER wrong BEFORE INSERT ON t_wrong FOR EACH ROW EXECUTE FUNCTION dlock.guard_row('id');
INSERT INTO t_wrong VALUES (1);
DROP TRIGGER wrong ON t_wrong;
CREATE TRIGGER wrong AFTER INSERT ON t_wrong FOR EACH STATEMENT EXECUTE FUNCTION dlock.guard_row('id');
INSERT INTO t_wrong VALUES (1);
DROP TRIGGER wrong ON t_wrong;
CREATE TRIGGER wrong AFTER INSERT ON t_wrong FOR EACH ROW EXECUTE FUNCTION dlock.guard_row();
INSERT INTO t_wrong VALUES (1);
DROP TRIGGER wrong ON t_wrong;
CREATE TRIGGER wrong AFTER INSERT ON t_wrong FOR EACH ROW EXECUTE FUNCTION dlock.guard_row('id FROM t_account');
INSERT INTO t_wrong VALUES (1);
DROP TABLE t_wrong;
\set VERBOSITY default

DROP TABLE t_account;
DROP PROCEDURE t_protect_commits;
SELECT dlock_release_all() >= 0 AS released;
SELECT count(*) AS left FROM dlock_list() WHERE client LIKE 't_protect%';
