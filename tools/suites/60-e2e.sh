#!/usr/bin/env bash
# End to end: varnishtest scripts (test/e2e/AREA/WHAT.vtc) drive the real binary, built with ASan, UBSan and test hooks.
# In a script ${penstock} is the program and ${testdir} the folder test/e2e.
. tools/suites/lib.sh

mapfile -t scripts < <(find test/e2e -name '*.vtc' 2>/dev/null | sort)
if [[ ${#scripts[@]} == 0 ]]; then
	printf 'no scripts in test/e2e\n'
	result e2e 0 0
	exit
fi
build_or_fail e2e build-asan -Dtests=true -Dtest_hooks=true -Db_sanitize=address,undefined
penstock=$PWD/build-asan/penstock
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=1:allocator_may_return_null=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
output=$(mktemp)
trap 'rm -f "$output"' EXIT
varnishtest -j "${JOBS:-$(nproc)}" -t 60 -D "penstock=$penstock" -D "testdir=$PWD/test/e2e" "${scripts[@]}" 2>&1 | tee "$output" || true
failed=$(grep -cE '^#[[:space:]]+top[[:space:]]+TEST .* (FAILED|TIMED OUT)' "$output" || true)
skipped=$(grep -cE '^#[[:space:]]+top[[:space:]]+TEST .* skipped' "$output" || true)
passed=$(grep -cE '^#[[:space:]]+top[[:space:]]+TEST .* passed' "$output" || true)
# What neither passed nor was skipped has failed, whatever the tool said about it.
failed=$((${#scripts[@]} - passed - skipped > failed ? ${#scripts[@]} - passed - skipped : failed))
result e2e "$passed" "$failed" "$skipped"
