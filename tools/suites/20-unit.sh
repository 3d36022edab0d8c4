#!/usr/bin/env bash
# Unit tests in the build that ships, plus test hooks.
. tools/suites/lib.sh
build_or_fail unit build-test -Dtests=true -Dtest_hooks=true
run_unit unit build-test
