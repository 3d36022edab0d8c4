#!/usr/bin/env bash
# The same unit tests under ThreadSanitizer.
. tools/suites/lib.sh
build_or_fail unit-tsan build-tsan -Dtests=true -Dtest_hooks=true -Db_sanitize=thread
run_unit unit-tsan build-tsan
