--
-- Several resources in one call: all of them or none, whatever is in the way,
-- each name once, each with its own token, and one wait for the disk.  A
-- resource taken before it is known that the next is not available, a hold
-- counted for each mention of a name, a lease that was waited for and never
-- acknowledged would show here.
--
\set SHOW_CONTEXT never
SET statement_timeout = '1min';
SET intervalstyle = postgres;
SET dlock.default_ttl = '1h';
SET dlock.client = 't_all_a';

CREATE VIEW pg_temp.leases AS
    SELECT resource, client, mode, scope, hold_count FROM dlock_list()
     WHERE resource LIKE 't_all:%' ORDER BY resource COLLATE "C", client;

-- one, two, a thousand
SELECT resource, token > 0 AS token FROM dlock_acquire_all('{t_all:1}');
SELECT resource, token > 0 AS token FROM dlock_acquire_all('{t_all:3,t_all:2}');
TABLE leases;
SELECT dlock_release_all();
SELECT count(*), count(DISTINCT token) AS tokens, count(DISTINCT resource) AS resources,
       bool_and(rises) AS in_the_order_of_names
  FROM (SELECT resource, token, token > lag(token, 1, 0::int8) OVER (ORDER BY resource COLLATE "C") AS rises
          FROM dlock_acquire_all(ARRAY(SELECT 't_all:' || i FROM generate_series(1, 1000) AS i ORDER BY i DESC))) AS t;
SELECT count(*) AS held, sum(hold_count) AS holds FROM leases;
-- their rows are there when the call returns
SELECT count(*) AS written FROM dlock.locks WHERE resource_name LIKE 't_all:%' AND status = 'held' AND hold_count = 1;
SELECT dlock_release_all();
SELECT count(*) AS held FROM leases;

-- none
SELECT count(*) FROM dlock_acquire_all('{}');
SELECT count(*) FROM dlock_try_acquire_all('{}');
TABLE leases;

-- a name that is given more often counts once; other names are other resources
SELECT resource FROM dlock_acquire_all('{t_all:b,t_all:a,t_all:b,t_all:b,T_all:a,"t_all:a "}');
SELECT resource, hold_count FROM dlock_list('t_all_a') ORDER BY resource COLLATE "C";
SELECT dlock_release_all();
-- in any shape, and where a set may stand
SELECT resource FROM dlock_acquire_all('{{t_all:d,t_all:c},{t_all:b,t_all:a}}');
SELECT dlock_release_all();
SELECT (dlock_acquire_all('{t_all:b,t_all:a}')).resource;
SELECT dlock_release_all();
SELECT count(*) AS one_shown FROM (SELECT FROM dlock_acquire_all('{t_all:b,t_all:a}') LIMIT 1) AS t;
SELECT count(*) AS both_taken FROM leases;
SELECT dlock_release_all();

-- some are held already: the same token, one hold more
SELECT dlock_acquire('t_all:2', mode := 'shared') AS token2 \gset
SELECT dlock_acquire('t_all:3') AS token3 \gset
SELECT resource, token = :token2 AS second, token = :token3 AS third FROM dlock_acquire_all('{t_all:1,t_all:2,t_all:3}', '0');
TABLE leases;
SELECT mode, hold_count FROM dlock.locks WHERE resource_name LIKE 't_all:%' AND status = 'held' ORDER BY resource_name;
SELECT count(dlock_release(resource, token)) AS released FROM dlock_list('t_all_a');
-- as they were, but for the mode that was asked for
TABLE leases;
SELECT dlock_release_all();

-- all that dlock_acquire takes
SELECT resource, token > 0 AS token
  FROM dlock_acquire_all('{t_all:1,t_all:2}', '1 s', '90 s', 'shared', 5, 'lease', 't_all_b');
SELECT resource, token > 0 AS token
  FROM dlock_try_acquire_all(client => 't_all_c', resources => '{t_all:1,t_all:2}', mode => 'shared');
