--
-- Everybody may lock and look; ending the leases of others and reading the
-- tables is for those who were given it; writing them is for nobody.  A GRANT
-- forgotten in the script, or one too many, would show here.
--
\set QUIET 1
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
\pset pager off

BEGIN;
SELECT plan(75);

CREATE ROLE regress_dlock_priv_nobody;
CREATE ROLE regress_dlock_priv_monitor IN ROLE pg_monitor;

-- functions
SELECT function_privs_are('public', name, types, role, '{EXECUTE}')
  FROM (VALUES ('dlock_acquire', '{text,interval,interval,text,integer,text,text}'::text[]),
               ('dlock_try_acquire', '{text,interval,interval,text,integer,text,text}'),
               ('dlock_acquire_all', '{text[],interval,interval,text,integer,text,text}'),
               ('dlock_try_acquire_all', '{text[],interval,interval,text,integer,text,text}'),
               ('dlock_release', '{text,bigint,text}'),
               ('dlock_release_all', '{text,text[]}'),
               ('dlock_renew', '{text,interval,bigint,text}'),
               ('dlock_renew_all', '{interval,text,text[]}'),
               ('dlock_set_options', '{text,interval,interval,text,integer,bigint,text}'),
               ('dlock_holds', '{text,bigint,text}'),
               ('dlock_current_client', '{}'),
               ('dlock_fence', '{text,bigint}'),
               ('dlock_protect', '{regclass,text}'),
               ('dlock_unprotect', '{regclass}'),
               ('dlock_status', '{text}'),
               ('dlock_list', '{text}'),
               ('dlock_queue', '{text}'),
               ('dlock_wait_graph', '{}'),
               ('dlock_wait_graph_dot', '{}'),
               ('dlock_blocking_clients', '{text}'),
               ('dlock_deadlocks', '{}')) AS v (name, types),
       unnest('{regress_dlock_priv_nobody,public}'::text[]) AS role;
SELECT function_privs_are('public', 'dlock_force_release', '{text,bigint}', role, '{}'::text[])
  FROM unnest('{regress_dlock_priv_nobody,regress_dlock_priv_monitor,pg_monitor,public}'::text[]) AS role;

SELECT function_privs_are('public', 'dlock_detect_deadlocks', '{}'::text[], role, '{}'::text[])
  FROM unnest('{regress_dlock_priv_nobody,regress_dlock_priv_monitor,pg_monitor,public}'::text[]) AS role;

-- schema, tables, sequence
SELECT schema_privs_are('dlock', role, '{USAGE}')
  FROM unnest('{regress_dlock_priv_nobody,pg_monitor}'::text[]) AS role;
SELECT table_privs_are('dlock', name, role, privs)
  FROM unnest('{locks,clients,token_blocks}'::text[]) AS name,
       (VALUES ('regress_dlock_priv_nobody', '{}'::text[]), ('public', '{}'),
               ('regress_dlock_priv_monitor', '{SELECT}'), ('pg_monitor', '{SELECT}')) AS v (role, privs);
SELECT sequence_privs_are('dlock', 'clients_id_seq', role, '{}'::text[])
  FROM unnest('{regress_dlock_priv_nobody,pg_monitor}'::text[]) AS role;
SELECT is_empty($$ SELECT attrelid::regclass, attname FROM pg_attribute
                    WHERE attacl IS NOT NULL AND attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'dlock'::regnamespace) $$,
                'no privileges on single columns');

-- and they hold: an ordinary role uses the whole of the interface
SET ROLE regress_dlock_priv_nobody;
SELECT lives_ok($$ SELECT dlock_acquire('t_priv:1', scope := 'transaction', client := 't_priv') $$, 'nobody acquires');
SELECT lives_ok($$ SELECT dlock_acquire_all(ARRAY['t_priv:1', 't_priv:2'], scope := 'transaction', client := 't_priv') $$, 'nobody acquires several');
SELECT lives_ok($$ SELECT dlock_renew('t_priv:1', client := 't_priv') $$, 'nobody renews');
SELECT lives_ok($$ SELECT * FROM dlock_status('t_priv:1'), dlock_list() $$, 'nobody looks');
SELECT throws_ok($$ SELECT dlock_force_release('t_priv:1') $$, '42501', NULL, 'nobody ends by force');
SELECT throws_ok($$ SELECT dlock_detect_deadlocks() $$, '42501', NULL, 'nobody looks for deadlocks by hand');
SELECT throws_ok($$ SELECT FROM dlock.locks $$, '42501', NULL, 'nobody reads the table');
SELECT throws_ok($$ DELETE FROM dlock.clients $$, '42501', NULL, 'nobody writes the clients');
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;
