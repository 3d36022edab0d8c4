#!/usr/bin/env bash
# The same unit tests under AddressSanitizer, LeakSanitizer and UBSan.
. tools/suites/lib.sh
build_or_fail unit-asan build-asan -Dtests=true -Dtest_hooks=true -Db_sanitize=address,undefined
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=1:allocator_may_return_null=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
run_unit unit-asan build-asan
