/* Called when a worker opens its model, on the opening thread, and by --make-weights. */
#include "engine/llama_library.h"

#include <llama.h>

#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "config/config.h"

#define LLAMA_VERSION_WANTED "0.5.0"

/* The CPU variants lie beside the library that we are linked with, wherever that was installed. */
static enum error load_backends(struct bytes *fault)
{
	Dl_info info;
	char path[PATH_MAX];
	if (strncmp(llama_version(), LLAMA_VERSION_WANTED, strlen(LLAMA_VERSION_WANTED)) != 0) {
		bytes_printf(fault, "The llama.cpp library has version %s, but %s is needed; run 'make setup'.",
		             llama_version(), LLAMA_VERSION_WANTED);
		return ERROR_MODEL;
	}
	if (!dladdr((void *)(uintptr_t)llama_version, &info) || !info.dli_fname || !realpath(info.dli_fname, path)) {
		bytes_append_text(fault, "The folder of the llama.cpp library was not found.");
		return ERROR_MODEL;
	}
	ggml_backend_load_all_from_path(dirname(path));
	return OK;
}

/* Steps that are given up on purpose are the library's errors, too: what it says is for debugging, and what we make of it is logged by us. */
static void forward_log(enum ggml_log_level level, const char *text, void *owner)
{
	const atomic_bool *is_open = owner;
	size_t len = strlen(text);
	while (len && text[len - 1] == '\n')
		len--;
	if (len && (level == GGML_LOG_LEVEL_ERROR || level == GGML_LOG_LEVEL_WARN)) {
		bool is_warning = level == GGML_LOG_LEVEL_ERROR && !atomic_load(is_open);
		log_line(is_warning ? LOG_WARNING : LOG_DEBUG, "llama: %.*s", (int)len, text);
	}
}

enum error llama_library_start(const atomic_bool *is_open, struct bytes *fault)
{
	llama_log_set(forward_log, (void *)(uintptr_t)is_open);
	llama_backend_init();
	return load_backends(fault);
}

void llama_library_end(void)
{
	llama_backend_free();
	llama_log_set(NULL, NULL);
}

int32_t llama_thread_count(const struct pool_config *settings)
{
	if (settings->engine_threads > 0)
		return (int32_t)settings->engine_threads;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	return cores > 2 ? (int32_t)cores - 1 : 1; /* a core is left to the loops */
}
