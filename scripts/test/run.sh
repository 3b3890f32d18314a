#!/bin/sh
# What ./test does: sets up, checks style, types and tests, and ends with the line `N passed, N failed, N skipped`.
# Arguments go to vitest: `./test src/dkim`, `./test -t rotation`. With CI=true Debian packages that tests need are
# installed, and nothing may be skipped.
set -eu

root=$(CDPATH='' cd -- "${0%/*}/../.." && pwd -P)
. "$root/scripts/set-up.sh"
[ "${CI:-}" != true ] || "$root/scripts/test/install-debian-packages.sh"
set_up dev
cd "$root"
export PATH="${node%/*}:$PATH" NO_UPDATE_NOTIFIER=1

report=$(mktemp -d "${TMPDIR:-/tmp}/keyturn-report-XXXXXX")
trap 'rm -rf "$report"' EXIT
trap 'exit 130' INT TERM
export KEYTURN_TEST_REPORT="$report" KEYTURN_TEST_MISSING="$report/missing"

# A check counts as one test.
check() {
  name=$1
  shift
  if "$@" >"$report/output" 2>&1; then
    echo "$name: passed"
    echo passed >>"$report/checks"
  else
    echo "$name: failed"
    cat "$report/output"
    echo failed >>"$report/checks"
  fi
}

check 'style (biome)' node_modules/.bin/biome ci --colors=off .
check 'types (tsc)' node_modules/.bin/tsc -p tsconfig.json
vitest=0
node_modules/.bin/vitest run --reporter=default --reporter=./scripts/test/count-reporter.ts "$@" || vitest=$?
"$node" --disable-warning=ExperimentalWarning scripts/test/summary.ts "$report" "$vitest"
