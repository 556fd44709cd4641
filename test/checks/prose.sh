#!/bin/bash
# Checks what can be checked of prose: the documents (*.md), and the comments
# and messages of src/ and sql/.
#
#   names    each dlock_NAME and dlock.NAME exists, in the code or in the
#            install script
#   tests    each test that an example of "make SUITE TESTS=..." names exists
#   links    a relative link leads to a file, and its anchor to a heading
#   columns  a line of a document has at most 100 columns, outside of tables,
#            fenced blocks and lines that are nothing but a link
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# Documents that still have longer lines.  The list may only shrink: take out
# what the last line of this check says is not needed in it any more.
longer="
"

# the documents; what is built, and what tests leave, is not ours
mapfile -t documents < <(find . \( -path ./.git -o -path ./.test -o -path ./.quickstart -o -path './debian/*' \) -prune -o \
	-name '*.md' -print | sed 's,^\./,,' | LC_ALL=C sort)
mapfile -t sources < <(find src sql -name '*.[ch]' -o -name '*.sql' | LC_ALL=C sort)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# part KIND FILE prints a source with all else blanked, lines kept.  KIND is
# "prose", which is comments and strings of more than one word, or "code".
part()
{
	perl -0777 -pe '
		BEGIN { $kind = shift }
		my $sql = $ARGV =~ /\.sql$/;
		my $comment = $sql ? qr{--[^\n]*|/\*.*?\*/}s : qr{/\*.*?\*/}s;
		my $string = $sql ? qr{\x27(?:[^\x27]|\x27\x27)*\x27} : qr{"(?:[^"\\\n]|\\.)*"};
		s{($comment)|($string)|(\x27(?:[^\x27\\\n]|\\.)\x27|[^-/"\x27]+|.)}{
			my $found = $&;
			my $prose = defined $1 || (defined $2 && $found =~ /\s/);
			$found =~ tr/\n/ /c if $prose != ($kind eq "prose");
			$found
		}gse' "$1" "$2"
}

# unfenced FILE prints a document with its fenced blocks blanked, lines kept.
unfenced()
{
	perl -ne '
		if (/^\s*(```|~~~)/) { $in = !$in; $_ = "\n" }
		print $in ? "\n" : $_' "$1"
}

# What exists: in the code, where a message does not count, in what tests and
# the bench share, and files.
known_names()
{
	for file in "${sources[@]}"; do
		[[ $file == sql/* && $file != sql/dlock--* ]] || part code "$file"
	done | grep -oE '\bdlock[._][a-z]\w*' || true
	grep -ohE '\bdlock_[a-z]\w*' test/perl/*.pm test/bench/*.* || true
	find test/modules -mindepth 1 -maxdepth 1 -type d -printf '%f\n'
	find . -path './.*' -prune -o -name 'dlock.*' -printf '%f\n'
	echo dlock.so
}

# mentioned_names FILE prints "FILE:LINE NAME" for each in its prose; a name
# that stands for several ends with an asterisk.
mentioned_names()
{
	if [[ $1 == *.md ]]; then cat "$1"; else part prose "$1"; fi |
		file=$1 perl -ne '
			print "$ENV{file}:$. $&\n"
				while /(?<![\w.-])dlock(?:_|\.(?=[a-z]))\w+\*?/g'
}

check_names()
{
	known_names | LC_ALL=C sort -u >"$work/known"
	for file in "${documents[@]}" "${sources[@]}"; do mentioned_names "$file"; done |
		perl -e '
			open my $known, "<", shift or die;
			my %known = map { chomp; $_ => 1 } <$known>;
			while (<STDIN>) {
				chomp;
				my ($place, $name) = split / /, $_, 2;
				next if $known{$name};
				next if $name =~ s/\*$// && grep { index($_, $name) == 0 } keys %known;
				print "$place: there is no \"$name\"\n";
			}' "$work/known"
}

# all_tests SUITE prints what TESTS may name there.
all_tests()
{
	case $1 in
		regress | memcheck) make -s --no-print-directory print-REGRESS | tr -s '[:space:]' '\n' ;;
		isolation) make -s --no-print-directory print-ISOLATION | tr -s '[:space:]' '\n' ;;
		pgtap) find test/pgtap -name '*.sql' -printf '%f\n' | sed 's/\.sql$//' ;;
		tap) find test/t -name '*.pl' -printf '%f\n' | sed 's/\.pl$//' ;;
		model) sed -nE 's/^([a-z][a-z0-9-]*) *\|.*/\1/p' test/model/runs.txt ;;
	esac
}

# A name in capitals, as in TESTS=NAME, stands for any.
check_tests()
{
	local file line suite names name
	for suite in regress isolation pgtap tap model memcheck; do
		all_tests "$suite" | sed "s/^/$suite /"
	done >"$work/tests"
	for file in "${documents[@]}"; do
		perl -ne '
			while (/TESTS=(?:"([^"]*)"|([\w-]+))/g) {
				my ($names, $before) = ($1 // $2, $`);
				my ($suite) = $before =~ /.*\bmake (\w+)/;
				print join("\t", $., $suite // "-", $names), "\n";
			}' "$file" |
			while IFS=$'\t' read -r line suite names; do
				for name in $names; do
					[[ $name =~ ^[A-Z]+$ ]] && continue
					grep -qxE "${suite/#-/.*} ${name%.pl}" "$work/tests" ||
						echo "$file:$line: no suite has the test \"$name\""
				done
			done
	done
}

# anchors FILE prints the anchors of its headings, as forges make them.
anchors()
{
	unfenced "$1" | perl -CSD -ne '
		print "$1\n" while /<a\s+(?:name|id)="([^"]+)"/g;
		next if !s/^#{1,6}\s+//;
		s/\s*#*\s*$//;
		s/\[([^\]]*)\]\([^)]*\)/$1/g;
		$_ = lc;
		s/[^\w\s-]//g;
		s/\s/-/g;
		print $_, ($seen{$_}++ ? "-" . ($seen{$_} - 1) : ""), "\n"'
}

