--
-- A client belongs to the role that first used its name: a role without the
-- privileges of that role can neither take, release, renew nor
-- change its leases.  A call that forgets to ask would let anybody end
-- anybody's lease.  Ending leases by force is for those who were given it.
--
\set SHOW_CONTEXT never
SET statement_timeout = '1min';
SET dlock.default_ttl = '1h';

CREATE ROLE regress_dlock_alice;
CREATE ROLE regress_dlock_bob;
CREATE ROLE regress_dlock_member IN ROLE regress_dlock_alice;
CREATE ROLE regress_dlock_noinherit NOINHERIT IN ROLE regress_dlock_alice;
CREATE ROLE regress_dlock_admin;

-- the first use of a name makes it one's own
SET ROLE regress_dlock_alice;
SELECT dlock_acquire('t_owner:1', client := 't_owner_alice') AS token \gset
SELECT client, role FROM dlock_list('t_owner_alice');
RESET ROLE;
SELECT wait_until($$ count(*) = 1 FROM dlock.clients WHERE name = 't_owner_alice' $$);
SELECT id > 0 AS id, name, role, created_at <= clock_timestamp() AS created
  FROM dlock.clients WHERE name = 't_owner_alice';
SELECT l.owner, l.owner_role, l.owner_id = c.id AS its_id
  FROM dlock.locks AS l, dlock.clients AS c
 WHERE l.resource_name = 't_owner:1' AND l.status = 'held' AND c.name = 't_owner_alice';

-- and a new client's number is in the first row of its lease
SELECT count(dlock_acquire('t_owner:new' || i, client := 't_owner_new' || i)) FROM generate_series(1, 20) AS i;
SELECT count(*) FROM dlock.locks AS l JOIN dlock.clients AS c ON c.id = l.owner_id AND c.name = l.owner
 WHERE l.owner LIKE 't_owner_new%' AND l.status = 'held';
SELECT sum(dlock_release_all('t_owner_new' || i)) FROM generate_series(1, 20) AS i;

-- another role cannot speak for that client, in any way
SET ROLE regress_dlock_bob;
SELECT dlock_acquire('t_owner:2', client := 't_owner_alice');
SELECT dlock_try_acquire('t_owner:1', client := 't_owner_alice');
SELECT dlock_release('t_owner:1', client := 't_owner_alice');
SELECT dlock_release('t_owner:1', :token, 't_owner_alice');
SELECT dlock_release('t_owner:never', client := 't_owner_alice');
SELECT dlock_release_all('t_owner_alice');
SELECT dlock_renew('t_owner:1', client := 't_owner_alice');
SELECT dlock_renew_all(client := 't_owner_alice');
SELECT dlock_set_options('t_owner:1', mode := 'shared', client := 't_owner_alice');
SELECT dlock_set_options('t_owner:1', priority := 1, client := 't_owner_alice');
\echo :LAST_ERROR_SQLSTATE
SET dlock.client = 't_owner_alice';
SELECT dlock_release('t_owner:1', :token);
RESET dlock.client;
-- nor end its lease as somebody else; looking is free
SELECT dlock_release('t_owner:1', :token, 't_owner_bob') AS as_bob,
       dlock_try_acquire('t_owner:1', client := 't_owner_bob') AS busy;
SELECT status, holder, token = :token AS same FROM dlock_status('t_owner:1');
SELECT resource, client, role, hold_count FROM dlock_list('t_owner_alice');
SELECT dlock_force_release('t_owner:1');

-- members of the role can, unless they do not inherit
SET ROLE regress_dlock_member;
SELECT dlock_acquire('t_owner:1', client := 't_owner_alice') = :token AS same;
SELECT waiters FROM dlock_renew('t_owner:1', client := 't_owner_alice');
SELECT dlock_release('t_owner:1', client := 't_owner_alice');
SET ROLE regress_dlock_noinherit;
SELECT dlock_release('t_owner:1', client := 't_owner_alice');
-- a member's own client is not the role's
SET ROLE regress_dlock_member;
SELECT dlock_acquire('t_owner:3', client := 't_owner_member') > 0 AS acquired;
SET ROLE regress_dlock_alice;
SELECT dlock_release('t_owner:3', client := 't_owner_member');
-- superusers can
RESET ROLE;
SELECT waiters FROM dlock_renew('t_owner:1', token := :token, client := 't_owner_alice');
SELECT dlock_release('t_owner:3', client := 't_owner_member');

