--
-- A client that asks for a lost lease is told how it was lost, as long as that
-- is remembered: what the program does next depends on it.  An answer that
-- guesses, or that is about another lease of the same name, would mislead.
--
\set SHOW_CONTEXT never
SET statement_timeout = '1min';
SET dlock.default_ttl = '1h';
SET dlock.client = 't_lost_a';

-- the detail of the error of a statement, without tokens and times
CREATE FUNCTION t_lost_why(statement text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    state text;
    detail text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, detail = PG_EXCEPTION_DETAIL;
    RETURN state || ' ' || regexp_replace(regexp_replace(detail,
        ' at \d[-0-9 :.+]+\d\.', ' at <time>.', 'g'), 'token \d+', 'token <n>', 'g');
END $$;

SELECT dlock_acquire('t_lost:1') AS token \gset
SELECT dlock_release('t_lost:1');
SELECT t_lost_why($$ SELECT dlock_renew('t_lost:1') $$) AS by_name;
SELECT t_lost_why(format('SELECT dlock_renew(''t_lost:1'', token := %s)', :token)) AS by_token;
SELECT t_lost_why($$ SELECT dlock_set_options('t_lost:1', ttl := '1 min') $$) AS set_options;
SELECT t_lost_why(format('SELECT dlock_fence(''t_lost:1'', %s)', :token)) AS fence;
-- the time is that of the end
SELECT now() AS before \gset
SELECT dlock_acquire('t_lost:1') > 0 AS acquired, dlock_release('t_lost:1') AS released;
CREATE FUNCTION t_lost_time(statement text) RETURNS timestamptz
LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    EXECUTE statement;
    RETURN NULL;
EXCEPTION WHEN SQLSTATE 'LK001' THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN substring(detail FROM ' at (.*)\.$')::timestamptz;
END $$;
SELECT t_lost_time($$ SELECT dlock_renew('t_lost:1') $$) BETWEEN :'before' AND clock_timestamp() AS then;

-- by time, by force
SELECT dlock_acquire('t_lost:2', ttl := '1 ms') AS token, pg_sleep(0.01) \gset
SELECT t_lost_why($$ SELECT dlock_renew('t_lost:2') $$) AS expired_but_there;
SELECT dlock_acquire('t_lost:2', client := 't_lost_b') > 0 AS next;
SELECT t_lost_why($$ SELECT dlock_renew('t_lost:2') $$) AS expired;
SELECT dlock_force_release('t_lost:2');
SELECT t_lost_why($$ SELECT dlock_renew('t_lost:2', client := 't_lost_b') $$) AS forced;
SELECT t_lost_why($$ SELECT dlock_renew('t_lost:2') $$) AS still_known;

-- with a session, with a transaction
SELECT dlock_acquire('t_lost:3', scope := 'session') > 0 AS acquired;
DISCARD ALL;
SET statement_timeout = '1min';
SET dlock.default_ttl = '1h';
SET dlock.client = 't_lost_a';
SELECT t_lost_why($$ SELECT dlock_renew('t_lost:3') $$) AS with_session;
BEGIN;
SELECT dlock_acquire('t_lost:4', scope := 'transaction') > 0 AS acquired;
COMMIT;
SELECT t_lost_why($$ SELECT dlock_renew('t_lost:4') $$) AS with_transaction;
BEGIN;
SELECT dlock_acquire('t_lost:5', scope := 'transaction') > 0 AS acquired;
ROLLBACK;
SELECT t_lost_why($$ SELECT dlock_renew('t_lost:5') $$) AS with_rollback;

-- another token
SELECT dlock_acquire('t_lost:6') AS old \gset
SELECT dlock_force_release('t_lost:6');
SELECT dlock_acquire('t_lost:6') AS new \gset
SELECT t_lost_why(format('SELECT dlock_renew(''t_lost:6'', token := %s)', :old)) AS lost_and_back;
SELECT t_lost_why(format('SELECT dlock_renew(''t_lost:6'', token := %s)', :new + 1)) AS never_was;
SELECT dlock_release('t_lost:6');

-- whose it was counts
SELECT t_lost_why($$ SELECT dlock_renew('t_lost:6', client := 't_lost_b') $$) AS not_this_client;
SELECT t_lost_why($$ SELECT dlock_renew('t_lost:6', client := 't_lost_never') $$) AS no_client;
SELECT t_lost_why($$ SELECT dlock_renew('t_lost:never') $$) AS no_resource;
SELECT t_lost_why($$ SELECT dlock_fence('t_lost:never', 1) $$) AS no_token;

-- an upgrade that waits, and whose lease is gone: the reason is that one's
SELECT dlock_acquire('t_lost:7', mode := 'shared', ttl := '30 ms') > 0 AS acquired;
SELECT dlock_acquire('t_lost:7', mode := 'shared', client := 't_lost_b') > 0 AS other;
SELECT t_lost_why($$ SELECT dlock_set_options('t_lost:7', mode := 'exclusive', timeout := '1 min') $$) AS upgrade;
SELECT dlock_release('t_lost:7', client := 't_lost_b');

-- only the last few ends are remembered, of whatever clients
SELECT dlock_acquire('t_lost:8') > 0 AS acquired, dlock_release('t_lost:8') AS released;
SELECT t_lost_why($$ SELECT dlock_renew('t_lost:8') $$) AS remembered;
SELECT count(dlock_acquire('t_lost:8', client := 't_lost_b')) AS acquired, count(dlock_force_release('t_lost:8')) AS forced
  FROM generate_series(1, 10);
SELECT t_lost_why($$ SELECT dlock_renew('t_lost:8') $$) AS forgotten;
DROP FUNCTION t_lost_why, t_lost_time;
