--
-- The SQL interface is what docs/api.md says: names, arguments with their
-- types and defaults, results, and what the planner may do with a call.  An
-- enum or an integer in a signature would break drivers that bind strings; a
-- function that is not volatile would be called once where twice is meant;
-- one that is strict would give NULL where an argument is missing.
--
\set QUIET 1
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
\pset pager off

BEGIN;
SELECT plan(211);

CREATE TEMP TABLE api (name text, types text[], arguments text, result text, parallel "char");
INSERT INTO api VALUES
    ('dlock_acquire', '{text,interval,interval,text,integer,text,text}',
     'resource text, timeout interval DEFAULT NULL::interval, ttl interval DEFAULT NULL::interval, '
     'mode text DEFAULT ''exclusive''::text, priority integer DEFAULT 0, scope text DEFAULT NULL::text, '
     'client text DEFAULT NULL::text', 'bigint', 'u'),
    ('dlock_try_acquire', '{text,interval,interval,text,integer,text,text}',
     'resource text, timeout interval DEFAULT ''00:00:00''::interval, ttl interval DEFAULT NULL::interval, '
     'mode text DEFAULT ''exclusive''::text, priority integer DEFAULT 0, scope text DEFAULT NULL::text, '
     'client text DEFAULT NULL::text', 'bigint', 'u'),
    ('dlock_acquire_all', '{text[],interval,interval,text,integer,text,text}',
     'resources text[], timeout interval DEFAULT NULL::interval, ttl interval DEFAULT NULL::interval, '
     'mode text DEFAULT ''exclusive''::text, priority integer DEFAULT 0, scope text DEFAULT NULL::text, '
     'client text DEFAULT NULL::text, OUT resource text, OUT token bigint', 'setof record', 'u'),
    ('dlock_try_acquire_all', '{text[],interval,interval,text,integer,text,text}',
     'resources text[], timeout interval DEFAULT ''00:00:00''::interval, ttl interval DEFAULT NULL::interval, '
     'mode text DEFAULT ''exclusive''::text, priority integer DEFAULT 0, scope text DEFAULT NULL::text, '
     'client text DEFAULT NULL::text, OUT resource text, OUT token bigint', 'setof record', 'u'),
    ('dlock_release', '{text,bigint,text}',
     'resource text, token bigint DEFAULT NULL::bigint, client text DEFAULT NULL::text', 'boolean', 'u'),
    ('dlock_release_all', '{text,text[]}',
     'client text DEFAULT NULL::text, resources text[] DEFAULT NULL::text[]', 'bigint', 'u'),
    ('dlock_force_release', '{text,bigint}', 'resource text, token bigint DEFAULT NULL::bigint', 'bigint', 'u'),
    ('dlock_renew', '{text,interval,bigint,text}',
     'resource text, ttl interval DEFAULT NULL::interval, token bigint DEFAULT NULL::bigint, '
     'client text DEFAULT NULL::text, OUT expires_at timestamp with time zone, OUT remaining interval, '
     'OUT waiters integer', 'record', 'u'),
    ('dlock_renew_all', '{interval,text,text[]}',
     'ttl interval DEFAULT NULL::interval, client text DEFAULT NULL::text, resources text[] DEFAULT NULL::text[]',
     'bigint', 'u'),
    ('dlock_set_options', '{text,interval,interval,text,integer,bigint,text}',
     'resource text, timeout interval DEFAULT NULL::interval, ttl interval DEFAULT NULL::interval, '
     'mode text DEFAULT NULL::text, priority integer DEFAULT NULL::integer, token bigint DEFAULT NULL::bigint, '
     'client text DEFAULT NULL::text', 'boolean', 'u'),
    ('dlock_holds', '{text,bigint,text}',
     'resource text, token bigint DEFAULT NULL::bigint, client text DEFAULT NULL::text', 'boolean', 'r'),
    ('dlock_current_client', '{}', '', 'text', 'r'),
    ('dlock_status', '{text}',
     'resource text, OUT resource text, OUT status text, OUT mode text, OUT holders integer, OUT waiters integer, '
     'OUT token bigint, OUT holder text, OUT expires_at timestamp with time zone, OUT remaining interval, '
     'OUT source text', 'record', 'r'),
    ('dlock_list', '{text}',
     'client text DEFAULT NULL::text, OUT resource text, OUT token bigint, OUT client text, OUT role text, '
     'OUT mode text, OUT scope text, OUT hold_count integer, OUT acquired_at timestamp with time zone, '
     'OUT expires_at timestamp with time zone, OUT remaining interval, OUT waiters integer, OUT source text',
     'setof record', 'r'),
    ('dlock_queue', '{text}',
     'resource text DEFAULT NULL::text, OUT resource text, OUT place integer, OUT ticket bigint, OUT client text, '
     'OUT role text, OUT mode text, OUT priority integer, OUT pid integer, '
     'OUT waiting_since timestamp with time zone, OUT deadline timestamp with time zone', 'setof record', 'r'),
    ('dlock_wait_graph', '{}',
     'OUT waiter text, OUT waiter_pid integer, OUT waits_for text, OUT resource text, OUT mode text, OUT reason text, '
     'OUT blocker text, OUT blocker_pid integer, OUT blocker_waits boolean', 'setof record', 'r'),
    ('dlock_wait_graph_dot', '{}', '', 'text', 'r'),
    ('dlock_blocking_clients', '{text}', 'client text', 'text[]', 'r'),
    ('dlock_deadlocks', '{}',
     'OUT id bigint, OUT detected_at timestamp with time zone, OUT client text, OUT pid integer, OUT resource text, '
     'OUT waits integer, OUT detail text', 'setof record', 'r'),
    ('dlock_detect_deadlocks', '{}', '', 'integer', 'u'),
    ('dlock_fence', '{text,bigint}', 'resource text, token bigint', 'void', 'u'),
    ('dlock_protect', '{regclass,text}', 'target regclass, resource_expression text', 'void', 'u'),
    ('dlock_unprotect', '{regclass}', 'target regclass', 'boolean', 'u');