TABLE leases;
SELECT resource_name, owner, ttl FROM dlock.locks WHERE resource_name LIKE 't_all:%' AND status = 'held' ORDER BY 1, 2;
SELECT dlock_release_all('t_all_b'), dlock_release_all('t_all_c');

--
-- One is not available
--
SELECT dlock_acquire('t_all:2', client := 't_all_b') > 0 AS other;
SELECT count(*) AS tried FROM dlock_try_acquire_all('{t_all:3,t_all:2,t_all:1}');
SELECT count(*) AS tried_for_long FROM dlock_try_acquire_all('{t_all:3,t_all:2,t_all:1}', '10 ms');
-- the message names it
SELECT report($$ SELECT dlock_acquire_all('{t_all:3,t_all:2,t_all:1}', '0') $$);
SELECT report($$ SELECT dlock_acquire_all('{t_all:3,t_all:2,t_all:1}', '10 ms') $$);
SET lock_timeout = '10ms';
SELECT report($$ SELECT dlock_acquire_all('{t_all:3,t_all:2,t_all:1}') $$);
SELECT report($$ SELECT dlock_try_acquire_all('{t_all:3,t_all:2,t_all:1}', '1 day') $$);
SET lock_timeout = '1h';
SELECT count(*) AS own_limit_first FROM dlock_try_acquire_all('{t_all:3,t_all:2,t_all:1}', '10 ms');
RESET lock_timeout;
SET statement_timeout = '200ms';
SELECT dlock_acquire_all('{t_all:3,t_all:2,t_all:1}');
SET statement_timeout = '1min';
-- of two, the first by name
SELECT dlock_acquire('t_all:1', mode := 'shared', client := 't_all_c') > 0 AS other;
SELECT report($$ SELECT dlock_acquire_all('{t_all:3,t_all:2,t_all:1}', '10 ms') $$);
-- nothing was taken, and nobody waits
TABLE leases;
SELECT count(*) AS waiters FROM dlock_queue();
-- what the caller had stays as it was
SELECT count(*) AS first FROM dlock_acquire_all('{t_all:3,t_all:4}');
SELECT dlock_acquire('t_all:5', mode := 'shared') > 0 AS shared;
SELECT count(*) AS tried FROM dlock_try_acquire_all('{t_all:5,t_all:4,t_all:3,t_all:2}', '10 ms');
TABLE leases;
-- an upgrade is one more way to fail
SELECT dlock_acquire('t_all:5', mode := 'shared', client := 't_all_c') > 0 AS other;
SELECT report($$ SELECT dlock_acquire_all('{t_all:6,t_all:5,t_all:4}', '10 ms') $$);
TABLE leases;
SELECT dlock_release_all(), dlock_release_all('t_all_b'), dlock_release_all('t_all_c');

-- a lease whose time is over is in nobody's way
SELECT count(*) FROM dlock_acquire_all('{t_all:1,t_all:2}', ttl := '1 ms', client := 't_all_b');
SELECT count(*) FROM dlock_acquire_all('{t_all:1,t_all:2}', '1 min');
TABLE leases;
SELECT dlock_release_all();
-- and a call waits for it
SELECT count(*) FROM dlock_acquire_all('{t_all:1,t_all:2}', ttl := '50 ms', client := 't_all_b');
SELECT count(*) FROM dlock_acquire_all('{t_all:0,t_all:1,t_all:2}', '1 min');
TABLE leases;
-- its own clocks run for their whole time
SELECT bool_and(remaining > '59 min') AS full FROM dlock_list('t_all_a');
SELECT dlock_renew_all() AS renewed;
SELECT dlock_release_all();

-- one that was waited for and needs no flush is acknowledged like the others
CREATE FUNCTION pg_temp.state(OUT renewed int8, OUT clocks int8) LANGUAGE sql AS
    $$ SELECT dlock_renew_all(), count(expires_at) FROM dlock_list('t_all_a') $$;
