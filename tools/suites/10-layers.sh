#!/usr/bin/env bash
# Include rules and banned calls of src/, and that the checker sees a breach of each kind.
. tools/suites/lib.sh

passed=0
failed=0
if tools/check-layers; then passed=1; else failed=1; fi

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

# breach FILE LINE MESSAGE: a tree with that one line must be refused with that message.
breach() {
	rm -rf "$tree/src"
	mkdir -p "$tree/src/${1%/*}"
	printf '%s\n' "$2" >"$tree/src/$1"
	if { tools/check-layers "$tree" || true; } | grep -qF "src/$1:1: $3"; then
		passed=$((passed + 1))
	else
		printf 'not refused: %s in src/%s\n' "$2" "$1"
		failed=$((failed + 1))
	fi
}

breach base/a.c '#include "io/loop.h"' 'src/base may not include io/loop.h'
breach policy/a.h '#include "observe/metrics.h"' 'src/policy may not include observe/metrics.h'
breach engine/a.c '#include "policy/queue.h"' 'src/engine may not include policy/queue.h'
breach http/a.c '#include <uv.h>' 'only src/io knows libuv'
breach http/a.c '#include <openssl/ssl.h>' 'only src/io knows OpenSSL'
breach engine/worker.c '#include "llama.h"' 'only the engine adapter knows llama.cpp'
breach base/a.c '	strcpy(to, from);' 'banned'
breach odd/a.c '#include "base/bytes.h"' 'tools/check-layers has no rule for src/odd'
result layers "$passed" "$failed"
