#!/usr/bin/env bash
# End to end: varnishtest scripts (test/e2e/AREA/WHAT.vtc) drive the real binary, built with ASan, UBSan and test hooks.
# In a script ${penstock} is the program, ${serve} starts it with the scripted engine and ${await} waits for what the admin side says
# (test/e2e/bin/). E2E=text runs the scripts whose path holds it.
. tools/suites/lib.sh

mapfile -t scripts < <(find test/e2e -path "*${E2E:-}*.vtc" | sort)
build_or_fail e2e build-asan -Dtests=true -Dtest_hooks=true -Db_sanitize=address,undefined
penstock=$PWD/build-asan/penstock
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Reports go to files of their own: a worker that dies of one may leave its script none the wiser.
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=1:allocator_may_return_null=1:log_path=$scratch/report
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1:log_path=$scratch/report
varnishtest -b 16M -j "${JOBS:-$(nproc)}" -k -t 10 -D "penstock=$penstock" -D "serve=$PWD/test/e2e/bin/serve $penstock" \
	-D "await=$PWD/test/e2e/bin/await" "${scripts[@]}" 2>&1 | tee "$scratch/output" || true
skipped=$(grep -cE '^#[[:space:]]+top[[:space:]]+TEST .* skipped' "$scratch/output" || true)
passed=$(grep -cE '^#[[:space:]]+top[[:space:]]+TEST .* passed' "$scratch/output" || true)
# What neither passed nor was skipped has failed, whatever the tool said about it.
failed=$((${#scripts[@]} - passed - skipped))
for report in "$scratch"/report.*; do
	[[ -e $report ]] || continue
	cat "$report"
	failed=$((failed + 1))
done
result e2e "$passed" "$failed" "$skipped"
[[ $failed == 0 ]]
