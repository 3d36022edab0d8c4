/* Where a model is looked for, and what is said when it isn't there. */
#include "engine/model_path.h"

#include "unit.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/macros.h"

static void set_caches(const char *penstock, const char *xdg, const char *home)
{
	setenv("PENSTOCK_CACHE", penstock, 1);
	setenv("XDG_CACHE_HOME", xdg, 1);
	setenv("HOME", home, 1);
}

static void check_missing(const char *model, const char *wanted, const char *remedy)
{
	char path[PATH_MAX];
	struct bytes fault = { 0 };
	ck_error_is(model_path_find(model, path, sizeof(path), &fault), ERROR_NOT_FOUND);
	ck_assert_str_eq(path, wanted);
	ck_assert_ptr_nonnull(strstr(bytes_text(&fault), wanted));
	ck_assert_ptr_nonnull(strstr(bytes_text(&fault), "No such file"));
	ck_assert_ptr_nonnull(strstr(bytes_text(&fault), remedy));
	ck_assert_int_eq(fault.data[fault.len - 1], '.');
	bytes_fini(&fault);
}

START_TEST(where_names_and_paths_lead)
{
	set_caches("/p/cache", "/x", "/h");
	check_missing("small", "/p/cache/models/small.gguf", "make setup");
	set_caches("", "/x", "/h");
	check_missing("small", "/x/penstock/models/small.gguf", "make setup");
	set_caches("", "", "/h");
	check_missing("small", "/h/.cache/penstock/models/small.gguf", "make setup");
	check_missing("all-minilm-l6-v2", "/h/.cache/penstock/models/all-minilm-l6-v2.gguf", "make embedding-model");
	check_missing("/no/such/small.gguf", "/no/such/small.gguf", "give the path of a GGUF file");
	check_missing("no-such-file.gguf", "no-such-file.gguf", "give the path");
	check_missing("./no-such-file", "./no-such-file", "give the path");
	/* The suffix alone is no file name. */
	check_missing(".gguf", "/h/.cache/penstock/models/.gguf.gguf", "make setup");
}
END_TEST

START_TEST(a_model_that_is_there)
{
	char folder[] = "/tmp/penstock-models-XXXXXX";
	char path[PATH_MAX], file[PATH_MAX];
	struct bytes fault = { 0 };
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/models", folder);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	snprintf(file, sizeof(file), "%s/models/tiny.gguf", folder);
	close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	set_caches(folder, "", "");
	ck_error_is(model_path_find("tiny", path, sizeof(path), &fault), OK);
	ck_assert_str_eq(path, file);
	ck_error_is(model_path_find(file, path, sizeof(path), &fault), OK);
	ck_assert_uint_eq(fault.len, 0);
	unlink(file);
	snprintf(path, sizeof(path), "%s/models", folder);
	rmdir(path);
	rmdir(folder);
	bytes_fini(&fault);
}
END_TEST

START_TEST(what_does_not_fit)
{
	char path[32];
	struct bytes fault = { 0 };
	set_caches("/a/rather/long/folder/for/models", "", "");
	ck_error_is(model_path_find("small", path, sizeof(path), &fault), ERROR_LIMIT);
	ck_error_is(model_path_find("/a/rather/long/path/of/a/model.gguf", path, sizeof(path), &fault), ERROR_LIMIT);
	bytes_fini(&fault);
}
END_TEST

START_TEST(names_for_clients)
{
	static const struct {
		const char *model;
		const char *name;
	} rows[] = {
		{ "smollm2", "smollm2" },    { "/a/b/Qwen3-0.6B.gguf", "Qwen3-0.6B" },
		{ "x.gguf", "x" },           { "./a.b.gguf", "a.b" },
		{ ".gguf", ".gguf" },        { "/a/.gguf", ".gguf" },
		{ "a.gguf.gguf", "a.gguf" }, { "dir/file", "file" },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char name[64];
		model_path_name(rows[i].model, name, sizeof(name));
		ck_assert_str_eq(name, rows[i].name);
	}
	char name[5];
	model_path_name("longer.gguf", name, sizeof(name));
	ck_assert_str_eq(name, "long");
}
END_TEST

UNIT_MAIN("engine/model_path", where_names_and_paths_lead, a_model_that_is_there, what_does_not_fit, names_for_clients)
