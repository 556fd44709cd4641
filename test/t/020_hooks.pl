# Commands that dlock takes notice of are noticed in whatever way they come: by
# themselves, prepared by the protocol, in a DO block, in a procedure that ends
# transactions, or in one that frees the statement by which it was called.  And
# nothing else is taken for one of them.
#
# It could fail if a statement were looked at after its command: the command may
# have freed it, and its memory may be part of another statement by then.  The
# test makes that so with the allocator of PostgreSQL 15; where memory is handed
# out in another way it shows less, and nothing wrong.
use strict;
use warnings;

use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use DlockNode qw(dlock_node expect_log rows try_rows poll_ready run_bounded);

my $node = dlock_node('hooks');
my $n = 0;

# prepared(NAME, SCRIPT) runs statements in one session, each prepared and
# executed by the protocol; tests that none fails.
sub prepared
{
	my ($name, $script) = @_;
	my $file = "$PostgreSQL::Test::Utils::tmp_check/hooks_" . ++$n . '.sql';

	append_to_file($file, $script);
	my ($rc, $out, $err) = run_bounded(
		[ 'pgbench', '-n', '-M', 'prepared', '-t', 1, '-f', $file, $node->connstr('postgres') ]);
	return is($rc, 0, $name) || diag("$out$err");
}

# kept and gone are divisions by 0 where the answer is no
my $kept = q{SELECT 1 / count(*) FROM dlock_list() WHERE resource = 'kept';};
my $gone = q{SELECT 1 / (1 - count(*)) FROM dlock_list() WHERE resource = 'kept';};
my $take = q{SELECT dlock_acquire('kept', scope := 'session');};

#
# A procedure that frees its own statement
#

# The statement's memory goes to one of the commands after the DEALLOCATEs, which
# is refused: the leases of the session are none of its business.
rows($node, <<'EOSQL');
CREATE PROCEDURE free_statement() LANGUAGE plpgsql AS $$
DECLARE
	command text;
	me text := (SELECT format('DEALLOCATE %I', name) FROM pg_prepared_statements WHERE statement LIKE 'CALL%');
BEGIN
	FOREACH command IN ARRAY ARRAY['PREPARE a AS SELECT 1', 'EXECUTE a', 'PREPARE b AS SELECT 1',
			'ROLLBACK', me, 'DEALLOCATE a', 'DEALLOCATE b'] LOOP
		IF command = 'ROLLBACK' THEN
			ROLLBACK;
		ELSE
			EXECUTE command;
		END IF;
	END LOOP;
	BEGIN DISCARD /* pad */ ALL; EXCEPTION WHEN active_sql_transaction THEN NULL; END;
	BEGIN DISCARD /* pad */ ALL; EXCEPTION WHEN active_sql_transaction THEN NULL; END;
	BEGIN DISCARD /* pad */ ALL; EXCEPTION WHEN active_sql_transaction THEN NULL; END;
	BEGIN DISCARD /* pad */ ALL; EXCEPTION WHEN active_sql_transaction THEN NULL; END;
END $$;
EOSQL
prepared('a statement that was freed is not taken for DISCARD ALL',
	"$take\nCALL free_statement();\n$kept");

#
# DISCARD ALL, which also drops the prepared statement that it is
#
prepared('DISCARD ALL, prepared', "$take\nDISCARD ALL;\n$gone\n$take\n$kept");
prepared('DISCARD PLANS, prepared', "$take\nDISCARD PLANS;\n$kept");
like(
	try_rows($node, "SELECT dlock_acquire('kept', scope := 'session'); DO \$\$ BEGIN EXECUTE 'DISCARD ALL'; END \$\$"),
	qr/ERROR:  25001: DISCARD ALL cannot be executed from a function/,
	'DISCARD ALL in a DO block is refused');
is( rows($node, <<'EOSQL'),
SELECT FROM dlock_acquire('kept', scope := 'session');
DO $$ BEGIN EXECUTE 'DISCARD ALL'; EXCEPTION WHEN active_sql_transaction THEN NULL; END $$;
SELECT count(*) FROM dlock_list() WHERE resource = 'kept';
EOSQL
	'1', 'and ends nothing');

#
# CREATE DATABASE: in a copy with the extension, dlock works at once
#
rows($node, 'CREATE DATABASE original');
rows($node, 'CREATE EXTENSION dlock', 'original');
poll_ready($node, 'original');
prepared('CREATE DATABASE, prepared', 'CREATE DATABASE "a copy of it" TEMPLATE original;');
like(rows($node, q{SELECT dlock_acquire('copied')}, 'a copy of it'), qr/^\d+$/, 'a copy of a database can be used');
prepared('ALTER DATABASE ... RENAME, prepared', 'ALTER DATABASE original RENAME TO renamed;');
poll_ready($node, 'renamed');
prepared('DROP DATABASE, prepared', 'DROP DATABASE renamed;');

#
# CREATE EXTENSION and DROP EXTENSION
#
my $drop = 'DROP EXTENSION dlock';
my $create = 'CREATE EXTENSION dlock';

rows($node, 'DROP PROCEDURE free_statement');
rows($node, <<'EOSQL');
CREATE FUNCTION run(command text) RETURNS void LANGUAGE plpgsql AS 'BEGIN EXECUTE command; END';
CREATE PROCEDURE again() LANGUAGE plpgsql AS $$
BEGIN
	DROP EXTENSION dlock;
	COMMIT;
	CREATE EXTENSION dlock;
	COMMIT;
	DROP EXTENSION dlock;
	CREATE EXTENSION dlock;
	ROLLBACK;
	PERFORM dlock_acquire('again', client := 'again');
END $$;
EOSQL
foreach my $case (
	[ 'prepared', "$drop;\n$create;" ],
	[ 'in DO blocks', "DO 'BEGIN $drop; END';\nDO 'BEGIN $create; END';" ],
	[ 'in one DO block', "DO 'BEGIN $drop; $create; END';" ],
	[ 'in a function', "SELECT run('$drop');\nSELECT run('$create');" ],
	[ 'in a procedure that ends transactions', 'CALL again();' ])
{
	my ($name, $script) = @$case;

	rows($node, "SELECT dlock_acquire('before', client := 'before')");
	prepared("DROP and CREATE EXTENSION $name",
		"$script\nSELECT 1 / (dlock_acquire('after') < 10)::int;");
	is(rows($node, q{SELECT count(*) FROM dlock_list() WHERE resource = 'before'}),
		'0', "$name: the old leases are gone");
}

expect_log($node, qr/client backend .*ERROR:  DISCARD ALL cannot be executed from a function/);

done_testing();
