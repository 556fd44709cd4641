--
-- Every grant has a token greater than all before; a client that has a lease
-- gets it again, with the same token; where somebody else has it, a request
-- ends in time and leaves nothing in the queue.  A token that is reused, a
-- hold that is not counted, a waiter left behind or a grant acknowledged
-- before its row is written would show here.
--
\set SHOW_CONTEXT never
SET statement_timeout = '1min';
SET intervalstyle = postgres;
SET dlock.default_ttl = '1h';
SET dlock.client = 't_acquire_a';

-- tokens rise, on whatever resource, and a lease given back is a new one next time
SELECT dlock_acquire('t_acquire:1') AS t1 \gset
SELECT dlock_acquire('t_acquire:2') AS t2 \gset
SELECT dlock_release('t_acquire:1');
SELECT dlock_acquire('t_acquire:1') AS t3 \gset
SELECT dlock_try_acquire('t_acquire:3') AS t4 \gset
SELECT :t1 > 0 AND :t2 > :t1 AND :t3 > :t2 AND :t4 > :t3 AS rises;
SELECT dlock_release_all();

WITH grants AS MATERIALIZED (
    SELECT i, dlock_acquire('t_acquire:many' || i) AS token
      FROM generate_series(1, 1000) AS i
), neighbours AS (
    SELECT token, lag(token) OVER (ORDER BY i) AS before FROM grants
)
SELECT count(*), count(DISTINCT token),
       bool_and(token > before) AS each_higher, min(token) > :t4 AS all_higher
  FROM neighbours;
SELECT count(*) FROM dlock_list('t_acquire_a');
SELECT dlock_release_all();

-- once more by the same client: the same token, counted
SELECT dlock_acquire('t_acquire:again') AS token \gset
SELECT dlock_acquire('t_acquire:again') = :token AS same,
       dlock_try_acquire('t_acquire:again') = :token AS same_by_try,
       dlock_acquire('t_acquire:again', timeout := '0') = :token AS same_in_no_time;
SELECT hold_count, mode FROM dlock_list('t_acquire_a');
-- in a weaker mode as well; it stays exclusive
SELECT dlock_acquire('t_acquire:again', mode := 'shared') = :token AS same;
SELECT hold_count, mode FROM dlock_list('t_acquire_a');
SELECT dlock_try_acquire('t_acquire:again', mode := 'shared', client := 't_acquire_b') AS other;
-- the count is in the table when the call returns
SELECT hold_count, mode, token = :token AS same_token FROM dlock.locks
 WHERE resource_name = 't_acquire:again' AND status = 'held';
SELECT dlock_release_all();

-- in a stronger mode: still the same lease, made stronger
SELECT dlock_acquire('t_acquire:up', mode := 'shared') AS token \gset
SELECT dlock_acquire('t_acquire:up') = :token AS same;
SELECT hold_count, mode FROM dlock_list('t_acquire_a');
SELECT mode, hold_count FROM dlock.locks
 WHERE resource_name = 't_acquire:up' AND status = 'held';
SELECT dlock_release('t_acquire:up');
SELECT hold_count, mode FROM dlock_list('t_acquire_a');
SELECT dlock_release('t_acquire:up');

-- not while another shares it: nothing changes then
SELECT dlock_acquire('t_acquire:up', mode := 'shared') AS token \gset
SELECT dlock_acquire('t_acquire:up', mode := 'shared', client := 't_acquire_b') > :token AS shared;
SELECT dlock_try_acquire('t_acquire:up') AS busy, dlock_try_acquire('t_acquire:up', '10 ms') AS late;
SELECT report($$ SELECT dlock_acquire('t_acquire:up', '10 ms') $$);
SELECT client, hold_count, mode FROM dlock_list() WHERE resource = 't_acquire:up' ORDER BY client;
SELECT count(*) AS waiters FROM dlock_queue('t_acquire:up');
SELECT dlock_release_all(client := 't_acquire_b');
SELECT dlock_try_acquire('t_acquire:up') = :token AS same;
SELECT dlock_release_all();

