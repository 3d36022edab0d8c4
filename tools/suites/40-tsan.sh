#!/usr/bin/env bash
# The same unit tests under ThreadSanitizer.
. tools/suites/lib.sh
build_or_fail unit-tsan build-tsan -Dtests=true -Dtest_hooks=true -Db_sanitize=thread
export TSAN_OPTIONS=halt_on_error=1:allocator_may_return_null=1:second_deadlock_stack=1
run_unit unit-tsan build-tsan
