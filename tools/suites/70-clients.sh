#!/usr/bin/env bash
# Real clients. First what happens around requests, under AddressSanitizer and then ThreadSanitizer, over the scripted engine; then the build that
# ships: many clients at once, and with the real model a burst, and the official openai packages of PyPI and npm, unchanged.
# A part that can't run (no model, a package that is neither in the cache nor to be had) is counted as skipped.
. tools/suites/lib.sh

cache=${PENSTOCK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/penstock}
model=$cache/models/smollm2-135m-instruct.gguf
# llama-server, for the tests that stand in front of it.
peer_packages=(xllamacpp==2026.10.11549)
python_packages=(openai==3.57.0 annotated-types==0.8.0 anyio==4.16.0 h11==0.16.0 httpcore2==2.16.2 httpx2==2.16.2 idna==3.20 jiter==0.19.0
	pydantic==2.14.4 pydantic_core==2.50.5 sniffio==1.3.1 truststore==0.10.5 typing-inspection==0.4.5 typing_extensions==4.16.0)
node_packages=(openai@6.49.0)
scratch=$(mktemp -d)
server=
end() {
	[[ -z $server ]] || kill "$server" 2>/dev/null || true
	rm -rf "$scratch"
}
trap end EXIT
passed=0
failed=0
skipped=0

# counted NAME COMMAND...: adds up its closing line "N passed, N failed"; one that ended badly without a failure, or without that line, has failed.
counted() {
	local name=$1 status=0 p f s
	shift
	printf '\n-- %s\n' "$name"
	timeout 150 "$@" >"$scratch/output" 2>&1 || status=$?
	cat "$scratch/output"
	read -r p f s < <(sed -nE 's/^([0-9]+) passed, ([0-9]+) failed(, ([0-9]+) skipped)?.*$/\1 \2 \4/p' "$scratch/output" | tail -n 1) || {
		p=0
		f=1
	}
	[[ $status == 0 || $f != 0 ]] || f=1
	passed=$((passed + p))
	failed=$((failed + f))
	skipped=$((skipped + ${s:-0}))
}

skip() {
	printf '\n-- skipped: %s\n' "$1"
	skipped=$((skipped + 1))
}

# packages_folder KIND PACKAGE...: the folder in the cache for exactly these packages, made if need be; fails where they can't be had.
packages_folder() {
	local kind=$1 folder
	shift
	folder=$cache/$kind/clients-$(printf '%s\n' "$@" | sha256sum | cut -c1-12)
	if [[ ! -f $folder/.complete ]]; then
		rm -rf "$folder"
		mkdir -p "$folder"
		"install_$kind" "$folder" "$@" >&2 || return 1
		touch "$folder/.complete"
	fi
	printf '%s\n' "$folder"
}

install_python() {
	python3 -m venv "$1" && timeout 100 "$1/bin/pip" install --quiet --disable-pip-version-check --no-deps "${@:2}"
}

install_peers() {
	python3 -m venv "$1" && timeout 200 "$1/bin/pip" install --quiet --disable-pip-version-check "${@:2}"
}

install_node() {
	timeout 100 npm install --prefix "$1" --no-save --no-audit --no-fund --ignore-scripts --silent "${@:2}"
}

node_client() {
	local folder=$1
	# Modules are looked for beside the script.
	cp test/clients/openai_node.mjs "$folder/"
	sed -E 's/^(listen|admin): .*/\1: 127.0.0.1:0/' examples/quickstart.yaml >"$scratch/config.yaml"
	build/penstock serve --config "$scratch/config.yaml" >"$scratch/ready" 2>"$scratch/log" &
	server=$!
	for ((i = 0; i < 300; i++)); do
		! grep -q '^ready: ' "$scratch/ready" || break
		sleep 0.1
	done
	PENSTOCK_URL=$(sed -nE 's/^ready: ([^,]*),.*/\1/p' "$scratch/ready")
	export PENSTOCK_URL
	counted 'openai of npm' node "$folder/openai_node.mjs"
	kill "$server"
	if wait "$server"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
	server=
	unset PENSTOCK_URL
	chained 'openai of npm' node "$folder/openai_node.mjs"
}