-- a name is exact
SELECT dlock_acquire('t_acquire:name') > 0 AS acquired;
SELECT dlock_try_acquire(name, client := 't_acquire_b') > 0 AS another
  FROM (VALUES ('T_acquire:name'), ('t_acquire:name '), (' t_acquire:name'), ('t_acquire:nam'),
               ('t_acquire:namé'), (U&'t_acquire:name\0301')) AS v (name);
SELECT dlock_try_acquire('t_acquire:name', client := 't_acquire_b') AS the_same;
SELECT dlock_release_all(), dlock_release_all('t_acquire_b');

-- held by another: try gives NULL, acquire an error; nobody is left waiting
SELECT dlock_acquire('t_acquire:held') AS token \gset
SELECT dlock_try_acquire('t_acquire:held', client := 't_acquire_b') AS in_no_time,
       dlock_try_acquire('t_acquire:held', '10 ms', client := 't_acquire_b') AS in_time;
SELECT report($$ SELECT dlock_acquire('t_acquire:held', '0', client := 't_acquire_b') $$);
SELECT report($$ SELECT dlock_acquire('t_acquire:held', '10 ms', client := 't_acquire_b') $$);
SELECT report($$ SELECT dlock_acquire('t_acquire:held', '0.000001 s', client := 't_acquire_b') $$);
SELECT status, holders, waiters, token = :token AS same, holder FROM dlock_status('t_acquire:held');
SELECT count(*) AS waiters FROM dlock_queue();
SELECT client FROM dlock_list('t_acquire_b');

-- by several, and without a time limit
SELECT dlock_acquire('t_acquire:shared', mode := 'shared', client := c) > 0 AS acquired
  FROM unnest(ARRAY['t_acquire_c', 't_acquire_d', 't_acquire_e']) AS c;
SELECT report($$ SELECT dlock_acquire('t_acquire:shared', '0') $$) ~
       'held in shared mode by client "t_acquire_[cde]" and 2 more, for another <time>\.' AS reported;
SELECT dlock_acquire('t_acquire:session', scope := 'session', client := 't_acquire_c') > 0 AS acquired;
SELECT report($$ SELECT dlock_acquire('t_acquire:session', '0') $$);
SELECT dlock_release_all('t_acquire_c'), dlock_release_all('t_acquire_d'), dlock_release_all('t_acquire_e');

-- the server's timeouts bound a wait, that of try as well
SET lock_timeout = '10ms';
SELECT report($$ SELECT dlock_acquire('t_acquire:held', client := 't_acquire_b') $$);
SELECT report($$ SELECT dlock_acquire('t_acquire:held', '1 day', client := 't_acquire_b') $$);
SELECT report($$ SELECT dlock_try_acquire('t_acquire:held', '1 day', client := 't_acquire_b') $$);
SET lock_timeout = '1h';
SELECT dlock_try_acquire('t_acquire:held', '10 ms', client := 't_acquire_b') AS own_limit_first;
RESET lock_timeout;
SET statement_timeout = '200ms';
SELECT dlock_acquire('t_acquire:held', client := 't_acquire_b');
SET statement_timeout = '1min';
SELECT status, waiters FROM dlock_status('t_acquire:held');
SELECT count(*) AS waiters FROM dlock_queue();
SELECT dlock_release('t_acquire:held', :token);

-- the first request after a lease has expired gets it
SELECT dlock_acquire('t_acquire:short', ttl := '1 ms') AS token \gset
SELECT wait_until($$ status = 'free' FROM dlock_status('t_acquire:short') $$);
SELECT dlock_try_acquire('t_acquire:short', client := 't_acquire_b') > :token AS next;
SELECT dlock_release('t_acquire:short', :token) AS too_late;
SELECT status, holder FROM dlock_status('t_acquire:short');
SELECT dlock_release('t_acquire:short', client := 't_acquire_b');
-- without asking before, and by waiting for it
SELECT dlock_acquire('t_acquire:short', ttl := '30 ms') AS token \gset
SELECT dlock_acquire('t_acquire:short', '1 min', client := 't_acquire_b') > :token AS next;
SELECT dlock_release('t_acquire:short', client := 't_acquire_b');

