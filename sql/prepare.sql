--
-- PREPARE TRANSACTION is refused if the transaction has released a lease or
-- holds one of scope "transaction": what dlock keeps for the end of a
-- transaction is lost with the session.  It is not refused for what takes
-- effect at once, or was taken back.
--
-- Without max_prepared_transactions the server refuses each, and there is
-- nothing to test: that is what prepare_1.out is for.
--
\set SHOW_CONTEXT never
SELECT current_setting('max_prepared_transactions')::int = 0 AS impossible \gset
\if :impossible
\echo left out: max_prepared_transactions is 0
\quit
\endif

SET statement_timeout = '1min';
SET intervalstyle = postgres;
SET dlock.default_ttl = '1h';
SET dlock.client = 't_prepare_a';

CREATE VIEW t_prepare_leases AS
    SELECT resource, mode, scope, hold_count, expires_at IS NULL AND remaining IS NULL AS endless
      FROM dlock_list() WHERE client LIKE 't_prepare%' ORDER BY resource;

BEGIN;
SELECT dlock_acquire('t_prepare:x', scope := 'transaction') > 0 AS acquired;
PREPARE TRANSACTION 't_prepare';
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM t_prepare_leases;
SELECT dlock_acquire('t_prepare:p') > 0 AS acquired;
BEGIN;
SELECT dlock_release('t_prepare:p');
PREPARE TRANSACTION 't_prepare';
SELECT * FROM t_prepare_leases;
BEGIN;
SELECT dlock_set_options('t_prepare:p', mode := 'shared');
PREPARE TRANSACTION 't_prepare';
SELECT * FROM t_prepare_leases;
SELECT gid FROM pg_prepared_xacts WHERE gid = 't_prepare';
-- what takes effect at once, or was taken back, is no obstacle
BEGIN;
SELECT dlock_acquire('t_prepare:q', scope := 'session') > 0 AS acquired, dlock_acquire('t_prepare:r') > 0 AS acquired;
SELECT waiters FROM dlock_renew('t_prepare:p', '2 h');
SAVEPOINT a;
SELECT dlock_release('t_prepare:p');
SELECT dlock_acquire('t_prepare:x', scope := 'transaction') > 0 AS acquired;
ROLLBACK TO a;
PREPARE TRANSACTION 't_prepare';
SELECT * FROM t_prepare_leases;
ROLLBACK PREPARED 't_prepare';
SELECT * FROM t_prepare_leases;
SELECT dlock_release_all();
DROP VIEW t_prepare_leases;
