# shellcheck shell=bash
# The default model's weights for the CPU's fast kernels: requantized by the program that was just built, with what it costs measured and told.
# Sourced by tools/weights.

weights_need() {
	local kind name version member sha256 model weights stamp
	read -r kind name version member sha256 <<<"$(pin model)"
	model=$cache/models/$name.gguf
	weights=$cache/models/$name.q8_0.gguf
	stamp=$weights.from
	# Made from this very model, or tried in vain.
	if [[ $(cat "$stamp" 2>/dev/null) == "$sha256" ]]; then
		return
	fi
	cache_lock
	rm -f "$weights"
	say "requantizing $name for this machine's fast kernels (Q8_0)"
	if ! build/penstock engine --make-weights "$model" "$weights" | sed 's/^/setup: /'; then
		say "the packaged weights are used instead"
	fi
	printf '%s\n' "$sha256" >"$stamp"
	cache_unlock
}
