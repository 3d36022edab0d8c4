# shellcheck shell=bash
# System packages: what is missing of tools/packages-NAME.txt is installed with apt-get. Presence is seen by what a
# package is for (a command, a module), not by its name, so tools that came from elsewhere count. Sourced by tools/setup.

package_is_present() {
	local how=$1 what=$2
	case $how in
	command) command -v "$what" >/dev/null ;;
	module) command -v pkg-config >/dev/null && pkg-config --exists "$what" ;;
	file) compgen -G "$what" >/dev/null ;;
	python) command -v python3 >/dev/null && python3 -c "import $what" 2>/dev/null ;;
	*) fail "tools/packages-*.txt: unknown way '$how' to see a package" "use command, module, file or python" ;;
	esac
}

# packages_need NAME
packages_need() {
	local list=$tools/packages-$1.txt package how what missing=()
	while read -r package how what; do
		case $package in '' | '#'*) continue ;; esac
		package_is_present "$how" "$what" || missing+=("$package")
	done <"$list"
	[[ ${#missing[@]} -gt 0 ]] || return 0
	packages_install "${missing[@]}"
	while read -r package how what; do
		case $package in '' | '#'*) continue ;; esac
		hash -r
		package_is_present "$how" "$what" ||
			fail "$package is installed, but its $how $what is still not found" "put it on the PATH of this shell"
	done <"$list"
}

packages_install() {
	local wanted="apt-get install $*" become=()
	say "installing system packages: $*"
	command -v apt-get >/dev/null ||
		fail "missing: $* (names of Debian's packages), and there is no apt-get here" \
			"install them with this system's package manager, then run the command again"
	if [[ $(id -u) != 0 ]]; then
		command -v sudo >/dev/null || fail "missing: $*, and this user cannot install packages" "as root: $wanted"
		become=(sudo)
	fi
	# Lists that were never fetched, or are too old, are the usual reason for a failure: fetch them and try once more.
	if compgen -G '/var/lib/apt/lists/*Packages*' >/dev/null && apt_run "${become[@]}" -- install "$@"; then
		return
	fi
	apt_run "${become[@]}" -- update || fail "apt-get update failed" "check this machine's network and apt sources"
	apt_run "${become[@]}" -- install "$@" || fail "could not install: $*" "as root: $wanted"
}

# apt_run [sudo] -- ACTION...: services of the packages (varnish, prometheus) are not started: Debian asks policy-rc.d.
apt_run() {
	local become=() policy=/usr/sbin/policy-rc.d own_policy=0 log status=0
	while [[ $1 != -- ]]; do
		become+=("$1")
		shift
	done
	shift
	log=$(mktemp)
	if [[ ! -e $policy ]]; then
		own_policy=1
		printf '#!/bin/sh\nexit 101\n' | "${become[@]}" tee "$policy" >/dev/null
		"${become[@]}" chmod 755 "$policy"
	fi
	local command=("${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y -q --no-install-recommends "$@")
	if [[ -t 1 ]]; then
		"${command[@]}" </dev/null || status=$?
	else
		"${command[@]}" </dev/null >"$log" 2>&1 || status=$?
		[[ $status == 0 ]] || tail -n 20 "$log" >&2
	fi
	[[ $own_policy == 0 ]] || "${become[@]}" rm -f "$policy"
	rm -f "$log"
	return "$status"
}
