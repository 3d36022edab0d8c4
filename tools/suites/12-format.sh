#!/usr/bin/env bash
# Every source file is as clang-format leaves it (the tables, *.def, are aligned by hand).
. tools/suites/lib.sh

# Versions differ in what they leave: only Debian 12's, which the style was written with, decides.
if ! clang-format --version 2>/dev/null | grep -q 'version 14\.'; then
	printf 'clang-format 14 is not installed\n'
	result format 0 0 1
	exit
fi
mapfile -t files < <(git ls-files 'src/*.[ch]' 'src/*.cpp' 'test/*.[ch]' 'bench/*.[ch]')
passed=0
failed=0
for file in "${files[@]}"; do
	if clang-format --dry-run -Werror "$file" >/dev/null 2>&1; then
		passed=$((passed + 1))
	else
		printf '%s: not formatted; make format mends it\n' "$file"
		failed=$((failed + 1))
	fi
done
# One count for the whole check: files are not tests.
if [[ $failed == 0 ]]; then result format 1 0; else result format 0 1; fi
