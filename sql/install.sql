--
-- CREATE EXTENSION makes exactly the documented objects, each with a comment,
-- wherever its functions are wanted, and can be repeated; DROP EXTENSION takes
-- everything with it.  An object forgotten in the script, a function that
-- expects to live in "public", or a writer that is not told of the new or the
-- dropped extension would show here.
--
\set SHOW_CONTEXT never
SET statement_timeout = '1min';
-- without types: PostgreSQL 17 counts those of tables as members
SELECT pg_describe_object(classid, objid, 0) AS member
  FROM pg_depend
 WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
   AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'dlock')
   AND classid <> 'pg_type'::regclass
 ORDER BY pg_describe_object(classid, objid, 0) COLLATE "C";
SELECT p.proname, pg_get_function_identity_arguments(p.oid) AS arguments,
       pg_get_function_result(p.oid) AS result
  FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass
 WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
   AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'dlock')
 ORDER BY p.proname COLLATE "C";
\d dlock.*

-- nothing without a comment
SELECT pg_describe_object(classid, objid, 0) AS uncommented
  FROM pg_depend
 WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
   AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'dlock')
   AND classid IN ('pg_proc'::regclass, 'pg_class'::regclass, 'pg_namespace'::regclass)
   AND NOT EXISTS (SELECT FROM pg_class WHERE oid = objid AND relkind = 'S')
   AND obj_description(objid, classid::regclass::name) IS NULL;

-- what a dump carries: clients and token bounds, never leases
SELECT unnest(extconfig)::regclass AS dumped FROM pg_extension
 WHERE extname = 'dlock' ORDER BY 1::text COLLATE "C";

-- settings, their built-in values and who may change them
SELECT name, boot_val, unit, context, min_val, max_val FROM pg_settings
 WHERE name LIKE 'dlock.%' AND name NOT LIKE 'dlock.debug%'
 ORDER BY name COLLATE "C";
SELECT current_setting('dlock.default_ttl') AS default_ttl,
       current_setting('dlock.max_ttl') AS max_ttl,
       current_setting('dlock.durable') AS durable,
       current_setting('dlock.client') AS client;
SET dlock.no_such_setting = 1;
SET dlock.max_leases = 10;

-- a lease of its own length where none is given
SELECT dlock_acquire('t_install:default', client := 't_install') > 0 AS acquired;
SELECT remaining > '20 s' AND remaining <= '30 s' AS thirty_seconds
  FROM dlock_list('t_install');

-- the extension cannot be moved, and DROP can be taken back
ALTER EXTENSION dlock SET SCHEMA pg_catalog;
BEGIN;
DROP EXTENSION dlock;
SELECT to_regclass('dlock.locks') IS NULL AS gone;
ROLLBACK;
SELECT resource, hold_count FROM dlock_list('t_install');

-- DROP takes everything, leases included
DROP EXTENSION dlock;
SELECT count(*) AS functions FROM pg_proc WHERE proname LIKE 'dlock%';
SELECT count(*) AS schemas FROM pg_namespace WHERE nspname = 'dlock';
\set VERBOSITY terse
SELECT dlock_acquire('t_install:default');
\set VERBOSITY default

-- in the transaction that creates it, nothing can be acquired yet
BEGIN;
CREATE EXTENSION dlock;
\set VERBOSITY sqlstate
SELECT dlock_acquire('t_install:early');
\set VERBOSITY default
ROLLBACK;
SELECT to_regclass('dlock.locks') IS NULL AS rolled_back;

-- elsewhere than in public, with public out of the way
CREATE SCHEMA t_install;
CREATE EXTENSION dlock SCHEMA t_install;
SELECT n.nspname, count(*)
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE proname LIKE 'dlock%' GROUP BY 1;
SET search_path = pg_catalog;
SELECT status FROM t_install.dlock_status('t_install:default');
SELECT t_install.dlock_acquire('t_install:default', client := 't_install2') > 0 AS acquired;
SELECT resource, client, mode FROM t_install.dlock_list();
SELECT resource_name, owner FROM dlock.locks WHERE status = 'held';
SELECT waiters FROM t_install.dlock_renew('t_install:default', client := 't_install2');
SELECT t_install.dlock_release('t_install:default', client := 't_install2');
SELECT status FROM t_install.dlock_status('t_install:default');
RESET search_path;

-- and back again, leaving no trace of what was
SELECT t_install.dlock_acquire('t_install:old', client := 't_install3') > 0 AS acquired;
DROP EXTENSION dlock;
DROP SCHEMA t_install;
CREATE EXTENSION dlock;
SELECT status, holders, waiters FROM dlock_status('t_install:old');
SELECT count(*) AS leases FROM dlock_list();
SELECT count(*) AS clients FROM dlock.clients WHERE name = 't_install3';
SELECT dlock_acquire('t_install:old', client := 't_install4') > 0 AS acquired;
SELECT dlock_release('t_install:old', client := 't_install4');