-- again with a shorter lease: not shortened; with a longer one: lengthened
SELECT dlock_acquire('t_acquire:len') AS token \gset
SELECT dlock_acquire('t_acquire:len', ttl := '1 ms') = :token AS same;
SELECT remaining > '50 min' AND remaining <= '60 min' AS not_shortened FROM dlock_list('t_acquire_a');
SELECT expires_at > clock_timestamp() + '50 min' AS nor_when_renewed FROM dlock_renew('t_acquire:len');
SELECT dlock_acquire('t_acquire:len', ttl := '2 hours') = :token AS same;
SELECT remaining > '110 min' AND remaining <= '120 min' AS lengthened FROM dlock_list('t_acquire_a');
SELECT ttl FROM dlock.locks WHERE resource_name = 't_acquire:len' AND status = 'held';
SELECT dlock_release_all();

-- a grant's row is there when the call returns, with all that makes the lease
SELECT dlock_acquire('t_acquire:row', ttl := '90 s', mode := 'shared', client := 't_acquire_b') AS token \gset
SELECT token = :token AS same_token, owner, owner_role = current_user::regrole AS by_me, mode,
       scope, hold_count, ttl, expiration_at - clock_timestamp() <= '90 s' AS expires,
       acquired_at <= clock_timestamp() AS acquired, status
  FROM dlock.locks WHERE resource_name = 't_acquire:row';
SELECT dlock_release('t_acquire:row', client := 't_acquire_b');
-- and with dlock.durable off it follows
SET dlock.durable = off;
SELECT dlock_acquire('t_acquire:follows') > 0 AS acquired;
SELECT wait_until($$ count(*) = 1 FROM dlock.locks WHERE resource_name = 't_acquire:follows' $$);
RESET dlock.durable;
SELECT dlock_release('t_acquire:follows');

-- which client: the argument, the setting, or the session itself
SELECT dlock_acquire('t_acquire:who', client := 't_acquire_b') > 0 AS acquired;
SELECT holder FROM dlock_status('t_acquire:who');
SELECT dlock_try_acquire('t_acquire:who') AS not_that_client;
SELECT dlock_release('t_acquire:who', client := 't_acquire_b');
SELECT dlock_acquire('t_acquire:who') > 0 AS acquired;
SELECT holder FROM dlock_status('t_acquire:who');
SELECT dlock_release('t_acquire:who');
SET dlock.client = '';
SELECT dlock_acquire('t_acquire:who') AS token \gset
SELECT holder LIKE 'session/%' AS anonymous FROM dlock_status('t_acquire:who');
SELECT dlock_acquire('t_acquire:who') = :token AS same;
SELECT owner LIKE 'session/%' AS anonymous, owner_id IS NULL AS unnumbered, hold_count
  FROM dlock.locks WHERE resource_name = 't_acquire:who';
SELECT dlock_try_acquire('t_acquire:who', client := 't_acquire_a') AS not_that_client;
SELECT dlock_release_all();
SET dlock.client = 't_acquire_a';

-- an acquire survives ROLLBACK, and costs the transaction no xid
BEGIN;
SELECT dlock_acquire('t_acquire:kept') > 0 AS acquired;
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_xid;
ROLLBACK;
SELECT resource, hold_count FROM dlock_list('t_acquire_a');
BEGIN;
SELECT dlock_acquire('t_acquire:kept') > 0 AS acquired;
SELECT 1 / 0;
ROLLBACK;
SELECT resource, hold_count FROM dlock_list('t_acquire_a');
SELECT dlock_release_all();
-- it changes no data of the transaction, so a read-only one may do it
BEGIN READ ONLY;
SELECT dlock_acquire('t_acquire:kept') > 0 AS acquired, dlock_release('t_acquire:kept');
COMMIT;

-- nothing is left
SELECT count(*) FROM dlock_list() WHERE client LIKE 't_acquire%';
SELECT wait_until($$ count(*) = 0 FROM dlock.locks WHERE resource_name LIKE 't_acquire%' $$);
