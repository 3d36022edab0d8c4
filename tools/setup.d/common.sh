# shellcheck shell=bash
# Messages, the cache's folders and the lock: what every part of set-up uses. Sourced by tools/setup.

say() {
	printf 'setup: %s\n' "$*"
}

# fail WHAT REMEDY: names what is missing and what to do about it, and ends.
fail() {
	printf 'setup: error: %s\n' "$1" >&2
	[[ $# -lt 2 ]] || printf 'setup: remedy: %s\n' "$2" >&2
	exit 1
}

# Two set-ups at once (two make runs, say) take turns at changing the cache.
cache_lock() {
	mkdir -p "$cache/downloads" "$cache/engine" "$cache/models" 2>/dev/null ||
		fail "cannot write to the cache folder $cache" "set PENSTOCK_CACHE to a folder that you can write to"
	exec 9>"$cache/.lock"
	if command -v flock >/dev/null && ! flock -n 9; then
		say "another set-up is using $cache; waiting for it"
		flock 9
	fi
}

cache_unlock() {
	exec 9>&-
}

# pin USE: "kind package version file sha256" of that row of artefacts.txt.
pin() {
	local use kind package version file sha256
	while read -r use kind package version file sha256; do
		if [[ $use == "$1" ]]; then
			printf '%s %s %s %s %s\n' "$kind" "$package" "$version" "$file" "$sha256"
			return
		fi
	done <"$tools/artefacts.txt"
	fail "tools/artefacts.txt has no row '$1'" "restore that file from version control"
}

pin_sha256() {
	local row
	row=$(pin "$1")
	printf '%s\n' "${row##* }"
}

# sha256_is FILE SUM
sha256_is() {
	local sum
	sum=$(sha256sum "$1")
	[[ ${sum%% *} == "$2" ]]
}
