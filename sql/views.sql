--
-- dlock_status, dlock_list and dlock_queue show what is held and by whom, in
-- the documented columns, for a free, a held and a shared resource.  A column
-- that is shifted, a row of another resource or a time on the wrong clock
-- would show here.
--
\set SHOW_CONTEXT never
SET statement_timeout = '1min';
SET dlock.default_ttl = '1h';
SET dlock.client = 't_views_a';

SELECT * FROM dlock_status('t_views:1') \gdesc
SELECT * FROM dlock_list() \gdesc
SELECT * FROM dlock_queue() \gdesc

-- free
\x on
SELECT * FROM dlock_status('t_views:1');
\x off
SELECT count(*) FROM dlock_list('t_views_a');
SELECT count(*) FROM dlock_list('t_views_nobody');
SELECT count(*) FROM dlock_queue('t_views:1');
SELECT count(*) FROM dlock_queue();
-- looking makes nothing
SELECT count(*) FROM dlock.clients WHERE name LIKE 't_views%';

-- held
SELECT dlock_acquire('t_views:1', ttl := '10 min') AS t1 \gset
\x on
SELECT resource, status, mode, holders, waiters, token = :t1 AS token, holder,
       expires_at - clock_timestamp() BETWEEN '9 min' AND '10 min' AS expires_at,
       remaining BETWEEN '9 min' AND '10 min' AS remaining, source
  FROM dlock_status('t_views:1');
SELECT resource, token = :t1 AS token, client, role = current_user AS role, mode, scope, hold_count,
       clock_timestamp() - acquired_at BETWEEN '0' AND '1 min' AS acquired_at,
       expires_at - clock_timestamp() BETWEEN '9 min' AND '10 min' AS expires_at,
       remaining BETWEEN '9 min' AND '10 min' AS remaining, waiters, source
  FROM dlock_list('t_views_a');
\x off

-- shared: the newest token and its holder, for status; a row each, in the list
SELECT dlock_acquire('t_views:2', mode := 'shared', ttl := '2 h', client := 't_views_b') AS t2 \gset
SELECT dlock_acquire('t_views:2', mode := 'shared', scope := 'session', client := 't_views_c') AS t3 \gset
SELECT dlock_acquire('t_views:2', mode := 'shared', client := 't_views_a') AS t4 \gset
SELECT status, mode, holders, waiters, token = :t4 AS newest, holder, remaining <= '1 h' AS its_time
  FROM dlock_status('t_views:2');
SELECT resource, client, mode, scope, hold_count, expires_at IS NULL AS endless, remaining > '90 min' AS long
  FROM dlock_list() WHERE client LIKE 't_views%' ORDER BY token;
SELECT dlock_release('t_views:2');
SELECT status, holders, token = :t3 AS newest, holder, expires_at, remaining FROM dlock_status('t_views:2');

-- one client's list is its own
SELECT resource FROM dlock_list(client := 't_views_b');
SELECT resource FROM dlock_list('t_views_c');
-- dlock.client does not narrow it
SELECT count(DISTINCT client) FROM dlock_list() WHERE client LIKE 't_views%';

-- who is told that nobody waits, is told so for each
SELECT DISTINCT waiters FROM dlock_list() WHERE client LIKE 't_views%';
SELECT * FROM dlock_queue('t_views:2');

-- a lease that has run out is shown no more
SELECT dlock_acquire('t_views:3', ttl := '1 ms') > 0 AS acquired;
SELECT wait_until($$ status = 'free' FROM dlock_status('t_views:3') $$);
SELECT status, holders, token, holder, expires_at, remaining FROM dlock_status('t_views:3');
SELECT resource FROM dlock_list('t_views_a') ORDER BY resource;

-- as many rows as leases
SELECT count(dlock_acquire('t_views:many' || i, client := 't_views_many')) FROM generate_series(1, 2000) AS i;
SELECT count(*), count(DISTINCT resource), count(DISTINCT token) FROM dlock_list('t_views_many');
SELECT count(*) FROM dlock_list('t_views_many') AS l, dlock_status(l.resource) AS s
 WHERE s.token = l.token AND s.holder = l.client AND s.status = 'exclusive';
SELECT dlock_release_all('t_views_many');
SELECT count(*) FROM dlock_list('t_views_many');

-- joined, aggregated, in a cursor: they are ordinary relations
SELECT l.client, s.holders FROM dlock_list() AS l, LATERAL dlock_status(l.resource) AS s
 WHERE l.client LIKE 't_views%' ORDER BY l.client;
BEGIN;
DECLARE c CURSOR FOR SELECT client FROM dlock_list() WHERE client LIKE 't_views%' ORDER BY client;
FETCH 2 FROM c;
FETCH BACKWARD 1 FROM c;
COMMIT;
SELECT (dlock_status('t_views:1')).holder, (SELECT client FROM dlock_list('t_views_a'));

SELECT dlock_release_all(), dlock_release_all('t_views_b'), dlock_release_all('t_views_c');
SELECT count(*) FROM dlock_list() WHERE client LIKE 't_views%';