-- 23 functions, 8 assertions each: 184
SELECT has_function('public', name, types) FROM api;
SELECT function_returns('public', name, types, result) FROM api;
SELECT function_lang_is('public', name, types,
                        CASE WHEN name IN ('dlock_wait_graph_dot', 'dlock_blocking_clients') THEN 'sql' ELSE 'c' END)
  FROM api;
SELECT volatility_is('public', name, types, 'volatile') FROM api;
SELECT isnt_strict('public', name, types) FROM api;
SELECT isnt_definer('public', name, types) FROM api;
SELECT is(pg_get_function_arguments(p.oid), a.arguments, format('%s: arguments and defaults', name))
  FROM api AS a LEFT JOIN pg_proc AS p ON p.proname = a.name AND p.pronamespace = 'public'::regnamespace;
SELECT is(p.proparallel, a.parallel, format('%s: parallel safety', name))
  FROM api AS a LEFT JOIN pg_proc AS p ON p.proname = a.name AND p.pronamespace = 'public'::regnamespace;

-- no others, and no second one of a name
SELECT bag_eq($$ SELECT proname::text FROM pg_proc
                  WHERE proname ~ '^dlock' OR pronamespace = 'dlock'::regnamespace $$,
              $$ SELECT name FROM api UNION ALL VALUES ('refuse_write'), ('guard_row'), ('guard_truncate') $$, 'no other functions');
SELECT is_empty($$ SELECT p.oid::regprocedure FROM pg_proc AS p, unnest(p.proargtypes) AS type
                    WHERE p.proname ~ '^dlock' AND type::regtype::text NOT IN
                          ('text', 'text[]', 'interval', 'integer', 'bigint', 'regclass') $$,
                'only types that every driver can bind');

