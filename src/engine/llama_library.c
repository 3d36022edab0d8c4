#include "engine/llama_library.h"

#include <llama.h>

#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LLAMA_VERSION_WANTED "0.5.0"

/* The CPU variants lie beside the library that we are linked with, wherever that was installed. */
enum error llama_library_open(struct bytes *fault)
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
