/* Called when a worker opens its model, on the opening thread. */
#include "engine/model_path.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool has_suffix(const char *text)
{
	size_t len = strlen(text);
	return len > 5 && strcmp(text + len - 5, ".gguf") == 0;
}

static bool is_path(const char *model)
{
	return strchr(model, '/') || has_suffix(model);
}

static enum error models_folder(char *out, size_t out_size)
{
	const char *penstock = getenv("PENSTOCK_CACHE");
	const char *xdg = getenv("XDG_CACHE_HOME");
	const char *home = getenv("HOME");
	int len;
	if (penstock && *penstock)
		len = snprintf(out, out_size, "%s/models", penstock);
	else if (xdg && *xdg)
		len = snprintf(out, out_size, "%s/penstock/models", xdg);
	else
		len = snprintf(out, out_size, "%s/.cache/penstock/models", home ? home : "");
	return len < 0 || (size_t)len >= out_size ? ERROR_LIMIT : OK;
}

/* What brings a model of that name. */
static const char *remedy_of(const char *name)
{
	if (strcmp(name, "all-minilm-l6-v2") == 0)
		return "run 'make embedding-model'";
	return "run 'make setup' for the models that Penstock knows, or give the path of a GGUF file";
}

enum error model_path_find(const char *model, char *out, size_t out_size, struct bytes *fault)
{
	char folder[PATH_MAX];
	const char *remedy = "give the path of a GGUF file";
	int len;
	if (is_path(model)) {
		len = snprintf(out, out_size, "%s", model);
	} else {
		enum error error = models_folder(folder, sizeof(folder));
		if (error)
			return error;
		len = snprintf(out, out_size, "%s/%s.gguf", folder, model);
		remedy = remedy_of(model);
	}
	if (len < 0 || (size_t)len >= out_size)
		return ERROR_LIMIT;
	if (access(out, R_OK) == 0)
		return OK;
	bytes_printf(fault, "The model file %s can't be read (%s); %s.", out, strerror(errno), remedy);
	return ERROR_NOT_FOUND;
}

bool model_path_find_fast(const char *model, char *out, size_t out_size)
{
	char folder[PATH_MAX];
	if (is_path(model) || models_folder(folder, sizeof(folder)) != OK)
		return false;
	int len = snprintf(out, out_size, "%s/%s.q8_0.gguf", folder, model);
	return len > 0 && (size_t)len < out_size && access(out, R_OK) == 0;
}

void model_path_name(const char *model, char *out, size_t out_size)
{
	const char *slash = strrchr(model, '/');
	const char *name = slash ? slash + 1 : model;
	size_t len = strlen(name) - (has_suffix(name) ? 5 : 0);
	snprintf(out, out_size, "%.*s", (int)len, name);
}
