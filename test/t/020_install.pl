# The install and update scripts bind to the server's own objects and to dlock's,
# whatever a plain role has made in the schema that it is installed into: nobody's
# code runs when an administrator installs or updates dlock, or calls its functions.
#
# It could fail for an operator, a function or a type that a script names
# without its schema, and for one that it does not name at all: CASE x WHEN, IN
# and DISTINCT find operators as well.  So a role makes traps of every name that
# is in the script, for many kinds of arguments.
use strict;
use warnings;

use FindBin;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use DlockNode qw(dlock_node session ask try_ask begin_ask end_ask backend_pid
  log_position expect_log rows try_rows poll_rows poll_ready);

my $top = "$FindBin::Bin/../..";
my $node = dlock_node('install');

#
# What the script names
#

my $script = join '', map { slurp_file($_) } glob "$top/sql/dlock--*.sql";
$script =~ s{/\*.*?\*/}{}sg;
$script =~ s/--.*$//mg;
my %words = map { lc $_ => 1 } $script =~ /[a-z_]\w*/gi;
$script =~ s/\@extschema\@|'(?:[^']|'')*'//g;
# and what does not stand there by name, or could be written one day
my %operators = map { $_ => 1 } $script =~ m{[-+*/<>=~!@\#%^&|`?]+}g,
  qw(= <> < > <= >= || + - ~~ -> ->>);

# sql_array(WORD...) gives them as an array.
sub sql_array
{
	return 'ARRAY[' . join(', ', map { "'$_'" } sort @_) . ']::text[]';
}

# sets_traps(CONDITION) gives the statement that makes objects of all these
# names in schema poison, operators where the condition on the types of their
# arguments, l and r, holds.  What cannot be made is left out: PL/pgSQL does not
# take arguments of every type, and some types cannot be imitated.
sub sets_traps
{
	my ($condition) = @_;
	my $words = sql_array(keys %words);
	my $operators = sql_array(keys %operators);

	return <<"EOSQL";
DO \$do\$
DECLARE
	words text[] := $words;
	operators text[] := $operators;
	types text[] := '{text,integer,bigint,boolean,oid,name,interval,json,timestamptz,regclass,varchar,
		text[],unknown,anyelement,anyarray,anycompatible,record,poison.trap}';
	body text := 'BEGIN RAISE WARNING ''sprung by %'', current_user; RETURN NULL; END';
	word text;
	l text;
	r text;
	statement text;
	made int := 0;
BEGIN
	CREATE TYPE poison.trap AS (sprung text);
	CREATE TEMP TABLE trap (statement text);
	-- as in pg_catalog
	INSERT INTO trap
	SELECT format('CREATE FUNCTION poison.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', proname,
				  pg_get_function_identity_arguments(oid), pg_get_function_result(oid), body)
	  FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY (words);
	FOREACH word IN ARRAY words LOOP
		INSERT INTO trap
		SELECT format('CREATE FUNCTION poison.%I(%s) RETURNS text LANGUAGE plpgsql AS %L', word,
					  array_to_string(array_fill(type, ARRAY[n]), ', '), body)
		  FROM unnest(types) AS type, generate_series(1, CASE WHEN type IN ('text', 'anyelement') THEN 4 ELSE 1 END) AS n
		 WHERE word !~ '^dlock';
		INSERT INTO trap
		SELECT format('CREATE DOMAIN poison.%I AS pg_catalog.%I CHECK (poison.sprung(value::text))', word, word)
		 WHERE to_regtype(format('pg_catalog.%I', word)) IS NOT NULL;
	END LOOP;
	FOREACH l IN ARRAY types LOOP
		INSERT INTO trap
		VALUES (format('CREATE FUNCTION poison.to_trap(%s) RETURNS poison.trap LANGUAGE plpgsql AS %L', l, body)),
			   (format('CREATE CAST (%s AS poison.trap) WITH FUNCTION poison.to_trap(%s) AS IMPLICIT', l, l)),
			   (format('CREATE FUNCTION poison.%I(poison.trap) RETURNS %s LANGUAGE plpgsql AS %L', 'to_' || l, l, body)),
			   (format('CREATE CAST (poison.trap AS %s) WITH FUNCTION poison.%I(poison.trap) AS IMPLICIT', l, 'to_' || l));
		FOREACH r IN ARRAY types LOOP
			INSERT INTO trap
			SELECT format('CREATE FUNCTION poison.%I(%s, %s) RETURNS %s LANGUAGE plpgsql AS %L', 'gives_' || result, l, r, result, body)
			  FROM unnest('{text,boolean}'::text[]) AS result;
			INSERT INTO trap
			SELECT format('CREATE OPERATOR poison.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = poison.%I)', operator, l, r,
						  CASE operator WHEN '||' THEN 'gives_text' ELSE 'gives_boolean' END)
			  FROM unnest(operators) AS operator WHERE $condition;
		END LOOP;
	END LOOP;
	CREATE FUNCTION poison.sprung(value text) RETURNS boolean LANGUAGE plpgsql
		AS 'BEGIN RAISE WARNING ''sprung by %'', current_user; RETURN true; END';
	FOR statement IN SELECT t.statement FROM trap AS t LOOP
		BEGIN
			EXECUTE statement;
			made := made + 1;
		EXCEPTION WHEN OTHERS THEN
			NULL;
		END;
	END LOOP;
	DROP TABLE trap;
	PERFORM set_config('search_path', 'poison', true);
	-- poison.name and the like exist, and stand behind those of pg_catalog
	IF made < 1000 OR to_regtype('poison.text') IS NULL OR to_regoperator('poison.||(text,integer)') IS NULL THEN
		RAISE EXCEPTION 'only % traps', made;
	END IF;
END
\$do\$;
EOSQL
}

# poisoned(DATABASE, CONDITION) makes a database with a schema full of traps.
sub poisoned
{
	my ($dbname, $condition) = @_;

	rows($node, "CREATE DATABASE $dbname");
	rows($node, 'CREATE SCHEMA poison; GRANT ALL ON SCHEMA poison TO mallory', $dbname);
	rows($node, sets_traps($condition), $dbname, 'mallory');
	return;
}

# definitions(DATABASE, SCHEMA) gives the functions of the extension, with all
# names qualified that are not in pg_catalog.
sub definitions
{
	my ($dbname, $schema) = @_;
	my $text = rows($node, <<'EOSQL', $dbname);
SET search_path = '';
SELECT pg_catalog.pg_get_functiondef(p.oid), p.proacl
  FROM pg_catalog.pg_proc AS p
  JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid
  JOIN pg_catalog.pg_extension AS e ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid = e.oid
 WHERE e.extname = 'dlock'
 ORDER BY p.proname
EOSQL

	$text =~ s/\b\Q$schema\E\.dlock_/dlock_/g;
	return $text;
}

# strangers(DATABASE) gives what the extension's objects, or parts of them,
# depend on and is neither one of them nor the server's.
sub strangers
{
	return rows($node, <<'EOSQL', $_[0]);
WITH RECURSIVE ours AS (
	SELECT d.classid, d.objid FROM pg_depend AS d JOIN pg_extension AS e ON d.refobjid = e.oid
	 WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'dlock'
	UNION
	SELECT d.classid, d.objid FROM pg_depend AS d JOIN ours AS o ON d.refclassid = o.classid AND d.refobjid = o.objid
	 WHERE d.deptype IN ('a', 'i', 'P', 'S'))
SELECT DISTINCT pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid)
  FROM pg_depend AS d JOIN ours AS o ON d.classid = o.classid AND d.objid = o.objid
 WHERE d.refclassid NOT IN ('pg_namespace'::regclass, 'pg_extension'::regclass, 'pg_language'::regclass)
   AND NOT EXISTS (SELECT FROM ours WHERE classid = d.refclassid AND objid = d.refobjid)
EOSQL
}

