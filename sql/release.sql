--
-- A release frees one hold of the caller's own lease, once its transaction
-- has committed, and nothing else: neither before, nor after ROLLBACK, nor
-- the lease of another.  A release that takes effect at once would let the
-- next holder read the old data; one that looks at the name only would free
-- the lease of the next holder.
--
\set SHOW_CONTEXT never
\set VERBOSITY terse
SET statement_timeout = '1min';
SET dlock.default_ttl = '1h';
SET dlock.client = 't_release_a';

-- outside a transaction block: at once; the second time harmless
SELECT dlock_acquire('t_release:1') > 0 AS acquired;
SELECT dlock_release('t_release:1') AS first;
SELECT dlock_release('t_release:1') AS second;
SELECT status FROM dlock_status('t_release:1');

-- inside one: at commit
SELECT dlock_acquire('t_release:1') AS token \gset
BEGIN;
SELECT dlock_release('t_release:1') AS asked;
SELECT dlock_release('t_release:1') AS asked_already, dlock_release('t_release:1', :token) AS and_again;
SELECT status, holder FROM dlock_status('t_release:1');
SELECT dlock_try_acquire('t_release:1', client := 't_release_b') AS not_yet;
COMMIT;
SELECT status FROM dlock_status('t_release:1');
SELECT dlock_try_acquire('t_release:1', client := 't_release_b') > :token AS now;

-- never the lease of another, whatever token is named
SELECT token FROM dlock_status('t_release:1') \gset
SELECT dlock_release('t_release:1') AS by_another,
       dlock_release('t_release:1', :token) AS with_its_token,
       dlock_release('t_release:1', client := 't_release_stranger') AS by_a_stranger;
SELECT status, holder, token = :token AS same FROM dlock_status('t_release:1');
SELECT count(*) AS strangers FROM dlock.clients WHERE name = 't_release_stranger';
-- nor one's own with another token: an old one may be from before a loss
SELECT dlock_release('t_release:1', :token + 1, 't_release_b') AS future,
       dlock_release('t_release:1', 1, 't_release_b') AS past;
SELECT status, holder FROM dlock_status('t_release:1');
SELECT dlock_release('t_release:1', :token, 't_release_b') AS right_one;
SELECT dlock_acquire('t_release:1', client := 't_release_b') > :token AS acquired;
SELECT dlock_release('t_release:1', :token, 't_release_b') AS earlier_lease;
SELECT dlock_release('t_release:1', client := 't_release_b');
SELECT dlock_release('t_release:never') AS never_held;
-- nor does holding one resource help with another
SELECT dlock_acquire('t_release:2') AS token \gset
SELECT dlock_acquire('t_release:3') > 0 AS acquired;
SELECT dlock_release('t_release:3', :token) AS token_of_another_resource;
SELECT resource FROM dlock_list('t_release_a') ORDER BY resource;
SELECT dlock_release_all();

-- ROLLBACK takes it back, an error as well
SELECT dlock_acquire('t_release:1') AS token \gset
BEGIN;
SELECT dlock_release('t_release:1');
ROLLBACK;
SELECT status, token = :token AS same FROM dlock_status('t_release:1');
BEGIN;
SELECT dlock_release('t_release:1');
SELECT 1 / 0;
SELECT dlock_release('t_release:1');
COMMIT;
SELECT status, token = :token AS same FROM dlock_status('t_release:1');
SELECT 1 / (CASE WHEN dlock_release('t_release:1') THEN 0 ELSE 1 END);
SELECT status FROM dlock_status('t_release:1');
SELECT dlock_release('t_release:1');

-- holds are counted
SELECT dlock_acquire('t_release:n') AS token \gset
SELECT dlock_acquire('t_release:n') = :token AND dlock_acquire('t_release:n') = :token AS same;
SELECT dlock_release('t_release:n');
SELECT hold_count FROM dlock_list('t_release_a');
BEGIN;
SELECT dlock_release('t_release:n') AS one, dlock_release('t_release:n') AS two, dlock_release('t_release:n') AS three;
SELECT hold_count FROM dlock_list('t_release_a');
ROLLBACK;
SELECT hold_count FROM dlock_list('t_release_a');
BEGIN;
SELECT dlock_release('t_release:n') AS one, dlock_release('t_release:n') AS two, dlock_release('t_release:n') AS three;
COMMIT;
SELECT count(*) FROM dlock_list('t_release_a');