-- tables
SELECT has_schema('dlock');
SELECT tables_are('dlock', '{locks,clients,token_blocks}'::name[]);
SELECT columns_are('dlock', 'locks',
                   '{id,resource_name,token,owner_id,owner,owner_role,mode,scope,hold_count,acquired_at,ttl,expiration_at,status}'::name[]);
SELECT col_type_is('dlock', 'locks', name, type, format('dlock.locks.%s is %s', name, type))
  FROM (VALUES ('resource_name', 'text'), ('token', 'bigint'), ('owner', 'text'), ('owner_role', 'regrole'),
               ('mode', 'text'), ('scope', 'text'), ('hold_count', 'integer'), ('ttl', 'interval'),
               ('expiration_at', 'timestamp with time zone')) AS v (name, type);
SELECT columns_are('dlock', 'clients', '{id,name,role,created_at,last_used_at}'::name[]);
SELECT col_is_unique('dlock', 'clients', 'name', 'a client name belongs to one role');
SELECT col_is_pk('dlock', 'clients', 'id', 'clients have a number');
SELECT columns_are('dlock', 'token_blocks', '{database,upto}'::name[]);
-- the writer updates its rows in place, which an index would forbid
SELECT is_empty($$ SELECT indexrelid FROM pg_index WHERE indrelid = 'dlock.locks'::regclass $$,
                'dlock.locks has no index');
SELECT has_trigger('dlock', 'locks', 'dlock_refuse_write', 'dlock.locks has the trigger that refuses writes');
SELECT bag_eq($$ SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'dlock.locks'::regclass $$,
              $$ VALUES ('dlock_refuse_write'::name, 'A'::"char"), ('dlock_refuse_row', 'A') $$,
              'also from sessions that replicate');

-- each has a comment
SELECT is_empty($$ SELECT oid::regprocedure FROM pg_proc
                    WHERE (proname ~ '^dlock' OR pronamespace = 'dlock'::regnamespace)
                      AND coalesce(obj_description(oid, 'pg_proc'), '') = '' $$, 'every function has a comment');
SELECT is_empty($$ SELECT oid::regclass FROM pg_class
                    WHERE relnamespace = 'dlock'::regnamespace AND relkind = 'r'
                      AND coalesce(obj_description(oid, 'pg_class'), '') = '' $$, 'every table has a comment');
SELECT isnt(obj_description('dlock'::regnamespace, 'pg_namespace'), NULL, 'the schema has a comment');
SELECT isnt(obj_description((SELECT oid FROM pg_extension WHERE extname = 'dlock'), 'pg_extension'), NULL,
            'the extension has a comment');

-- settings
SELECT set_eq($$ SELECT name, context FROM pg_settings WHERE name LIKE 'dlock.%' $$,
              $$ VALUES ('dlock.client', 'user'), ('dlock.default_ttl', 'user'), ('dlock.durable', 'user'),
                        ('dlock.require_client', 'user'),
                        ('dlock.quorum_timeout', 'user'), ('dlock.deadlock_policy', 'user'),
                        ('dlock.deadlock_timeout', 'sighup'), ('dlock.client_retention', 'sighup'),
                        ('dlock.max_ttl', 'superuser'), ('dlock.debug_stop', 'superuser'),
                        ('dlock.debug_no_barrier', 'superuser'),
                        ('dlock.max_leases', 'postmaster'), ('dlock.max_waiters', 'postmaster'),
                        ('dlock.max_clients', 'postmaster'), ('dlock.max_databases', 'postmaster') $$,
              'the settings, and who may change them');
SELECT is_empty($$ SELECT name FROM pg_settings WHERE name LIKE 'dlock.%' AND coalesce(short_desc, '') = '' $$,
                'every setting is described');

SELECT * FROM finish();
ROLLBACK;
