#!/bin/bash
# Checks the whitespace of every tracked file; .gitattributes has the rules.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# the checkout may belong to another user than the one who runs the checks
git=(git --no-pager -c "safe.directory=$PWD")

if [ ! -e .git ]; then
	echo "whitespace: not a git checkout, not checked"
	exit 0
fi
"${git[@]}" diff --check "$("${git[@]}" hash-object -t tree /dev/null)" --
echo "whitespace: ok"
