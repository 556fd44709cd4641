--
-- Who one is, what one holds, and what follows from having no name.  A session
-- without a named client takes leases that end with it, since nobody else could
-- release them; where that is not wanted, calls without a name are refused.
-- Calls about many leases at once touch those that are meant and no others.
--
\set SHOW_CONTEXT never
SET statement_timeout = '1min';
SET dlock.default_ttl = '1h';
CREATE ROLE regress_dlock_client;

-- who
SELECT dlock_current_client() LIKE 'session/%' AS anonymous;
SELECT dlock_current_client() = dlock_current_client() AS stays;
SET dlock.client = 't_client_a';
SELECT dlock_current_client();
BEGIN;
SET LOCAL dlock.client = 't_client_b';
SELECT dlock_current_client();
COMMIT;
SELECT dlock_current_client();

-- the scope, where none is given, by who takes it
SELECT dlock_acquire('t_client:named') > 0 AS acquired;
SELECT dlock_acquire('t_client:null', scope := NULL) > 0 AS acquired;
RESET dlock.client;
SELECT dlock_acquire('t_client:own') > 0 AS acquired;
SELECT dlock_try_acquire('t_client:tried') > 0 AS acquired;
SELECT dlock_acquire('t_client:argument', client := 't_client_a') > 0 AS acquired;
SELECT dlock_acquire('t_client:asked', scope := 'lease') > 0 AS acquired;
SELECT count(*) FROM dlock_acquire_all('{t_client:both_1,t_client:both_2}');
SELECT resource, scope, client = dlock_current_client() AS mine, expires_at IS NULL AS endless
  FROM dlock_list() WHERE resource LIKE 't_client:%' ORDER BY resource COLLATE "C";

-- held?
SELECT token FROM dlock_status('t_client:own') \gset
SELECT dlock_holds('t_client:own') AS own, dlock_holds('t_client:own', :token) AS with_token,
       dlock_holds('t_client:own', :token + 1) AS with_another;
SELECT dlock_holds('t_client:named') AS mine, dlock_holds('t_client:named', client := 't_client_a') AS as_a;
SELECT dlock_holds('t_client:never') AS never, dlock_holds('t_client:own', client := 't_client_never') AS unknown;
-- nothing that can be asked is an error, and a transaction goes on
BEGIN;
SELECT dlock_holds(NULL) AS nothing, dlock_holds('') AS empty, dlock_holds(repeat('x', 256)) AS long,
       dlock_holds('t_client:own', 0) AS no_token, dlock_holds('t_client:own', -1) AS negative,
       dlock_holds('t_client:own', client := '') AS nobody, dlock_holds('t_client:own', client := repeat('x', 256)) AS long_name;
SET LOCAL ROLE regress_dlock_client;
SELECT dlock_holds('t_client:named', client := 't_client_a') AS not_this_role;
RESET ROLE;
SELECT dlock_holds('t_client:own') AS still;
-- until the release has taken effect
SELECT dlock_release('t_client:own');
SELECT dlock_holds('t_client:own') AS until_commit;
COMMIT;
SELECT dlock_holds('t_client:own') AS after;
SELECT dlock_acquire('t_client:short', ttl := '1 ms', scope := 'lease') > 0 AS acquired, pg_sleep(0.01);
SELECT dlock_holds('t_client:short') AS over;
SELECT dlock_acquire('t_client:shared', mode := 'shared', client := 't_client_a') > 0 AS a,
       dlock_acquire('t_client:shared', mode := 'shared', client := 't_client_b') > 0 AS b;
SELECT dlock_holds('t_client:shared') AS mine, dlock_holds('t_client:shared', client := 't_client_a') AS as_a,
       dlock_holds('t_client:shared', client := 't_client_b') AS as_b;

-- calls without a name
SET dlock.require_client = on;
SELECT dlock_current_client() IS NULL AS nobody;
\set VERBOSITY sqlstate
SELECT dlock_acquire('t_client:refused');
\set VERBOSITY default
SELECT dlock_try_acquire('t_client:refused');
SELECT dlock_acquire_all('{t_client:refused}');
SELECT dlock_release('t_client:asked');
SELECT dlock_release_all();
SELECT dlock_renew('t_client:asked');
SELECT dlock_renew_all();
SELECT dlock_set_options('t_client:asked', ttl := '1 min');
SELECT status FROM dlock_status('t_client:refused');
SELECT dlock_acquire('t_client:refused', client := 't_client_b') > 0 AS argument;
SET dlock.client = 't_client_b';
SELECT dlock_release('t_client:refused') AS setting;
RESET dlock.client;
RESET dlock.require_client;
SELECT dlock_release('t_client:asked') AS was_untouched;

-- some of many
SELECT count(dlock_acquire('t_client:' || i, client := 't_client_c')) FROM generate_series(1, 5) AS i;
SELECT dlock_acquire('t_client:2', client := 't_client_c') > 0 AS twice;
SELECT dlock_renew_all('2 h', 't_client_c', '{t_client:2,t_client:4,t_client:2,t_client:named}') AS two;
SELECT resource, remaining > '1 h 1 min' AS longer FROM dlock_list('t_client_c') ORDER BY resource;
BEGIN;
SELECT dlock_release_all('t_client_c', '{t_client:3,t_client:2,t_client:2,t_client:named}') AS two;
SELECT dlock_release_all('t_client_c', '{t_client:3}') AS asked_already;
SELECT count(*) FROM dlock_list('t_client_c');
ROLLBACK;
SELECT dlock_release_all('t_client_c', '{t_client:3,t_client:2}') AS two;
SELECT resource FROM dlock_list('t_client_c') ORDER BY resource;
SELECT dlock_release_all('t_client_c', '{}') AS none, dlock_renew_all(client := 't_client_c', resources := '{}') AS renewed;
SELECT dlock_release_all('t_client_c', '{t_client:1,NULL}');
SELECT dlock_renew_all(client := 't_client_c', resources := ARRAY['t_client:1', '']);
SELECT dlock_release_all('t_client_c', NULL) AS all_three;
SELECT dlock_release_all('t_client_a'), dlock_release_all('t_client_b');
SELECT dlock_release_all() > 0 AS own;
SELECT count(*) FROM dlock_list() WHERE resource LIKE 't_client:%';
DROP ROLE regress_dlock_client;