# chained NAME COMMAND...: the client in front of another Penstock, and of llama-server.
chained() {
	local name=$1 peer
	shift
	counted "$name in front of another Penstock" python3 test/clients/chain.py penstock "$@"
	if peer=$(packages_folder peers "${peer_packages[@]}"); then
		counted "$name in front of llama-server" "$peer/bin/python" test/clients/chain.py llama-server "$@"
	else
		skip "$name in front of llama-server: xllamacpp can not be installed"
	fi
}

# embeddings_client PYTHON
embeddings_client() {
	if [[ -f $cache/models/all-minilm-l6-v2.gguf ]]; then
		counted embeddings "$1" test/clients/embeddings.py
	else
		skip "no embedding model in $cache: make embedding-model fetches it"
	fi
}

build_or_fail clients build-asan -Dtests=true -Dtest_hooks=true -Db_sanitize=address,undefined
build_or_fail clients build-tsan -Dtests=true -Dtest_hooks=true -Db_sanitize=thread
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1
# What load.py makes streams and checks them with; without it, it does so itself.
for target in bench/stub bench/load; do
	TARGET=$target tools/build build-bench -Dbench=true || true
done
counted 'lifecycle, AddressSanitizer' env PENSTOCK="$PWD/build-asan/penstock" python3 test/clients/lifecycle.py
counted 'lifecycle, ThreadSanitizer' env PENSTOCK="$PWD/build-tsan/penstock" python3 test/clients/lifecycle.py
counted 'upstream and client faults, AddressSanitizer' env PENSTOCK="$PWD/build-asan/penstock" python3 test/clients/faults.py
counted 'pools, AddressSanitizer' env PENSTOCK="$PWD/build-asan/penstock" python3 test/clients/pools.py
counted 'pools, ThreadSanitizer' env PENSTOCK="$PWD/build-tsan/penstock" python3 test/clients/pools.py
counted 'promises, AddressSanitizer' env PENSTOCK="$PWD/build-asan/penstock" python3 test/clients/promise.py
counted 'promises, ThreadSanitizer' env PENSTOCK="$PWD/build-tsan/penstock" python3 test/clients/promise.py
counted 'TLS, AddressSanitizer' env PENSTOCK="$PWD/build-asan/penstock" python3 test/clients/tls.py
counted 'TLS, ThreadSanitizer' env PENSTOCK="$PWD/build-tsan/penstock" python3 test/clients/tls.py
counted 'Anthropic upstream, AddressSanitizer' env PENSTOCK="$PWD/build-asan/penstock" python3 test/clients/anthropic.py
counted 'Anthropic upstream, ThreadSanitizer' env PENSTOCK="$PWD/build-tsan/penstock" python3 test/clients/anthropic.py
counted 'why, AddressSanitizer' env PENSTOCK="$PWD/build-asan/penstock" python3 test/clients/why.py
counted 'alerts and top, AddressSanitizer' env PENSTOCK="$PWD/build-asan/penstock" python3 test/clients/alerts.py
counted 'alerts and top, ThreadSanitizer' env PENSTOCK="$PWD/build-tsan/penstock" python3 test/clients/alerts.py
counted 'replay, AddressSanitizer' env PENSTOCK="$PWD/build-asan/penstock" python3 test/clients/replay.py
counted 'load, AddressSanitizer' env PENSTOCK="$PWD/build-asan/penstock" python3 test/clients/load.py
unset ASAN_OPTIONS UBSAN_OPTIONS

build_or_fail clients build
counted load python3 test/clients/load.py
if [[ -f $model ]]; then
	counted burst python3 test/clients/burst.py
	counted "many, slow and half-sent requests" python3 test/clients/load.py
	counted "the real engine in trouble" python3 test/clients/real_engine.py
	if folder=$(packages_folder python "${python_packages[@]}"); then
		embeddings_client "$folder/bin/python"
		counted 'openai of PyPI' "$folder/bin/python" test/clients/openai_python.py
		chained 'openai of PyPI' "$folder/bin/python" test/clients/openai_python.py
		counted 'openai of PyPI, Anthropic upstream' "$folder/bin/python" test/clients/anthropic.py
	else
		embeddings_client python3
		skip 'openai of PyPI can not be installed'
	fi
	if ! command -v npm >/dev/null; then
		skip 'npm is not installed'
	elif folder=$(packages_folder node "${node_packages[@]}"); then
		node_client "$folder"
	else
		skip 'openai of npm can not be installed'
	fi
else
	skip "no model in $cache: make setup fetches it"
fi
result clients "$passed" "$failed" "$skipped"
[[ $failed == 0 ]]