check_links()
{
	local file line target path anchor
	for file in "${documents[@]}"; do
		unfenced "$file" | perl -ne '
			s/`[^`]*`//g;
			print "$.\t$1\n" while /\]\(<?([^)>\s]+)>?[^)]*\)/g;
			print "$.\t$1\n" if /^\s*\[[^\]]+\]:\s*(\S+)/;
			print "$.\t$1\n" while /\b(?:src|href)="([^"]+)"/g' |
			while IFS=$'\t' read -r line target; do
				[[ $target =~ ^[a-z]+: ]] && continue
				path=${target%%#*}
				anchor=${target#"$path"}
				if [[ -z $path ]]; then
					path=$file
				else
					path=$(dirname "$file")/$path
				fi
				if [[ $target == /* || ! -e $path ]]; then
					echo "$file:$line: the link leads nowhere: $target"
				elif [[ -n $anchor && $path == *.md ]]; then
					anchors "$path" | grep -qxF -- "${anchor#\#}" ||
						echo "$file:$line: the link's anchor is no heading there: $target"
				fi
			done
	done
}

# check_columns prints the lines that are too long.
check_columns()
{
	local file
	for file in "${documents[@]}"; do
		unfenced "$file" | file=$file perl -CSD -ne '
			chomp;
			next if length() <= 100 || /^\s*\|/;
			next if /^\s*(?:[-*]\s+)?(?:<?\w+:\/\/\S+|\[[^\]]*\]:\s*\S+|!?\[[^\]]*\]\([^)]*\)[.,;:]?)\s*$/;
			printf "%s:%d: has %d columns\n", $ENV{file}, $., length()'
	done
}

check_names >"$work/findings"
check_tests >>"$work/findings"
check_links >>"$work/findings"
check_columns >"$work/columns"
not_yet=()
delivered=()
for file in $longer; do
	if grep -q "^$file:" "$work/columns"; then not_yet+=("$file"); else delivered+=("$file"); fi
	grep -v "^$file:" "$work/columns" >"$work/rest" || true
	mv "$work/rest" "$work/columns"
done
cat "$work/findings" "$work/columns"
[ ${#not_yet[@]} = 0 ] || echo "prose: lines of more than 100 columns are still in ${not_yet[*]}"
[ ${#delivered[@]} = 0 ] || echo "prose: need not be excepted any more: ${delivered[*]}"
if [ -s "$work/findings" ] || [ -s "$work/columns" ]; then
	echo "prose: $(cat "$work/findings" "$work/columns" | wc -l) findings"
	exit 1
fi
echo "prose: ok (${#documents[@]} documents, ${#sources[@]} sources)"
