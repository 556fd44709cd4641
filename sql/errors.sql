--
-- Whatever is wrong with a call is said in a clear error of the right kind,
-- before anything has changed.  An unchecked length would overwrite shared
-- memory; an unchecked duration would overflow into a lease that never ends
-- or has ended already; a worker's lease would have no owner.
--
\set SHOW_CONTEXT never
SET statement_timeout = '1min';
SET intervalstyle = postgres;
SET dlock.default_ttl = '1h';
SET dlock.client = 't_errors_a';

SELECT dlock_acquire('t_errors:held') AS token \gset

--
-- Names
--
SELECT dlock_acquire('');
SELECT dlock_acquire(NULL);
SELECT dlock_acquire(repeat('x', 256));
SELECT dlock_acquire(repeat('é', 128));
SELECT dlock_acquire(repeat('x', 10000000));
SELECT dlock_acquire('t_errors:x', client := '');
SELECT dlock_acquire('t_errors:x', client := repeat('x', 256));
SELECT dlock_acquire('t_errors:x', client := repeat('é', 128));
\set VERBOSITY terse
SELECT dlock_try_acquire('');
SELECT dlock_try_acquire(NULL);
SELECT dlock_release('');
SELECT dlock_release(NULL);
SELECT dlock_release(repeat('x', 256));
SELECT dlock_release('t_errors:held', client := '');
SELECT dlock_release_all(client := '');
SELECT dlock_release_all(client := repeat('x', 256));
SELECT dlock_renew('');
SELECT dlock_renew(NULL);
SELECT dlock_renew(repeat('é', 128));
SELECT dlock_renew('t_errors:held', client := '');
SELECT dlock_renew_all(client := repeat('x', 256));
SELECT dlock_set_options('');
SELECT dlock_set_options(NULL);
SELECT dlock_set_options('t_errors:held', client := '');
SELECT dlock_force_release('');
SELECT dlock_force_release(NULL);
SELECT dlock_status('');
SELECT dlock_status(NULL);
SELECT dlock_status(repeat('x', 256));
SELECT * FROM dlock_queue('');
SELECT * FROM dlock_queue(repeat('x', 256));
\set VERBOSITY default
SELECT set_config('dlock.client', repeat('x', 256), false) IS NOT NULL;