rows($node, 'CREATE ROLE mallory LOGIN');
# "'process ' || 1" takes a text and an integer only where there is none for two
# integers: these come later
poisoned('poisoned', q{l <> r OR l = 'text'});
like(
	try_rows($node, q{SET search_path = poison; SELECT 'process ' || 1}, 'poisoned'),
	qr/WARNING:  01000: sprung by /,
	'a trap is sprung by a careless statement');
my $sprung = qr/client backend .*WARNING:  sprung by/;
expect_log(
	$node, $sprung,
	qr/client backend .*ERROR:  cannot (?:write to|truncate) table "guarded"/,
	qr/client backend .*ERROR:  cannot change table "locks" directly/,
	qr/client backend .*ERROR:  function poison\.dlock_wait_graph\(\) is not unique/);
my $position = log_position($node);

is(try_rows($node, 'CREATE EXTENSION dlock SCHEMA poison', 'poisoned'),
	'', 'installed among traps');
my $installed = definitions('poisoned', 'poison');
rows($node, q{DROP EXTENSION dlock; CREATE EXTENSION dlock VERSION '0.9' SCHEMA poison}, 'poisoned');
is(try_rows($node, 'ALTER EXTENSION dlock UPDATE', 'poisoned'), '', 'updated among traps');
my %plain = map { $_ => 1 } split /\n/, definitions('postgres', 'public');
cmp_ok(scalar keys %plain, '>', 50, 'there are definitions');
is(join("\n", grep { !$plain{$_} } split /\n/, $_), '', 'they are the same among traps')
  foreach $installed, definitions('poisoned', 'poison');
