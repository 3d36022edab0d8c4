#!/usr/bin/env bash
# Set-up's promises that need no network: a full cache needs none, a missing thing is named with its remedy, and a
# download that was cut goes on. Registries are played by a folder and stand-ins for npm, pip and apt.
# shellcheck disable=SC2016 # the conditions are evaluated in ok
. tools/suites/lib.sh

passed=0
failed=0
ok() {
	if eval "$2"; then
		passed=$((passed + 1))
	else
		printf 'FAILED: %s\n' "$1"
		failed=$((failed + 1))
	fi
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
. tools/setup.d/common.sh
. tools/setup.d/packages.sh
. tools/setup.d/download.sh
tools=$scratch/tools
cache=$scratch/cache
mkdir -p "$tools" "$cache/downloads" "$scratch/registry"
head -c 300000 /dev/urandom >"$scratch/registry/thing.tgz"
sum=$(sha256sum "$scratch/registry/thing.tgz")
sum=${sum%% *}
printf 'thing npm thing 1.0 thing.tgz %s\n' "$sum" >"$tools/artefacts.txt"
: >"$tools/packages-fetch.txt"
npm_need() { :; }
artefact_url() { printf '%s' "$registry_url"; }

registry_url=file://$scratch/registry/thing.tgz
(artefact_fetch thing) >"$scratch/out" 2>&1
ok 'a download is verified and kept' 'sha256_is "$cache/downloads/thing.tgz" "$sum"'
registry_url=file:///nowhere
ok 'a kept download needs no registry' '(artefact_fetch thing) >"$scratch/out" 2>&1'

registry_url=file://$scratch/registry/thing.tgz
head -c 1000 "$scratch/registry/thing.tgz" >"$cache/downloads/thing.tgz.part"
rm "$cache/downloads/thing.tgz"
(artefact_fetch thing) >"$scratch/out" 2>&1
ok 'a cut download goes on' 'sha256_is "$cache/downloads/thing.tgz" "$sum" && grep -q "going on at 1 kB" "$scratch/out"'
head -c 1000 /dev/zero >"$cache/downloads/thing.tgz.part"
rm "$cache/downloads/thing.tgz"
(artefact_fetch thing) >"$scratch/out" 2>&1
ok 'a part of something else is thrown away' 'sha256_is "$cache/downloads/thing.tgz" "$sum"'
printf 'x' >"$cache/downloads/thing.tgz"
(artefact_fetch thing) >"$scratch/out" 2>&1
ok 'a damaged file is fetched again' 'sha256_is "$cache/downloads/thing.tgz" "$sum" && grep -q "is damaged" "$scratch/out"'

rm "$cache/downloads/thing.tgz"
printf 'y' >>"$scratch/registry/thing.tgz"
ok 'another file than the pinned one is refused' '! (artefact_fetch thing) >"$scratch/out" 2>&1'
ok '... and never kept' '! test -e "$cache/downloads/thing.tgz" && grep -q "differs from the pin" "$scratch/out"'
registry_url=
ok 'no registry: the file and its place are named' \
	'! (artefact_fetch thing) >"$scratch/out" 2>&1 && grep -q "put the file thing.tgz (SHA-256 $sum) into $cache/downloads" "$scratch/out"'

printf 'libnothing-dev module nothing-of-this-name\n' >"$tools/packages-odd.txt"
ok 'no apt-get: the packages are named' \
	'! (command() { [[ $2 != apt-get ]] && builtin command "$@"; }; packages_need odd) >"$scratch/out" 2>&1 && grep -q "missing: libnothing-dev" "$scratch/out"'
apt_run() { printf '%s\n' "$*" >>"$scratch/apt"; }
ok 'a package that brings not what it should is named' \
	'! (packages_need odd) >"$scratch/out" 2>&1 && grep -q "libnothing-dev is installed, but its module" "$scratch/out"'
ok 'only what is missing is installed' 'grep -qx -- "\(sudo \)\?-- install libnothing-dev" "$scratch/apt"'

if command -v shellcheck >/dev/null; then
	ok 'shellcheck' 'shellcheck -x tools/setup tools/build tools/install tools/test tools/check-layers tools/suites/*.sh bench/run test/e2e/bin/serve test/e2e/bin/await .ci/run'
	result scripts "$passed" "$failed"
else
	result scripts "$passed" "$failed" 1
fi
