--
-- A renewal restarts the clock of a lease that is held, for as long as is
-- wanted, and says so with LK001 where it is held no more.  One that revives
-- a lost lease, renews another's, or forgets the new duration would show here.
--
\set SHOW_CONTEXT never
\set VERBOSITY terse
SET statement_timeout = '1min';
SET intervalstyle = postgres;
SET dlock.default_ttl = '1h';
SET dlock.client = 't_renew_a';

-- about how long a client's leases have left, in minutes
CREATE VIEW pg_temp.minutes AS
    SELECT resource, client, ceil(extract(epoch FROM remaining) / 60) AS minutes
      FROM dlock_list() WHERE client LIKE 't_renew%';

-- the new end, and who waits for it
SELECT dlock_acquire('t_renew:1') AS token \gset
SELECT expires_at - clock_timestamp() BETWEEN '55 min' AND '60 min' AS an_hour, waiters
  FROM dlock_renew('t_renew:1');
SELECT expires_at AS before FROM dlock_status('t_renew:1') \gset
SELECT wait_until(format('clock_timestamp() > %L::timestamptz - interval ''1 h'' + interval ''20 ms''', :'before'));
SELECT expires_at > :'before' AS later FROM dlock_renew('t_renew:1', token := :token);
SELECT expires_at > :'before' AS later, token = :token AS same FROM dlock_status('t_renew:1');

-- longer: durable before the answer; shorter; and what was set last stays
SELECT expires_at > clock_timestamp() + '115 min' AS two_hours FROM dlock_renew('t_renew:1', '2 hours');
SELECT ttl FROM dlock.locks WHERE resource_name = 't_renew:1' AND status = 'held';
SELECT minutes FROM pg_temp.minutes;
SELECT waiters FROM dlock_renew('t_renew:1');
SELECT minutes FROM pg_temp.minutes;
SELECT waiters FROM dlock_renew('t_renew:1', ttl := '5 min');
SELECT minutes FROM pg_temp.minutes;
SELECT wait_until($$ ttl = '5 min' FROM dlock.locks WHERE resource_name = 't_renew:1' AND status = 'held' $$);
SELECT waiters FROM dlock_renew('t_renew:1');
SELECT minutes FROM pg_temp.minutes;
-- a hold more or less changes nothing, and a renewal is not rolled back
SELECT dlock_acquire('t_renew:1', ttl := '1 min') = :token AS same;
SELECT dlock_release('t_renew:1');
BEGIN;
SELECT waiters FROM dlock_renew('t_renew:1', '3 hours');
ROLLBACK;
SELECT minutes FROM pg_temp.minutes;

-- by set_options as well
SELECT dlock_set_options('t_renew:1', ttl := '30 min');
SELECT minutes FROM pg_temp.minutes;
SELECT dlock_set_options('t_renew:1', ttl := '4 hours', token := :token);
SELECT ttl FROM dlock.locks WHERE resource_name = 't_renew:1' AND status = 'held';
SELECT minutes FROM pg_temp.minutes;
SELECT dlock_set_options('t_renew:1', priority := 7), dlock_set_options('t_renew:1');
SELECT minutes FROM pg_temp.minutes;

-- a lease that is not held: another token, another client, never, no more
SELECT dlock_renew('t_renew:1', token := :token + 1);
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY sqlstate
SELECT dlock_renew('t_renew:1', token := 1);
SELECT dlock_renew('t_renew:1', client := 't_renew_b');
SELECT dlock_renew('t_renew:1', token := :token, client := 't_renew_b');
SELECT dlock_renew('t_renew:never');
SELECT dlock_set_options('t_renew:1', token := 1);
SELECT dlock_set_options('t_renew:1', ttl := '1 min', token := 1);
SELECT dlock_set_options('t_renew:1', priority := 1, token := 1);
SELECT dlock_set_options('t_renew:1', ttl := '1 min', client := 't_renew_b');
SELECT dlock_set_options('t_renew:never');
SELECT dlock_set_options('t_renew:never', priority := 1);
\set VERBOSITY terse
SELECT minutes FROM pg_temp.minutes;
SELECT count(*) AS strangers FROM dlock.clients WHERE name = 't_renew_b';
SELECT dlock_release('t_renew:1', :token);
SELECT dlock_renew('t_renew:1');
SELECT dlock_renew('t_renew:1', token := :token);
SELECT dlock_set_options('t_renew:1', mode := 'shared');

-- run out, and nobody came: lost all the same
SELECT dlock_acquire('t_renew:2', ttl := '1 ms') AS token \gset
SELECT wait_until($$ status = 'free' FROM dlock_status('t_renew:2') $$);
SELECT dlock_renew('t_renew:2', '1 h');
SELECT dlock_renew('t_renew:2', token := :token);
SELECT status FROM dlock_status('t_renew:2');
-- run out, and somebody came: it stays that one's
SELECT dlock_acquire('t_renew:2', client := 't_renew_b') AS next \gset
SELECT dlock_renew('t_renew:2', '1 min', :token);
SELECT holder, token = :next AS same FROM dlock_status('t_renew:2');
SELECT * FROM pg_temp.minutes;
-- had again: the old token is still lost
SELECT dlock_release('t_renew:2', client := 't_renew_b');
SELECT dlock_acquire('t_renew:2') > :next AS acquired;
SELECT dlock_renew('t_renew:2', token := :token);
SELECT waiters FROM dlock_renew('t_renew:2');
-- taken away
SELECT dlock_force_release('t_renew:2');
SELECT dlock_renew('t_renew:2');
\echo :LAST_ERROR_SQLSTATE

-- one heartbeat for all of a client's leases, and for no other's
SELECT dlock_acquire('t_renew:all' || i, ttl := '10 min') > 0 AS acquired FROM generate_series(1, 3) AS i;
SELECT dlock_acquire('t_renew:all3', ttl := '10 min') > 0 AS twice;
SELECT dlock_acquire('t_renew:shared', mode := 'shared', ttl := '10 min', client := c) > 0 AS acquired
  FROM unnest(ARRAY['t_renew_a', 't_renew_b']) AS c;
SELECT dlock_acquire('t_renew:out', ttl := '1 ms') > 0 AS acquired;
SELECT wait_until($$ status = 'free' FROM dlock_status('t_renew:out') $$);
SELECT dlock_renew_all();
SELECT * FROM pg_temp.minutes ORDER BY resource, client;
SELECT dlock_renew_all('20 min');
SELECT * FROM pg_temp.minutes ORDER BY resource, client;
SELECT resource_name, ttl FROM dlock.locks
 WHERE owner = 't_renew_a' AND status = 'held' ORDER BY resource_name;
SELECT dlock_renew_all(ttl := '40 min', client := 't_renew_b');
SELECT * FROM pg_temp.minutes ORDER BY resource, client;
SELECT dlock_renew_all(client := 't_renew_nobody');
SELECT dlock_release_all(), dlock_release_all('t_renew_b');
SELECT dlock_renew_all(), dlock_renew_all('1 h'), dlock_renew_all(client := 't_renew_b');

-- a session's lease has no end that one could tell; it can be renewed all the same
SELECT dlock_acquire('t_renew:session', scope := 'session', ttl := '1 ms') > 0 AS acquired;
SELECT expires_at, waiters FROM dlock_renew('t_renew:session');
SELECT expires_at, waiters FROM dlock_renew('t_renew:session', '2 ms');
SELECT dlock_renew_all();
SELECT expires_at, remaining FROM dlock_status('t_renew:session');
SELECT dlock_release('t_renew:session');

DROP VIEW pg_temp.minutes;