is(strangers('postgres'), '', 'nothing depends on strangers without traps');
is(strangers('poisoned'), '', 'nor with them');

#
# An administrator calls every function
#

# The statements of the administrator and their results are named with all
# their schemas; what the functions do is not.
my %session = map { $_ => session($node, 'poisoned') } qw(alice bob carol dave admin);
my $path = 'SET search_path = poison, pg_catalog';

ask($session{$_}, "SET dlock.client = '$_'; $path") foreach sort keys %session;
ask($session{dave}, <<'EOSQL');
CREATE TABLE public.guarded (id pg_catalog.int4);
BEGIN;
LOCK TABLE public.guarded
EOSQL

# call(NAME, ARGUMENTS) calls a function with arguments of its very types.
my %called;

sub call
{
	my ($session, $name, $arguments) = @_;

	$called{$name} = 1;
	return try_ask($session, "SELECT * FROM poison.$name($arguments)");
}
my %null = map { $_ => "NULL::pg_catalog.$_" } qw(text text[] int4 int8 interval);
my $options = q{'1 h'::pg_catalog.interval, 'exclusive'::pg_catalog.text, 0::pg_catalog.int4, 'lease'::pg_catalog.text, }
  . $null{text};

like(call($session{alice}, 'dlock_acquire', "'r'::pg_catalog.text, $null{interval}, $options"),
	qr/^\d+$/, 'dlock_acquire');
begin_ask($session{alice}, 'SELECT FROM public.guarded');
begin_ask($session{bob}, "SELECT * FROM poison.dlock_acquire('r'::pg_catalog.text, $null{interval}, $options)");
poll_rows($node, q{SELECT pg_catalog.count(*) FROM poison.dlock_queue(NULL::pg_catalog.text)}, '1', 'poisoned');
begin_ask($session{carol}, "SELECT * FROM poison.dlock_acquire('r'::pg_catalog.text, $null{interval}, $options)");
poll_rows($node, q{SELECT pg_catalog.count(*) FROM poison.dlock_queue(NULL::pg_catalog.text)}, '2', 'poisoned');
poll_rows($node, q{SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks WHERE NOT granted}, '1', 'poisoned');

my $admin = $session{admin};
like(call($admin, 'dlock_wait_graph', ''), qr/^bob\|\d+\|lease\|r\|exclusive\|holder\|alice\|\d+\|t$/m, 'dlock_wait_graph');
my $dot = call($admin, 'dlock_wait_graph_dot', '');
like($dot, qr/"bob" -> "alice" \[label="r \(exclusive\)"\]/, 'dlock_wait_graph_dot: a holder');
like($dot, qr/"carol" -> "bob" \[label="r \(exclusive\), ahead"\]/, 'dlock_wait_graph_dot: ahead');
like($dot, qr/"process \d+" -> "process \d+" \[label="lock"\]/, 'dlock_wait_graph_dot: a lock');
is(call($admin, 'dlock_blocking_clients', q{'carol'::pg_catalog.text}), '{bob}', 'dlock_blocking_clients');
is(call($admin, 'dlock_detect_deadlocks', ''), '0', 'dlock_detect_deadlocks');
is(call($admin, 'dlock_deadlocks', ''), '', 'dlock_deadlocks');
like(call($admin, 'dlock_status', q{'r'::pg_catalog.text}), qr/^r\|exclusive\|/, 'dlock_status');
like(call($admin, 'dlock_list', $null{text}), qr/^r\|/, 'dlock_list');
like(call($admin, 'dlock_queue', $null{text}), qr/^r\|1\|/, 'dlock_queue');
is(call($admin, 'dlock_try_acquire', "'r'::pg_catalog.text, '0'::pg_catalog.interval, $options"),
	'', 'dlock_try_acquire');
like(
	call($admin, 'dlock_acquire_all',
		"'{a,b}'::pg_catalog.text[], $null{interval}, $options"),
	qr/^a\|\d+\nb\|\d+$/, 'dlock_acquire_all');
