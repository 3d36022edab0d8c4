#!/usr/bin/env bash
# Every fuzzer over its corpus, then for a short while on new inputs.
. tools/suites/lib.sh

if [[ ! -x tools/fuzz-short ]]; then
	printf 'no fuzzers\n'
	result fuzz 0 0
	exit
fi
output=$(mktemp)
trap 'rm -f "$output"' EXIT
status=0
tools/fuzz-short 2>&1 | tee "$output" || status=$?
read -r passed failed < <(sed -nE 's/^([0-9]+) passed, ([0-9]+) failed.*/\1 \2/p' "$output" | tail -n 1) || {
	passed=0
	failed=1
}
[[ $status == 0 || $failed != 0 ]] || failed=1
result fuzz "$passed" "$failed"
