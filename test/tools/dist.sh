#!/bin/bash
# Makes the archive of a release that PGXN takes, in the current folder, of
# what is committed; prints its name.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

version=$(perl -MJSON::PP -0777 -ne 'print decode_json($_)->{version}' "$top/META.json")
name=dlock-$version
# the clone may belong to another user than the one who calls
git=(git -c "safe.directory=$top" -C "$top")
"${git[@]}" archive --format zip --prefix "$name/" HEAD >"$name.zip"
[ -z "$("${git[@]}" status --porcelain --untracked-files=no)" ] ||
	echo "dist: what is not committed is not in it" >&2
echo "$name.zip"