-- as long as may be, and odd, but names
CREATE TABLE pg_temp.names AS
    SELECT row_number() OVER () AS id, name FROM (VALUES
        (repeat('x', 255)), (repeat('é', 127) || 'x'), (repeat('𝄞', 63) || 'abc'),
        (' '), ('''; DROP TABLE dlock.locks; --'), ('"quoted"'), ('back\slash'), ('%s %n %d'),
        (E'two\nlines'), (E'tab\there'), (E'\x01\x7f'), ('null'), ('session/1/2/3'),
        ('Ünïcödé'), ('日本語'), (U&'e\0301'), ('é'), ('😀'), (U&'\202Eleft')) AS v (name);
SELECT id, octet_length(name) AS bytes, dlock_acquire(name, client := name) > 0 AS acquired
  FROM names ORDER BY id;
SELECT count(*) AS wrong FROM names, LATERAL dlock_status(name) AS s
 WHERE (s.status, s.holders, s.holder, s.resource) IS DISTINCT FROM ('exclusive', 1, name, name);
SELECT count(*) AS listed FROM names, LATERAL dlock_list(name) AS l WHERE l.resource = name AND l.client = name;
SELECT count(*) AS written FROM names JOIN dlock.locks ON resource_name = name AND owner = name AND status = 'held';
SELECT count(*) AS busy FROM names WHERE dlock_try_acquire(name, client := 't_errors_b') IS NULL;
SELECT count(*) AS renewed FROM names, LATERAL dlock_renew(name, client := name);
SELECT count(*) AS released FROM names WHERE dlock_release(name, client := name);
SELECT dlock_acquire(E'two\nlines', client := E'one "and"\nanother') > 0 AS acquired;
\set VERBOSITY terse
SELECT dlock_acquire(E'two\nlines', '0');
\set VERBOSITY default
SELECT dlock_renew(E'two "and"\nlines');
SELECT dlock_release(E'two\nlines', client := E'one "and"\nanother');
SELECT count(*) AS left_over FROM names WHERE (dlock_status(name)).status <> 'free';

--
-- Durations
--
SELECT dlock_acquire('t_errors:x', '-1 s');
SELECT dlock_acquire('t_errors:x', '-0.000001 s');
SELECT dlock_acquire('t_errors:x', '1 month -31 days');
SELECT dlock_acquire('t_errors:x', '178000000 years');
SELECT dlock_acquire('t_errors:x', '-178000000 years');
SELECT dlock_try_acquire('t_errors:x', NULL);
SELECT dlock_try_acquire('t_errors:x', '-1 s');
SELECT dlock_try_acquire('t_errors:x', '178000000 years');
SELECT dlock_acquire('t_errors:x', ttl := '0');
SELECT dlock_acquire('t_errors:x', ttl := '-1 s');
SELECT dlock_acquire('t_errors:x', ttl := '0.000999 s');
SELECT dlock_acquire('t_errors:x', ttl := '1 day 1 microsecond');
SELECT dlock_acquire('t_errors:x', ttl := '1 month');
SELECT dlock_acquire('t_errors:x', ttl := '178000000 years');
SELECT dlock_acquire('t_errors:x', ttl := '-178000000 years');
-- days, months and time each fit, their sum does not
SELECT dlock_acquire('t_errors:x', ttl := interval '106751991 days' + interval '2562047788 hours');
SELECT dlock_acquire('t_errors:x', interval '106751991 days' + interval '2562047788 hours');
\set VERBOSITY terse
SELECT dlock_try_acquire('t_errors:x', ttl := '0');
SELECT dlock_renew('t_errors:held', '0');
SELECT dlock_renew('t_errors:held', '-1 s');
SELECT dlock_renew('t_errors:held', '2 days');
SELECT dlock_renew('t_errors:held', '178000000 years');
SELECT dlock_renew_all('0');
SELECT dlock_renew_all('178000000 years');
SELECT dlock_set_options('t_errors:held', ttl := '0');
SELECT dlock_set_options('t_errors:held', ttl := '178000000 years');
SELECT dlock_set_options('t_errors:held', mode := 'shared', timeout := '-1 s');
SELECT dlock_set_options('t_errors:held', mode := 'shared', timeout := '178000000 years');
\set VERBOSITY default
-- where intervals can be infinite they are refused here, else there
DO $$
DECLARE
    span text;
    how text;
BEGIN
    FOREACH span IN ARRAY ARRAY['infinity', '-infinity'] LOOP
        FOREACH how IN ARRAY ARRAY['ttl', 'timeout'] LOOP
            BEGIN
                EXECUTE format('SELECT dlock_acquire(''t_errors:x'', %s := %L)', how, span);
                RAISE NOTICE '% %: taken', how, span;
            EXCEPTION WHEN invalid_datetime_format OR invalid_parameter_value THEN
                RAISE NOTICE '% %: refused', how, span;
            END;
        END LOOP;
    END LOOP;
END $$;

-- the edges of what is allowed
SELECT dlock_acquire('t_errors:x', '0', '1 ms') > 0 AS acquired;
-- whether it has run out by now or not, it is gone from here on
SELECT count(dlock_force_release('t_errors:x')) AS forced;
SELECT dlock_acquire('t_errors:y', '0.000001 s', '1 day') > 0 AS acquired;
SELECT dlock_acquire('t_errors:z', '290000 years', '24 hours') > 0 AS acquired;
SELECT dlock_acquire('t_errors:u', '1 month -29 days', '2 days -24:00:00') > 0 AS acquired;
SELECT resource, remaining > '23 hours' AS a_day FROM dlock_list('t_errors_a')
 WHERE resource IN ('t_errors:y', 't_errors:z', 't_errors:u') ORDER BY resource;
SELECT dlock_release('t_errors:y'), dlock_release('t_errors:z'), dlock_release('t_errors:u');
-- the maximum is a setting, also for the default
SET dlock.max_ttl = '1min';
SELECT dlock_acquire('t_errors:x', ttl := '61 s');
SELECT dlock_acquire('t_errors:max', ttl := '60 s') > 0 AS acquired;
SELECT dlock_acquire('t_errors:default') > 0 AS acquired;
SELECT resource, remaining <= '1 min' AS a_minute FROM dlock_list('t_errors_a')
 WHERE resource IN ('t_errors:max', 't_errors:default') ORDER BY resource;
RESET dlock.max_ttl;
SELECT dlock_release('t_errors:max'), dlock_release('t_errors:default');
-- how the server shows a range differs between its versions
\set VERBOSITY sqlstate
SET dlock.default_ttl = 0;
SET dlock.default_ttl = -1;
SET dlock.max_ttl = 0;
\set VERBOSITY default
SET dlock.default_ttl = 'soon';
SET dlock.durable = 'perhaps';

--
-- Words, numbers, NULLs
--
SELECT dlock_acquire('t_errors:x', mode := 'update');
SELECT dlock_acquire('t_errors:x', mode := '');
SELECT dlock_acquire('t_errors:x', mode := NULL);
SELECT dlock_acquire('t_errors:x', mode := E'ex"\nclusive');
SELECT dlock_acquire('t_errors:x', scope := 'forever');
SELECT dlock_acquire('t_errors:x', scope := '');
SELECT dlock_acquire('t_errors:x', priority := NULL);
SELECT dlock_set_options('t_errors:held', mode := 'update');
SELECT dlock_release('t_errors:held', 0);
SELECT dlock_release('t_errors:held', -1);
SELECT dlock_release('t_errors:held', -9223372036854775808);
SELECT dlock_renew('t_errors:held', token := 0);
SELECT dlock_set_options('t_errors:held', token := 0);
SELECT dlock_force_release('t_errors:held', 0);
SELECT dlock_release('t_errors:held', 9223372036854775807);
SELECT dlock_acquire('t_errors:edge', priority := 2147483647) > 0 AS acquired,
       dlock_acquire('t_errors:edge', priority := -2147483648) > 0 AS acquired;
SELECT hold_count FROM dlock_list('t_errors_a') WHERE resource = 't_errors:edge';
SELECT dlock_release('t_errors:edge'), dlock_release('t_errors:edge') AS second;
SELECT dlock_release('t_errors:edge');

--
-- Types and ways to call
--
-- terse: the server's hints differ between its versions
\set VERBOSITY terse
SELECT dlock_acquire();
SELECT dlock_acquire(42);
SELECT dlock_acquire('t_errors:x', 5);
SELECT dlock_acquire('t_errors:x', ttl := 5);
SELECT dlock_acquire('t_errors:x', 'soon');
SELECT dlock_acquire('t_errors:x', priority := 'high');
SELECT dlock_acquire('t_errors:x', priority := 3000000000);
SELECT dlock_acquire('t_errors:x', lease := '1 s');
SELECT dlock_acquire(resource := 't_errors:x', 5);
SELECT dlock_release('t_errors:x', 1.5);
SELECT dlock_release('t_errors:x', 'token');
SELECT dlock_acquire('\x00'::bytea);
\set VERBOSITY default
SELECT dlock_acquire('t_errors:call', '1 s', '1 min', 'shared', 1, 'lease', 't_errors_b') > 0 AS positional;
SELECT dlock_acquire(client => 't_errors_b', mode => 'shared', resource => 't_errors:call') > 0 AS named;
SELECT dlock_acquire('t_errors:call', NULL, NULL, client := 't_errors_b', mode := 'shared') > 0 AS mixed;
PREPARE t_errors_p AS SELECT dlock_acquire($1, $2, $3, $4, $5, $6, $7) > 0 AS prepared;
EXECUTE t_errors_p('t_errors:call', '0', NULL, 'shared', 0, 'lease', 't_errors_b');
EXECUTE t_errors_p('t_errors:call', '0', NULL, 'sharing', 0, 'lease', 't_errors_b');
DEALLOCATE t_errors_p;
SELECT client, hold_count FROM dlock_list() WHERE resource = 't_errors:call';
SELECT dlock_release('t_errors:call', NULL, NULL) AS nulls, dlock_release(client => 't_errors_b', resource => 't_errors:call') AS named;
SELECT dlock_release_all('t_errors_b');
BEGIN;
SELECT dlock_release_all(NULL) AS nulls;
ROLLBACK;
SELECT waiters AS nulls FROM dlock_renew('t_errors:held', NULL, NULL, NULL);
SELECT dlock_set_options('t_errors:held', NULL, NULL, NULL, NULL, NULL, NULL) AS nulls;
SELECT dlock_renew_all(NULL, NULL) AS nulls;
SELECT dlock_force_release('t_errors:never', NULL) AS nulls;
SELECT count(*) AS nulls FROM dlock_list(NULL) WHERE client = 't_errors_a';
SELECT count(*) AS nulls FROM dlock_queue(NULL);

--
-- Where it cannot be
--
-- a failed transaction
BEGIN;
SELECT 1 / 0;
SELECT dlock_acquire('t_errors:x');
SELECT dlock_release('t_errors:held');
SELECT * FROM dlock_status('t_errors:held');
ROLLBACK;
-- a parallel worker, which a function wrongly said to be safe gets into
CREATE FUNCTION t_errors_parallel(query text) RETURNS text
LANGUAGE plpgsql PARALLEL SAFE AS $$
DECLARE
    result text;
BEGIN
    EXECUTE query INTO result;
    RETURN result;
END $$;
-- the setting's name has changed with PostgreSQL 16
SELECT name AS parallel FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query') \gset
SET :parallel = regress;
SELECT t_errors_parallel($$ SELECT dlock_try_acquire('t_errors:worker') $$);
SELECT t_errors_parallel($$ SELECT dlock_try_acquire('t_errors:worker', scope := 'session') $$);
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY terse
SELECT t_errors_parallel($$ SELECT dlock_acquire('t_errors:worker') $$);
SELECT t_errors_parallel($$ SELECT dlock_release('t_errors:held') $$);
SELECT t_errors_parallel($$ SELECT dlock_release_all() $$);
SELECT t_errors_parallel($$ SELECT dlock_renew('t_errors:held') $$);
SELECT t_errors_parallel($$ SELECT dlock_renew_all() $$);
SELECT t_errors_parallel($$ SELECT dlock_set_options('t_errors:held', mode := 'shared') $$);
SELECT t_errors_parallel($$ SELECT dlock_force_release('t_errors:held') $$);
SELECT t_errors_parallel($$ SELECT dlock_status('t_errors:held') $$);
SELECT t_errors_parallel($$ SELECT count(*) FROM dlock_list() $$);
\set VERBOSITY default
-- called as it should be, it stays in the leader
SELECT status FROM dlock_status('t_errors:held');
SELECT dlock_acquire('t_errors:leader') > 0 AS acquired;
SELECT dlock_release('t_errors:leader');
RESET :parallel;
DROP FUNCTION t_errors_parallel;

--
-- None of this has disturbed anything
--
SELECT status, holder, token = :token AS same FROM dlock_status('t_errors:held');
SELECT resource, hold_count FROM dlock_list('t_errors_a');
SELECT count(*) AS others FROM dlock_list() WHERE resource LIKE 't_errors%' AND client <> 't_errors_a';
SELECT count(*) AS waiters FROM dlock_queue();
SELECT dlock_release('t_errors:held', :token);
DROP TABLE names;