-- the name stays the role's when nothing is held any more
SET ROLE regress_dlock_alice;
SELECT dlock_release('t_owner:1', :token, 't_owner_alice');
SET ROLE regress_dlock_bob;
SELECT dlock_acquire('t_owner:1', client := 't_owner_alice');
SELECT dlock_acquire('t_owner:1', client := 't_owner_bob') > :token AS acquired;
-- a superuser's client is nobody else's
RESET ROLE;
SELECT dlock_acquire('t_owner:super', client := 't_owner_super') > 0 AS acquired;
SET ROLE regress_dlock_bob;
\set VERBOSITY sqlstate
SELECT dlock_release('t_owner:super', client := 't_owner_super');
\set VERBOSITY default
RESET ROLE;
SELECT dlock_release('t_owner:super', client := 't_owner_super');

-- neither is a session's own, for a role set later
SELECT dlock_acquire('t_owner:anonymous') > 0 AS acquired;
SET ROLE regress_dlock_bob;
\set VERBOSITY sqlstate
SELECT dlock_release('t_owner:anonymous');
SELECT dlock_renew('t_owner:anonymous');
\set VERBOSITY default
RESET ROLE;
SELECT holder LIKE 'session/%' AS mine, status FROM dlock_status('t_owner:anonymous');
SELECT dlock_release('t_owner:anonymous');

-- a function that runs with its owner's rights acts for its owner
SET ROLE regress_dlock_alice;
CREATE FUNCTION pg_temp.for_alice() RETURNS boolean
LANGUAGE sql SECURITY DEFINER AS $$ SELECT dlock_acquire('t_owner:definer', client := 't_owner_alice') > 0 $$;
SET ROLE regress_dlock_bob;
SELECT pg_temp.for_alice();
\set VERBOSITY sqlstate
SELECT dlock_release('t_owner:definer', client := 't_owner_alice');
\set VERBOSITY default
SET ROLE regress_dlock_alice;
SELECT client, role FROM dlock_list('t_owner_alice');
SELECT dlock_release('t_owner:definer', client := 't_owner_alice');
DROP FUNCTION pg_temp.for_alice;
RESET ROLE;

-- by force: a privilege that can be given and taken
GRANT EXECUTE ON FUNCTION dlock_force_release TO regress_dlock_admin;
SET ROLE regress_dlock_admin;
\set VERBOSITY sqlstate
SELECT dlock_release('t_owner:1', client := 't_owner_bob');
\set VERBOSITY default
SELECT dlock_force_release('t_owner:1') AS ended;
SELECT status FROM dlock_status('t_owner:1');
RESET ROLE;
REVOKE EXECUTE ON FUNCTION dlock_force_release FROM regress_dlock_admin;
SET ROLE regress_dlock_admin;
SELECT dlock_force_release('t_owner:1');
-- and so is every other
RESET ROLE;
REVOKE EXECUTE ON FUNCTION dlock_acquire FROM PUBLIC;
SET ROLE regress_dlock_bob;
SELECT dlock_acquire('t_owner:1');
RESET ROLE;
GRANT EXECUTE ON FUNCTION dlock_acquire TO PUBLIC;

-- the longest lease is for superusers to decide; the rest is one's own
SET ROLE regress_dlock_bob;
SET dlock.max_ttl = '10d';
SET dlock.default_ttl = '1min';
SET dlock.durable = off;
RESET dlock.durable;
RESET ROLE;

-- a role that is dropped leaves its clients to superusers
SET ROLE regress_dlock_admin;
SELECT dlock_acquire('t_owner:gone', client := 't_owner_gone') > 0 AS acquired;
RESET ROLE;
SELECT wait_until($$ count(*) = 1 FROM dlock.clients WHERE name = 't_owner_gone' $$);
DROP ROLE regress_dlock_admin;
SELECT role ~ '^[0-9]+$' AS number FROM dlock_list('t_owner_gone');
SET ROLE regress_dlock_bob;
SELECT dlock_release('t_owner:gone', client := 't_owner_gone');
RESET ROLE;
SELECT dlock_release('t_owner:gone', client := 't_owner_gone');

-- a session that is gone: its client's leases can be ended under the client's
-- name, by its role and by no other
\c -
SET ROLE regress_dlock_bob;
SELECT dlock_acquire('t_owner:left', scope := 'lease') > 0 AS acquired;
SELECT holder AS anonymous FROM dlock_status('t_owner:left') \gset
\c -
SET ROLE regress_dlock_alice;
\set VERBOSITY sqlstate
SELECT dlock_release('t_owner:left', client := :'anonymous');
\set VERBOSITY default
SET ROLE regress_dlock_bob;
SELECT dlock_release('t_owner:left');
SELECT waiters FROM dlock_renew('t_owner:left', client := :'anonymous');
SELECT dlock_release('t_owner:left', client := :'anonymous');
SELECT status FROM dlock_status('t_owner:left');
RESET ROLE;

SELECT count(*) FROM dlock_list() WHERE resource LIKE 't_owner%';
DROP ROLE regress_dlock_alice, regress_dlock_bob, regress_dlock_member, regress_dlock_noinherit;