SET dlock.durable = off;
SELECT dlock_acquire('t_all:2', ttl := '50 ms', client := 't_all_b') > 0 AS other;
SELECT count(*) FROM dlock_acquire_all('{t_all:1,t_all:2,t_all:3}', '1 min');
SELECT * FROM pg_temp.state();
SELECT dlock_release_all();
RESET dlock.durable;
BEGIN;
SELECT dlock_acquire('t_all:2', ttl := '50 ms', client := 't_all_b') > 0 AS other;
SELECT count(*) FROM dlock_acquire_all('{t_all:1,t_all:2,t_all:3}', '1 min', '1 h', scope := 'transaction');
SELECT * FROM pg_temp.state();
COMMIT;
TABLE leases;

--
-- Scopes
--
BEGIN;
SELECT count(*) FROM dlock_acquire_all('{t_all:1,t_all:2}', scope := 'transaction');
SAVEPOINT s;
SELECT count(*) FROM dlock_acquire_all('{t_all:2,t_all:3}', scope := 'transaction');
SELECT count(*) FROM dlock_acquire_all('{t_all:3,t_all:4}');
TABLE leases;
ROLLBACK TO s;
TABLE leases;
COMMIT;
TABLE leases;
SELECT dlock_release_all();
BEGIN;
SELECT count(*) FROM dlock_acquire_all('{t_all:1,t_all:2}', scope := 'session');
ROLLBACK;
TABLE leases;
DISCARD ALL;
SET statement_timeout = '1min';
SET intervalstyle = postgres;
SET dlock.client = 't_all_a';
SET dlock.default_ttl = '1h';
SELECT count(*) AS held FROM dlock_list() WHERE client LIKE 't_all%';
-- no xid, also in a transaction that may not write
BEGIN READ ONLY;
SELECT count(*) FROM dlock_acquire_all('{t_all:1,t_all:2}');
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_xid, dlock_release_all() AS released;
COMMIT;

--
-- Wrong
--
SELECT dlock_acquire_all(NULL);
SELECT count(*) AS at_most FROM dlock_acquire_all(ARRAY(SELECT 't_all:' || i FROM generate_series(1, 10000) AS i));
SELECT dlock_release_all() AS at_most;
SELECT dlock_acquire_all(ARRAY(SELECT 't_all:' || i FROM generate_series(1, 10001) AS i));
\set VERBOSITY sqlstate
SELECT dlock_acquire_all(ARRAY(SELECT 't_all:' || i FROM generate_series(1, 10001) AS i));
SELECT dlock_try_acquire_all(array_fill('t_all:1'::text, '{100,101}'));
\set VERBOSITY default
SELECT dlock_acquire_all(array_fill(NULL::text, '{3000000}'));
SELECT dlock_try_acquire_all(NULL);
SELECT dlock_acquire_all('{t_all:1,NULL}');
SELECT dlock_acquire_all('{t_all:1,""}');
SELECT dlock_acquire_all(ARRAY['t_all:1', repeat('x', 256)]);
SELECT dlock_acquire_all('{t_all:1}', '-1 s');
SELECT dlock_acquire_all('{t_all:1}', ttl := '0');
SELECT dlock_acquire_all('{t_all:1}', mode := 'update');
SELECT dlock_acquire_all('{t_all:1}', scope := 'forever');
SELECT dlock_acquire_all('{t_all:1}', priority := NULL);
SELECT dlock_acquire_all('{t_all:1}', client := '');
SELECT dlock_try_acquire_all('{t_all:1}', NULL);
SELECT dlock_acquire_all('t_all:1');
\set VERBOSITY terse
SELECT dlock_acquire_all('{1,2}'::int[]);
\set VERBOSITY default
SELECT count(*) AS held FROM dlock_list() WHERE client LIKE 't_all%';
SELECT count(*) AS waiters FROM dlock_queue();
