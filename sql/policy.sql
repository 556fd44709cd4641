--
-- dlock.deadlock_policy decides whether a request may wait at all: always, or
-- only for clients that have been holding leases for less long, or never.  It
-- never takes away what a client has, and never lets anybody have what is not
-- free.  An age that began with a lease given back long ago, or with the
-- session, would show here.
--
\set SHOW_CONTEXT never
SET statement_timeout = '1min';
SET intervalstyle = postgres;
SET dlock.default_ttl = '1h';
SET dlock.client = 't_policy_a';

-- tries to take a lease for a moment, and tells what comes of it: an end after
-- the wait, or without
CREATE FUNCTION pg_temp.attempt(resource text, client text, mode text DEFAULT 'exclusive') RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    place text;
BEGIN
    RETURN 'token ' || (dlock_acquire(resource, '10 ms', mode := mode, client := client) > 0);
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
    GET STACKED DIAGNOSTICS place = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || CASE WHEN place ~ 'at place' THEN ', waited' ELSE ', did not wait' END;
END $$;

SHOW dlock.deadlock_policy;
SET dlock.deadlock_policy = 'sometimes';

-- old holds since before young does; nobody holds nothing
SELECT dlock_acquire('t_policy:old', client := 't_policy_old') > 0 AS old,
       dlock_acquire('t_policy:young', client := 't_policy_young') > 0 AS young;
CREATE TEMPORARY VIEW answers AS
    SELECT who, what, pg_temp.attempt('t_policy:' || what, 't_policy_' || who) AS answer
      FROM (VALUES ('old', 'young'), ('young', 'old'), ('nobody', 'old'), ('nobody', 'young'),
                   ('old', 'old')) AS v (who, what);
TABLE answers;
SET dlock.deadlock_policy = wait_die;
TABLE answers;
SET dlock.deadlock_policy = no_wait;
TABLE answers;
SELECT resource, client, hold_count FROM dlock_list() WHERE client LIKE 't_policy%' ORDER BY 1, 2;
SELECT dlock_release_all('t_policy_old'), dlock_release_all('t_policy_young');

-- what is free is granted, whatever the policy
SELECT dlock_acquire('t_policy:old', mode := 'shared', client := 't_policy_old') > 0 AS old,
       dlock_acquire('t_policy:young', client := 't_policy_young') > 0 AS young;
SELECT pg_temp.attempt('t_policy:free', 't_policy_young') AS no_wait, pg_temp.attempt('t_policy:old', 't_policy_young', 'shared') AS shared;
SET dlock.deadlock_policy = wait_die;
SELECT pg_temp.attempt('t_policy:more', 't_policy_young') AS wait_die, pg_temp.attempt('t_policy:old', 't_policy_young', 'shared') AS shared;
-- an upgrade waits for the other holders
SELECT pg_temp.attempt('t_policy:old', 't_policy_young') AS young_upgrades, pg_temp.attempt('t_policy:old', 't_policy_old') AS old_upgrades;
SELECT resource, client, mode, hold_count FROM dlock_list() WHERE client LIKE 't_policy%' ORDER BY 1, 2;

-- what is said
SELECT dlock_acquire('t_policy:old', client := 't_policy_young');
SELECT dlock_set_options('t_policy:old', mode := 'exclusive', client := 't_policy_young');
SELECT dlock_acquire_all('{t_policy:free2,t_policy:old}', client := 't_policy_young');
-- to try is not an error
SELECT dlock_try_acquire('t_policy:old', '1 min', client := 't_policy_young') AS try,
       (SELECT count(*) FROM dlock_try_acquire_all('{t_policy:free2,t_policy:old}', '1 min', client := 't_policy_young')) AS try_all,
       (dlock_status('t_policy:free2')).status;
SET dlock.deadlock_policy = no_wait;
SELECT dlock_try_acquire('t_policy:old', '1 min', client := 't_policy_young') AS try;
\set VERBOSITY terse
SELECT dlock_set_options('t_policy:old', mode := 'exclusive', client := 't_policy_young');
SELECT dlock_acquire('t_policy:young', client := 't_policy_old');
SELECT dlock_acquire_all('{t_policy:free2,t_policy:young}', client := 't_policy_old');
\set VERBOSITY default
SELECT count(*) AS waiters FROM dlock_queue();
SELECT dlock_release_all('t_policy_old') > 0 AS old, dlock_release_all('t_policy_young') > 0 AS young;

--
-- The age
--
SET dlock.deadlock_policy = wait_die;
-- goes by the first lease, also after that one was given back
SELECT dlock_acquire('t_policy:1', client := 't_policy_old') > 0 AS first,
       dlock_acquire('t_policy:2', client := 't_policy_young') > 0 AS second,
       dlock_acquire('t_policy:3', client := 't_policy_old') > 0 AS third;
SELECT dlock_release('t_policy:1', client := 't_policy_old');
SELECT pg_temp.attempt('t_policy:2', 't_policy_old') AS still_older, pg_temp.attempt('t_policy:3', 't_policy_young') AS still_younger;
-- and begins anew when none is left
SELECT dlock_release('t_policy:3', client := 't_policy_old');
SELECT dlock_acquire('t_policy:3', client := 't_policy_old') > 0 AS later;
SELECT pg_temp.attempt('t_policy:2', 't_policy_old') AS now_younger, pg_temp.attempt('t_policy:3', 't_policy_young') AS now_older;
-- renewals, conversions and more holds change nothing
SELECT dlock_renew_all(client := 't_policy_old'), dlock_acquire('t_policy:2', client := 't_policy_young') > 0 AS again,
       dlock_set_options('t_policy:2', ttl := '2 h', client := 't_policy_young');
SELECT pg_temp.attempt('t_policy:2', 't_policy_old') AS now_younger, pg_temp.attempt('t_policy:3', 't_policy_young') AS now_older;
-- it is the client's, whatever the session
SET dlock.client = 't_policy_old';
SELECT dlock_acquire('t_policy:2');
RESET dlock.client;
SELECT dlock_release_all('t_policy_old') > 0 AS old, dlock_release_all('t_policy_young') > 0 AS young;

-- for one transaction, a role, a function
BEGIN;
SET LOCAL dlock.deadlock_policy = no_wait;
COMMIT;
SHOW dlock.deadlock_policy;
CREATE FUNCTION pg_temp.never_waits(resource text) RETURNS bigint LANGUAGE sql
SET dlock.deadlock_policy = no_wait AS $$ SELECT dlock_acquire(resource) $$;
SELECT dlock_acquire('t_policy:1', client := 't_policy_old') > 0 AS old;
\set VERBOSITY terse
SELECT pg_temp.never_waits('t_policy:1');
SELECT dlock_release_all('t_policy_old');
SELECT count(*) AS held FROM dlock_list() WHERE client LIKE 't_policy%';
