#!/usr/bin/env bash
# The same unit tests under AddressSanitizer, LeakSanitizer and UBSan.
. tools/suites/lib.sh
build_or_fail unit-asan build-asan -Dtests=true -Dtest_hooks=true -Db_sanitize=address,undefined
run_unit unit-asan build-asan