like(
	call($admin, 'dlock_try_acquire_all',
		"'{a,b}'::pg_catalog.text[], '0'::pg_catalog.interval, $options"),
	qr/^a\|\d+\nb\|\d+$/, 'dlock_try_acquire_all');
like(call($admin, 'dlock_renew', "'a'::pg_catalog.text, $null{interval}, $null{int8}, $null{text}"),
	qr/\|0$/, 'dlock_renew');
is(call($admin, 'dlock_renew_all', "$null{interval}, $null{text}, $null{'text[]'}"), '2', 'dlock_renew_all');
is( call($admin, 'dlock_set_options',
		"'a'::pg_catalog.text, $null{interval}, '2 h'::pg_catalog.interval, $null{text}, $null{int4}, $null{int8}, $null{text}"
	),
	't', 'dlock_set_options');
is(call($admin, 'dlock_current_client', ''), 'admin', 'dlock_current_client');
is(call($admin, 'dlock_holds', "'a'::pg_catalog.text, $null{int8}, $null{text}"), 't', 'dlock_holds');
is( call($admin, 'dlock_fence',
		q{'a'::pg_catalog.text, (SELECT token FROM poison.dlock_status('a'::pg_catalog.text))}),
	'', 'dlock_fence');
ask($session{dave}, 'COMMIT');
end_ask($session{alice});
is(call($admin, 'dlock_protect', q{'public.guarded'::pg_catalog.regclass, $$ 'a'::pg_catalog.text $$::pg_catalog.text}),
	'', 'dlock_protect');
is(try_ask($admin, 'INSERT INTO public.guarded VALUES (1)'), '', 'dlock.guard_row');
like(try_ask($session{dave}, 'INSERT INTO public.guarded VALUES (1)'),
	qr/ERROR:  LK002/, 'dlock.guard_row refuses');
like(try_ask($admin, 'TRUNCATE public.guarded'), qr/ERROR:  LK002/, 'dlock.guard_truncate');
like(try_ask($admin, 'DELETE FROM dlock.locks'), qr/ERROR:  42501/, 'dlock.refuse_write');
is(call($admin, 'dlock_unprotect', q{'public.guarded'::pg_catalog.regclass}), 't', 'dlock_unprotect');
is(call($session{alice}, 'dlock_release', "'r'::pg_catalog.text, $null{int8}, $null{text}"),
	't', 'dlock_release');
like(end_ask($session{bob}), qr/^\d+$/, 'who waited is served');
is(call($admin, 'dlock_force_release', "'r'::pg_catalog.text, $null{int8}"),
	'1', 'dlock_force_release');
like(end_ask($session{carol}), qr/^\d+$/, 'and so is the next');
is(call($admin, 'dlock_release_all', "$null{text}, $null{'text[]'}"), '2', 'dlock_release_all');
is( join(' ', sort keys %called),
	rows($node, q{SELECT string_agg(DISTINCT proname, ' ' ORDER BY proname)
		FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname LIKE 'dlock%'}),
	'no function was forgotten');
$_->quit foreach values %session;
unlike(slurp_file($node->logfile, $position), $sprung, 'no trap was sprung');

#
# All operators, and functions of dlock's own names too, with one more argument
# that can be left out
#

poisoned('shadowed', 'true');
rows(
	$node,
	rows($node, <<'EOSQL'), 'shadowed', 'mallory');
SELECT format('CREATE FUNCTION poison.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L;', proname,
			  concat_ws(', ', nullif(oidvectortypes(proargtypes), ''), 'trap integer DEFAULT 0'),
			  pg_get_function_result(oid), 'BEGIN RAISE WARNING ''sprung by %'', current_user; END')
  FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname LIKE 'dlock%'
EOSQL
$position = log_position($node);
like(
	try_rows($node, 'CREATE EXTENSION dlock SCHEMA poison', 'shadowed'),
	qr/ERROR:  42725: function poison.dlock_wait_graph\(\) is not unique/,
	'shadowed: where a call of its own has a choice, the installation fails');
rows($node, 'DROP FUNCTION poison.dlock_wait_graph(integer)', 'shadowed', 'mallory');
is(try_rows($node, 'CREATE EXTENSION dlock SCHEMA poison', 'shadowed'),
	'', 'shadowed: without that one it succeeds');
is(join("\n", grep { !$plain{$_} } split /\n/, definitions('shadowed', 'poison')),
	'', 'shadowed: the functions are the same');
is(strangers('shadowed'), '', 'shadowed: nothing depends on strangers');
unlike(slurp_file($node->logfile, $position), $sprung, 'shadowed: no trap was sprung');

done_testing();