-- release and acquire in one transaction leave what was there
SELECT dlock_acquire('t_release:swap') AS token \gset
BEGIN;
SELECT dlock_release('t_release:swap');
SELECT dlock_acquire('t_release:swap') = :token AS same;
SELECT dlock_release('t_release:swap'), dlock_release('t_release:swap') AS no_more;
SELECT dlock_acquire('t_release:swap') = :token AS same;
COMMIT;
SELECT hold_count, token = :token AS same FROM dlock_list('t_release_a');
SELECT dlock_release('t_release:swap');
SELECT count(*) FROM dlock_list('t_release_a');

-- all at once: leases, not holds, and only one's own
SELECT dlock_acquire('t_release:all' || i) > 0 AS acquired FROM generate_series(1, 3) AS i;
SELECT dlock_acquire('t_release:all1') > 0 AS twice;
SELECT dlock_acquire('t_release:all4', mode := 'shared') > 0 AS acquired;
SELECT dlock_acquire('t_release:all4', mode := 'shared', client := 't_release_b') > 0 AS acquired;
BEGIN;
SELECT dlock_release('t_release:all2');
SELECT dlock_release('t_release:all1');
SELECT dlock_release_all() AS rest;
SELECT dlock_release_all() AS nothing_more;
SELECT count(*) FROM dlock_list('t_release_a');
ROLLBACK;
SELECT resource, hold_count FROM dlock_list('t_release_a') ORDER BY resource;
SELECT dlock_release_all();
SELECT count(*) FROM dlock_list('t_release_a');
SELECT resource FROM dlock_list('t_release_b');
SELECT dlock_release_all(), dlock_release_all('t_release_stranger') AS stranger;
SELECT dlock_release_all(client := 't_release_b');

-- a lease that has run out cannot be released
SELECT dlock_acquire('t_release:out', ttl := '1 ms') > 0 AS acquired;
SELECT wait_until($$ status = 'free' FROM dlock_status('t_release:out') $$);
SELECT dlock_release('t_release:out'), dlock_release_all();
-- one that runs out between release and commit takes nobody else's with it
SELECT dlock_acquire('t_release:out') > 0 AS acquired;
BEGIN;
SELECT dlock_release('t_release:out');
SELECT waiters FROM dlock_renew('t_release:out', '1 ms');
SELECT wait_until($$ status = 'free' FROM dlock_status('t_release:out') $$);
SELECT dlock_acquire('t_release:out', client := 't_release_b') > 0 AS acquired;
COMMIT;
SELECT status, holder FROM dlock_status('t_release:out');
SELECT dlock_release('t_release:out', client := 't_release_b');
-- nor a new lease of the same client
SELECT dlock_acquire('t_release:out') AS token \gset
BEGIN;
SELECT dlock_release('t_release:out');
SELECT waiters FROM dlock_renew('t_release:out', '1 ms');
SELECT wait_until($$ status = 'free' FROM dlock_status('t_release:out') $$);
SELECT dlock_acquire('t_release:out') > :token AS new;
COMMIT;
SELECT status, holder, token > :token AS new FROM dlock_status('t_release:out');
SELECT dlock_release('t_release:out');

-- by force: whosever it is, at once
SELECT dlock_acquire('t_release:force') AS token \gset
SELECT dlock_force_release('t_release:force', :token + 1) AS another_token,
       dlock_force_release('t_release:never') AS not_held;
SELECT status FROM dlock_status('t_release:force');
SELECT dlock_force_release('t_release:force', :token) AS this;
SELECT status FROM dlock_status('t_release:force');
SELECT dlock_release('t_release:force') AS lost;
SELECT dlock_renew('t_release:force');
SELECT dlock_acquire('t_release:force', mode := 'shared', client := c) > 0 AS acquired
  FROM unnest(ARRAY['t_release_a', 't_release_b', 't_release_c']) AS c;
SELECT token AS newest FROM dlock_status('t_release:force') \gset
SELECT dlock_force_release('t_release:force', :newest) AS one;
SELECT dlock_force_release('t_release:force') AS others;
SELECT dlock_force_release('t_release:force') AS nobody;
BEGIN;
SELECT dlock_acquire('t_release:force') > 0 AS acquired;
SELECT dlock_force_release('t_release:force');
SELECT status FROM dlock_status('t_release:force');
ROLLBACK;
SELECT status FROM dlock_status('t_release:force');

-- the rows follow
SELECT wait_until($$ count(*) = 0 FROM dlock.locks WHERE resource_name LIKE 't_release%' $$);
SELECT count(*) FROM dlock_list() WHERE client LIKE 't_release%';
