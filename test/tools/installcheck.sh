#!/bin/bash
# Prepares the databases in which "make installcheck" runs its tests.
#
#     test/tools/installcheck.sh PSQL DATABASE...
#
# pg_regress could make them, but not with the functions that the tests share:
# these are an extension that no package installs.  So they are loaded as plain
# functions.  A database of that name is dropped first.
#
# The server is the one that libpq's variables name (PGHOST, PGPORT, PGUSER).
# Its user must be a superuser, and it must preload dlock.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

psql=("$1" -X -q -v ON_ERROR_STOP=1)
shift
export PGOPTIONS="${PGOPTIONS:-} -c client_min_messages=warning"

# value NAME prints a setting of the server.
value()
{
	"${psql[@]}" -d postgres -A -t -c "SHOW $1"
}

preloaded=$(value shared_preload_libraries)
[[ ,${preloaded// /}, =~ [,/\"]dlock(\.so)?[\",] ]] || {
	echo "installcheck: this server does not preload dlock; its shared_preload_libraries = '$preloaded'" >&2
	exit 1
}

[ "$(value max_prepared_transactions)" != 0 ] ||
	echo '# left out, as max_prepared_transactions is 0: prepare'

# The functions, without the line that asks for CREATE EXTENSION.
helpers=$(grep -v '^[\]' "$top"/test/modules/dlock_test/dlock_test--*.sql)

for database; do
	"${psql[@]}" -d postgres -v database="$database" <<-'END'
		DROP DATABASE IF EXISTS :"database";
		CREATE DATABASE :"database" TEMPLATE template0
		    ENCODING 'UTF8' LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C';
		-- what pg_regress sets where it makes the database
		ALTER DATABASE :"database" SET lc_messages TO 'C';
		ALTER DATABASE :"database" SET lc_monetary TO 'C';
		ALTER DATABASE :"database" SET lc_numeric TO 'C';
		ALTER DATABASE :"database" SET lc_time TO 'C';
		ALTER DATABASE :"database" SET bytea_output TO 'hex';
		ALTER DATABASE :"database" SET timezone_abbreviations TO 'Default';
	END
	"${psql[@]}" -d "$database" -c 'CREATE EXTENSION dlock' -c "$helpers"
done
