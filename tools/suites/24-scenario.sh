#!/usr/bin/env bash
# Scenarios of control in virtual time, each again with something ending at every point, and recordings that must give the same orders; under
# AddressSanitizer and UBSan.
. tools/suites/lib.sh
TARGET=scenario-tools build_or_fail scenario build-asan -Dtests=true -Dtest_hooks=true -Db_sanitize=address,undefined
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
tools=build-asan/test/scenario

passed=0
failed=0
# counted NAME COMMAND...: adds up its closing line "N passed, N failed"; one that ended badly without a failure has failed once.
counted() {
	local name=$1 output status=0 p f
	shift
	output=$("$@" 2>&1) || status=$?
	printf '%s\n' "$output"
	read -r p f < <(sed -nE 's/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p' <<<"$output" | tail -n 1) || {
		p=0
		f=1
	}
	[[ $status == 0 || $f != 0 ]] || f=1
	printf '%s: %s good, %s bad\n\n' "$name" "$p" "$f"
	passed=$((passed + p))
	failed=$((failed + f))
}

# refused WHAT LINES MESSAGE: a scenario with these lines must fail, and say why.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
refused() {
	printf 'pool small\nat 0ms replica small/0 ready\n%b' "$2" >"$scratch/bad.scn"
	if ! "$tools/scenario" "$scratch/bad.scn" >"$scratch/out" 2>&1 && grep -qF "$3" "$scratch/out"; then
		passed=$((passed + 1))
	else
		printf 'not refused: %s\n' "$1"
		cat "$scratch/out"
		failed=$((failed + 1))
	fi
}

counted scenarios "$tools/scenario" test/scenario
counted 'every point' "$tools/scenario" --every-point test/scenario/{admit,ends,order,replica,wait}
counted 'replay' "$tools/replay_record" --self-test
for file in test/scenario/{ends,load}/*.scn; do
	rm -f "$scratch/record"
	"$tools/scenario" --record "$scratch/record" "$file" >/dev/null
	if "$tools/replay_record" "$scratch/record" >"$scratch/out"; then
		passed=$((passed + 1))
	else
		printf 'not replayed: %s\n' "$file"
		cat "$scratch/out"
		failed=$((failed + 1))
	fi
done
refused 'an end that nothing expected' 'at 1ms request a\n' 'a is left done, and nothing expected that'
refused 'another end' 'at 1ms request a\nend expect a gone\n' 'it is done'
refused 'another refusal' 'at 0ms replica small/0 down\nat 1ms request a\nend expect a refused expired\n' 'it is refused no_replica'
refused 'a figure' 'at 1ms request a\nend expect a done first_token>=1s\n' 'first_token is'
refused 'another order' 'at 1ms request a\nat 2ms request b\nend expect order b a\nend expect a done\nend expect b done\n' 'a was not dispatched after'
refused 'one that never ends' 'at 1ms request a\nat 1ms stall a\n' 'a is left dispatched'
refused 'a word' 'at 1ms demand a\n' 'not understood'
result scenario "$passed" "$failed"
[[ $failed == 0 ]]
