/* test/modules/dlock_test/dlock_test--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION dlock_test" to load this file. \quit

--
-- What the SQL files and the isolation specs share.
--
-- The extension does not require dlock, so that a test can drop and create
-- dlock.  No name here begins with "dlock", because tests list the objects of
-- that name.
--

-- wait_until() waits until a condition holds, and fails after 55 s, before
-- the statement_timeout of the SQL files.  The condition is what comes after
-- SELECT: an expression, or an expression with a FROM clause.
CREATE FUNCTION wait_until(condition text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    deadline timestamptz := clock_timestamp() + interval '55 s';
    met boolean;
BEGIN
    LOOP
        EXECUTE 'SELECT ' || condition INTO met;
        IF met THEN
            RETURN true;
        END IF;
        IF clock_timestamp() > deadline THEN
            RAISE EXCEPTION 'never came true: %', condition;
        END IF;
        PERFORM pg_stat_clear_snapshot(), pg_sleep(0.01);
    END LOOP;
END $$;

-- attempt() returns the result of a command that may be refused, or the
-- SQLSTATE of the refusal.  Errors that are no refusal are not caught.
CREATE FUNCTION attempt(command text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE command INTO result;
    RETURN result;
EXCEPTION
    WHEN SQLSTATE 'LK001' OR deadlock_detected OR lock_not_available THEN
        RETURN SQLSTATE;
END $$;

-- report() returns the result of a query, or its whole error with the times
-- masked.
CREATE FUNCTION report(query text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    result text;
    message text;
    detail text;
    hint text;
BEGIN
    EXECUTE query INTO result;
    RETURN coalesce(result, 'null');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN SQLSTATE || ' ' || message ||
        E'\n' || regexp_replace(detail, '\d\d:\d\d:\d\d(\.\d+)?', '<time>', 'g') ||
        E'\n' || hint;
END $$;

-- free_resources() ends all leases on the resources whose names match a LIKE
-- pattern.  It is for the end of a spec.
CREATE PROCEDURE free_resources(pattern text)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM dlock_force_release(resource)
       FROM (SELECT DISTINCT resource FROM dlock_list() WHERE resource LIKE pattern) AS held;
END $$;

--
-- For isolation specs
--

-- detect_waits() replaces the prepared statement by which isolationtester
-- finds out whether a session is blocked.  Its own statement sees the waits
-- for heavyweight locks alone.  The new one takes these sessions for blocked:
-- - each that is in a queue of dlock;
-- - with locks, each that waits for a heavyweight lock;
-- - with commits, each whose dlock_force_release() waits for commits under way;
-- - with stopped, the one of this application_name, as long as its statement
--   runs: it stops at a debug point.
-- A spec asks for what its steps wait for and for no more, since a wait that
-- is over in a moment would be reported or not.  Call it in the spec's first
-- setup block.
CREATE PROCEDURE detect_waits(locks boolean DEFAULT false, commits boolean DEFAULT false,
    stopped text DEFAULT NULL)
LANGUAGE plpgsql AS $$
DECLARE
    condition text := 'EXISTS (SELECT FROM dlock_queue() WHERE pid = $1)';
BEGIN
    IF locks THEN
        condition := condition || ' OR cardinality(pg_blocking_pids($1)) > 0';
    END IF;
    IF commits THEN
        condition := condition ||
            $sql$ OR EXISTS (SELECT FROM pg_stat_activity
                              WHERE pid = $1 AND state = 'active' AND
                                    query LIKE '%force_release%' AND
                                    wait_event_type = 'Extension')$sql$;
    END IF;
    IF stopped IS NOT NULL THEN
        condition := condition || format(
            $sql$ OR EXISTS (SELECT FROM pg_stat_activity
                              WHERE pid = $1 AND state = 'active' AND
                                    application_name = %L)$sql$, stopped);
    END IF;
    DEALLOCATE isolationtester_waiting;
    EXECUTE 'PREPARE isolationtester_waiting(int) AS SELECT ' || condition;
END $$;

-- cancel_waiter() cancels the statement by which a client waits in a queue,
-- and waits until the client has left the queue.
CREATE FUNCTION cancel_waiter(client text) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_cancel_backend(q.pid) FROM dlock_queue() AS q
      WHERE q.client = cancel_waiter.client;
    RETURN wait_until(format(
        'NOT EXISTS (SELECT FROM dlock_queue() WHERE client = %L)', client));
END $$;

-- cancel_session() cancels the statement of the session of that
-- application_name, and waits until the statement has ended.
CREATE FUNCTION cancel_session(name text) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_cancel_backend(pid) FROM pg_stat_activity
      WHERE application_name = name;
    RETURN wait_until(format(
        'EXISTS (SELECT FROM pg_stat_activity WHERE application_name = %L AND state <> ''active'')',
        name));
END $$;

-- hold_commit() has the commit of another session wait until the caller's
-- transaction ends.  That session has written to its temporary table of this
-- name, which is to be ON COMMIT DELETE ROWS.
CREATE PROCEDURE hold_commit(temp_table name)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('LOCK TABLE %s IN ACCESS SHARE MODE',
                   (SELECT oid::regclass FROM pg_class WHERE relname = temp_table));
END $$;

-- open_connection() opens a dblink connection to this database, as this user,
-- with that name as its application_name.  The spec creates dblink.
CREATE FUNCTION open_connection(name text, options text) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    RETURN dblink_connect(name, format(
        'host=%L port=%s dbname=%L user=%L application_name=%L options=%L',
        split_part(current_setting('unix_socket_directories'), ', ', 1),
        current_setting('port'), current_database(), current_user, name, options));
END $$;

-- close_connection() closes it and waits until its process has ended.
CREATE FUNCTION close_connection(name text) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM dblink_disconnect(name);
    RETURN wait_until(format(
        'NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = %L)', name));
END $$;
