# shellcheck shell=bash
# What the suites share: the closing line, and running check's programs through meson. Sourced with the repository root as folder.
set -euo pipefail

# result NAME PASSED FAILED [SKIPPED]: the line that tools/test adds up.
result() {
	printf '%s: %d passed, %d failed, %d skipped\n' "$1" "$2" "$3" "${4:-0}"
}

# build_or_fail NAME FOLDER [meson option...]: a tree that doesn't compile is one failure.
build_or_fail() {
	local name=$1
	shift
	if ! tools/build "$@"; then
		result "$name" 0 1
		exit 1
	fi
}

# run_unit NAME FOLDER: every unit test program of that build, several at once. Counts check's own cases:
# "100%: Checks: 12, Failures: 0, Errors: 0"; a program that ended without that line, or badly, is one failure.
run_unit() {
	local name=$1 folder=$2 counts
	meson test -C "$folder" --no-rebuild --suite unit --num-processes "${JOBS:-$(nproc)}" --print-errorlogs || true
	counts=$(jq -rs '
		map(.failed = (.result | IN("OK", "EXPECTEDFAIL") | not)
			| .counts = ((.stdout // "") | [scan("Checks: ([0-9]+), Failures: ([0-9]+), Errors: ([0-9]+)") | map(tonumber)] | last))
		| map(if .counts == null then [0, (if .failed then 1 else 1 end)]
			else [.counts[0] - .counts[1] - .counts[2],
				([.counts[1] + .counts[2], (if .failed then 1 else 0 end)] | max)] end)
		| [(map(.[0]) | add // 0), (map(.[1]) | add // 0)] | join(" ")' "$folder/meson-logs/testlog.json")
	# shellcheck disable=SC2086
	result "$name" $counts
	[[ ${counts#* } == 0 ]]
}
