--
-- Shared leases go together, an exclusive one is alone; a lease can be made
-- stronger at once and weaker at commit, and stays the same lease.  A hole in
-- the conflict table, a downgrade that lets others in before the commit, or
-- one that outlives a later wish for exclusiveness would show here.
--
\set SHOW_CONTEXT never
SET statement_timeout = '1min';
SET dlock.default_ttl = '1h';
SET dlock.client = 't_modes_a';

-- may a client have it in one mode, while a client (the same, another) has it in one?
CREATE FUNCTION pg_temp.may_have(held text, wanted text, who text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    name text := format('t_modes:%s,%s,%s', held, wanted, who);
    token bigint := dlock_acquire(name, mode := held, client := 't_modes_1');
    other bigint := dlock_try_acquire(name, mode := wanted, client := who);
BEGIN
    RETURN CASE WHEN other IS NULL THEN 'no'
                WHEN other = token THEN 'yes, the same lease, ' ||
                    (SELECT status FROM dlock_status(name))
                WHEN other > token THEN 'yes' END;
END $$;

SELECT held, wanted, pg_temp.may_have(held, wanted, 't_modes_2') AS another,
       pg_temp.may_have(held, wanted, 't_modes_1') AS the_same
  FROM unnest(ARRAY['shared', 'exclusive']) AS held, unnest(ARRAY['shared', 'exclusive']) AS wanted
 ORDER BY held DESC, wanted DESC;
SELECT dlock_release_all('t_modes_1'), dlock_release_all('t_modes_2');

-- each sharer has a lease and a token of its own
SELECT dlock_acquire('t_modes:1', mode := 'shared', client := 't_modes_1') AS t1 \gset
SELECT dlock_acquire('t_modes:1', mode := 'shared', client := 't_modes_2') AS t2 \gset
SELECT :t2 > :t1 AS higher;
SELECT client, mode, hold_count, token = (CASE client WHEN 't_modes_1' THEN :t1 ELSE :t2 END) AS own_token
  FROM dlock_list() WHERE resource = 't_modes:1' ORDER BY client;
SELECT status, mode, holders, token = :t2 AS newest, holder FROM dlock_status('t_modes:1');
SELECT dlock_try_acquire('t_modes:1') AS exclusive;
SELECT dlock_release('t_modes:1', :t2, 't_modes_1') AS token_of_the_other;
SELECT dlock_release('t_modes:1', client := 't_modes_2');
SELECT status, holders, token = :t1 AS remaining, holder FROM dlock_status('t_modes:1');
SELECT dlock_try_acquire('t_modes:1') AS still_not;
SELECT dlock_release('t_modes:1', client := 't_modes_1');
SELECT dlock_try_acquire('t_modes:1') > 0 AS now;

-- exclusive to shared: at commit, and not at ROLLBACK
SELECT token FROM dlock_status('t_modes:1') \gset
BEGIN;
SELECT dlock_set_options('t_modes:1', mode := 'shared');
SELECT status FROM dlock_status('t_modes:1');
SELECT dlock_try_acquire('t_modes:1', mode := 'shared', client := 't_modes_1') AS not_yet;
ROLLBACK;
SELECT status FROM dlock_status('t_modes:1');
BEGIN;
SELECT dlock_set_options('t_modes:1', mode := 'shared');
SAVEPOINT s;
SELECT dlock_set_options('t_modes:1', mode := 'shared', token := :token);
ROLLBACK TO s;
COMMIT;
SELECT status, token = :token AS same, holder FROM dlock_status('t_modes:1');
SELECT dlock_try_acquire('t_modes:1', mode := 'shared', client := 't_modes_1') > 0 AS shared;
SELECT mode, hold_count FROM dlock_list('t_modes_a');

-- shared to exclusive: only when alone
SELECT dlock_set_options('t_modes:1', mode := 'shared') AS it_is;
\set VERBOSITY terse
SELECT dlock_set_options('t_modes:1', mode := 'exclusive', timeout := '0');
SELECT dlock_set_options('t_modes:1', mode := 'exclusive', timeout := '10 ms');
\echo :LAST_ERROR_SQLSTATE
SET lock_timeout = '10ms';
SELECT dlock_set_options('t_modes:1', mode := 'exclusive');
RESET lock_timeout;
\set VERBOSITY default
SELECT status, holders, waiters FROM dlock_status('t_modes:1');
SELECT count(*) FROM dlock_queue('t_modes:1');
SELECT dlock_release('t_modes:1', client := 't_modes_1');
SELECT dlock_set_options('t_modes:1', mode := 'exclusive', timeout := '0');
SELECT status, token = :token AS same FROM dlock_status('t_modes:1');
SELECT mode, hold_count FROM dlock_list('t_modes_a');
-- and it is in the table when the call returns
SELECT mode FROM dlock.locks WHERE resource_name = 't_modes:1' AND status = 'held';
SELECT dlock_set_options('t_modes:1', mode := 'exclusive') AS it_is;
SELECT mode, hold_count FROM dlock_list('t_modes_a');

-- an upgrade is an acquire: it survives ROLLBACK
SELECT dlock_set_options('t_modes:1', mode := 'shared');
BEGIN;
SELECT dlock_set_options('t_modes:1', mode := 'exclusive');
ROLLBACK;
SELECT status FROM dlock_status('t_modes:1');

-- the last wish of a transaction counts
BEGIN;
SELECT dlock_set_options('t_modes:1', mode := 'shared');
SELECT dlock_set_options('t_modes:1', mode := 'exclusive');
COMMIT;
SELECT status FROM dlock_status('t_modes:1');
-- also when it is said by acquiring
BEGIN;
SELECT dlock_set_options('t_modes:1', mode := 'shared');
SELECT dlock_acquire('t_modes:1', mode := 'exclusive') = :token AS same;
COMMIT;
SELECT status FROM dlock_status('t_modes:1');
SELECT mode, hold_count FROM dlock_list('t_modes_a');
SELECT dlock_release('t_modes:1');
-- released after all
BEGIN;
SELECT dlock_set_options('t_modes:1', mode := 'shared');
SELECT dlock_release('t_modes:1');
COMMIT;
SELECT status FROM dlock_status('t_modes:1');

-- several options in one call
SELECT dlock_acquire('t_modes:2') > 0 AS acquired;
SELECT dlock_set_options('t_modes:2', mode := 'shared', ttl := '2 hours', priority := 3);
SELECT mode, remaining > '110 min' AS longer FROM dlock_list('t_modes_a');
SELECT dlock_set_options('t_modes:2', '0', '3 hours', 'exclusive', 0, (SELECT token FROM dlock_status('t_modes:2')), 't_modes_a');
SELECT mode, remaining > '170 min' AS longer FROM dlock_list('t_modes_a');
SELECT dlock_release_all();
-- all of them or none: an upgrade that comes to nothing leaves the rest alone
SELECT dlock_acquire('t_modes:2', mode := 'shared', ttl := '5 min') > 0 AS acquired;
SELECT dlock_acquire('t_modes:2', mode := 'shared', client := 't_modes_1') > 0 AS acquired;
\set VERBOSITY terse
SELECT dlock_set_options('t_modes:2', '0', '3 hours', 'exclusive', 7);
SELECT dlock_set_options('t_modes:2', '10 ms', '3 hours', 'exclusive', 7);
\set VERBOSITY default
SELECT mode, remaining > '5 min' AS longer FROM dlock_list('t_modes_a');
SELECT dlock_release_all('t_modes_1');
SELECT dlock_set_options('t_modes:2', '0', '3 hours', 'exclusive', 7);
SELECT mode, remaining > '5 min' AS longer FROM dlock_list('t_modes_a');
SELECT dlock_release_all();

-- an upgrade that waits is still a holder, and has its time limit from then on
SELECT dlock_acquire('t_modes:3', mode := 'shared') AS token \gset
SELECT dlock_acquire('t_modes:3', mode := 'shared', ttl := '30 ms', client := 't_modes_1') > 0 AS acquired;
SELECT dlock_set_options('t_modes:3', mode := 'exclusive', timeout := '1 min');
SELECT status, holders, token = :token AS same FROM dlock_status('t_modes:3');
SELECT dlock_release_all();
SELECT count(*) FROM dlock_list() WHERE client LIKE 't_modes%';
