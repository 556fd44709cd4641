#!/bin/bash
# Gets the formatter that PostgreSQL's own sources are formatted with.
#
#     test/tools/pgindent.sh DIR
#
# No package has it, so it is built from the source package of a newer
# PostgreSQL, which Debian signs: pg_bsd_indent, the script pgindent that calls
# it, and the list of the server's typedefs come to DIR.  Nothing outside of DIR
# is changed, and no privilege is needed.
# shellcheck source=test/tools/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

release=trixie
package=postgresql-17

dir=$(realpath -m "${1:?folder}")
[ ! -x "$dir/pg_bsd_indent" ] || exit 0
"$top/test/tools/packages.sh" build lint

mkdir -p "$dir"
work=$(mktemp -d "$dir/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

mkdir -p lists/partial cache/archives/partial
# from where this machine has its other packages
# shellcheck disable=SC2016	# apt-get expands
uri=$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | head -n 1)
echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
	"$uri $release main" >sources.list
apt=(apt-get -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=-
	-o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache"
	-o APT::Sandbox::User= -o Acquire::Languages=none)
"${apt[@]}" update
"${apt[@]}" source --download-only "$package"

tar xjf "$package"_*.orig.tar.bz2 --strip-components=3 --wildcards \
	'*/src/tools/pgindent/*' '*/src/tools/pg_bsd_indent/*.[ch]'
# shellcheck disable=SC2046	# several options
cc -O2 -w $("$(make_var PG_CONFIG)" --cppflags) \
	-I"$("$(make_var PG_CONFIG)" --includedir-server)" \
	-o built pg_bsd_indent/*.c \
	-L"$("$(make_var PG_CONFIG)" --pkglibdir)" -L"$("$(make_var PG_CONFIG)" --libdir)" \
	-lpgcommon -lpgport
mv pgindent/pgindent pgindent/typedefs.list "$dir"
mv built "$dir/pg_bsd_indent"
