/* Whole configs: defaults, every kind of value in its place, references, files, the reference page. */
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "config/config.h"

#define MINIMAL                              \
	"pools: {small: {engine: {model: m}}}\n" \
	"routes: {assistant: {tiers: small}}\n"
#define HASH_A "hmac-sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define HASH_B "hmac-sha256:1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct config *parse_good(const char *text)
{
	struct config *config;
	struct bytes faults = { 0 };
	const enum error error = config_parse(text, strlen(text), "t.yaml", &config, &faults);
	ck_assert_msg(error == OK, "%s", bytes_text(&faults));
	ck_assert_uint_eq(faults.len, 0);
	bytes_fini(&faults);
	return config;
}

START_TEST(defaults)
{
	setenv("HOME", "/home/someone", 1);
	struct config *config = parse_good(MINIMAL);
	ck_assert_uint_eq(config->listen.count, 1);
	ck_assert_str_eq(config->listen.items[0], "127.0.0.1:8080");
	ck_assert_str_eq(config->admin.items[0], "127.0.0.1:8081");
	ck_assert_str_eq(config->state, "/home/someone/.local/state/penstock");
	ck_assert_int_eq(config->loops, CONFIG_AUTO);
	ck_assert_int_eq(config->log_level, 2);
	ck_assert(config->log_access);
	ck_assert_int_eq(config->limits_head_bytes, 32768);
	ck_assert_int_eq(config->limits_body_bytes, 8 << 20);
	ck_assert_int_eq(config->limits_idle_time, 75 * NS_PER_S);
	ck_assert_int_eq(config->drain, 90 * NS_PER_S);
	ck_assert_uint_eq(config->key_count, 0);
	const struct pool_config *pool = config_pool(config, SPAN("small"));
	ck_assert_ptr_nonnull(pool);
	ck_assert_uint_eq(pool->line, 1);
	ck_assert_str_eq(pool->engine_model, "m");
	ck_assert_int_eq(pool->engine_kind, 0);
	ck_assert_int_eq(pool->engine_context, 8192);
	ck_assert_int_eq(pool->engine_threads, CONFIG_AUTO);
	ck_assert_int_eq(pool->engine_token_gap, 250 * NS_PER_MS);
	ck_assert_int_eq(pool->engine_scripted_fail_after, -1);
	ck_assert_int_eq(pool->replicas_min, 1);
	const struct route_config *route = config_route(config, SPAN("assistant"));
	ck_assert_ptr_nonnull(route);
	ck_assert_uint_eq(route->line, 2);
	ck_assert_str_eq(route->tiers.items[0], "small");
	ck_assert_int_eq(route->timeouts_total, 600 * NS_PER_S);
	ck_assert_ptr_null(config_pool(config, SPAN("assistant")));
	ck_assert_ptr_null(config_route(config, SPAN("small")));
	config_unref(&config);
	ck_assert_ptr_null(config);
}
END_TEST

START_TEST(everything_given)
{
	setenv("HOME", "/home/someone", 1);
	setenv("PENSTOCK_TEST_MODEL", "some: {yaml}", 1);
	struct config *config =
		parse_good("# every section\n"
	               "listen: [0.0.0.0:80, '[::1]:81', \"unix:/run/p.sock\"]\n"
	               "admin: localhost:0\n"
	               "state: ~/p\n"
	               "loops: 3\n"
	               "log: {level: debug, access: false}\n"
	               "limits:\n"
	               "  head_bytes: 4096\n"
	               "  head_time: 1500ms\n"
	               "keys:\n"
	               "  - {name: shop, hash: \"" HASH_A "\", class: interactive}\n"
	               "  - name: jobs\n"
	               "    hash: " HASH_B "\n"
	               "    limits: {body_bytes: 1MiB}\n"
	               "pools:\n"
	               "  small:\n"
	               "    engine: {model: \"${PENSTOCK_TEST_MODEL}$${X}\", threads: 2, gpu_layers: 0}\n"
	               "  \"large.q4\":\n"
	               "    engine: {model: ~/m.gguf, gpu_layers: auto, context: 512}\n"
	               "routes:\n"
	               "  Qwen/Qwen3-32B:\n"
	               "    tiers:\n"
	               "    - small\n"
	               "    - large.q4\n"
	               "    timeouts: {idle: 2m}\n");
	ck_assert_uint_eq(config->listen.count, 3);
	ck_assert_str_eq(config->listen.items[0], "0.0.0.0:80");
	ck_assert_str_eq(config->listen.items[2], "unix:/run/p.sock");
	ck_assert_str_eq(config->admin.items[0], "localhost:0");
	ck_assert_str_eq(config->state, "/home/someone/p");
	ck_assert_int_eq(config->loops, 3);
	ck_assert_int_eq(config->log_level, 3);
	ck_assert(!config->log_access);
	ck_assert_int_eq(config->limits_head_bytes, 4096);
	ck_assert_int_eq(config->limits_head_time, 1500 * NS_PER_MS);
	ck_assert_uint_eq(config->key_count, 2);
	ck_assert_str_eq(config->keys[0].name, "shop");
	ck_assert_str_eq(config->keys[0].hash, HASH_A);
	ck_assert_int_eq(config->keys[0].class, 0);
	ck_assert_uint_eq(config->keys[0].line, 11);
	ck_assert_int_eq(config->keys[1].class, 1);
	ck_assert_int_eq(config->keys[1].limits_body_bytes, 1 << 20);
	ck_assert_uint_eq(config->keys[1].line, 12);
	ck_assert_uint_eq(config->pool_count, 2);
	/* What the environment gives is a value and never YAML. */
	ck_assert_str_eq(config->pools[0].engine_model, "some: {yaml}${X}");
	ck_assert_int_eq(config->pools[0].engine_threads, 2);
	ck_assert_int_eq(config->pools[0].engine_gpu_layers, 0);
	ck_assert_str_eq(config->pools[1].name, "large.q4");
	ck_assert_uint_eq(config->pools[1].line, 18);
	ck_assert_str_eq(config->pools[1].engine_model, "/home/someone/m.gguf");
	ck_assert_int_eq(config->pools[1].engine_gpu_layers, CONFIG_AUTO);
	ck_assert_int_eq(config->pools[1].engine_context, 512);
	ck_assert_str_eq(config->routes[0].name, "Qwen/Qwen3-32B");
	ck_assert_uint_eq(config->routes[0].tiers.count, 2);
	ck_assert_str_eq(config->routes[0].tiers.items[1], "large.q4");
	ck_assert_int_eq(config->routes[0].timeouts_idle, 120 * NS_PER_S);
	config_unref(&config);
}
END_TEST

START_TEST(references)
{
	struct config *config = parse_good(MINIMAL);
	struct config *second = config_ref(config);
	ck_assert_ptr_eq(config, second);
	config_unref(&config);
	ck_assert_ptr_null(config);
	ck_assert_str_eq(second->pools[0].name, "small");
	config_unref(&second);
	config_unref(&second);
}
END_TEST

START_TEST(files)
{
	char path[] = "/tmp/penstock-config-XXXXXX";
	const int fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, MINIMAL, strlen(MINIMAL)), strlen(MINIMAL));
	struct bytes faults = { 0 };
	struct config *config;
	ck_error_is(config_load(path, &config, &faults), OK);
	config_unref(&config);
	/* A byte over the limit. */
	ck_assert_int_eq(ftruncate(fd, CONFIG_FILE_BYTES_MAX + 1), 0);
	ck_error_is(config_load(path, &config, &faults), ERROR_LIMIT);
	ck_assert_ptr_null(config);
	ck_assert_ptr_nonnull(strstr(bytes_text(&faults), ":1:1: the file is larger than 1024 KiB\n"));
	bytes_clear(&faults);
	close(fd);
	unlink(path);
	ck_error_is(config_load(path, &config, &faults), ERROR_NOT_FOUND);
	ck_assert_ptr_nonnull(strstr(bytes_text(&faults), ": cannot be read: not found\n"));
	bytes_clear(&faults);
	ck_assert_int_ne(config_load("/tmp", &config, &faults), OK);
	bytes_clear(&faults);
	/* The example that `make run` serves. */
	ck_assert_msg(config_load("examples/quickstart.yaml", &config, &faults) == OK, "%s", bytes_text(&faults));
	ck_assert_str_eq(config->pools[0].engine_model, "smollm2-135m-instruct");
	config_unref(&config);
	bytes_fini(&faults);
}
END_TEST

START_TEST(reference_page)
{
	struct bytes page = { 0 };
	config_write_reference(&page);
	const char *text = bytes_text(&page);
	ck_assert_ptr_nonnull(
		strstr(text, "\n| `limits.head_bytes` | size | `32KiB` | 1KiB to 1MiB | Longest request head"));
	ck_assert_ptr_nonnull(
		strstr(text, "\n| `engine.threads` | whole number, threads | `auto` | 1 to 512, or `auto` | "));
	ck_assert_ptr_nonnull(strstr(text, "\n| `tiers` | text or list of texts | *required* |  | "));
	ck_assert_ptr_nonnull(strstr(text, "| `error`, `warning`, `info`, `debug` |"));
	ck_assert_ptr_null(strstr(text, "scripted"));
	/* The page in docs/ is this one. */
	FILE *file = fopen("docs/config.md", "r");
	ck_assert_ptr_nonnull(file);
	struct bytes kept = { 0 };
	ck_assert(bytes_reserve(&kept, page.len + 1));
	kept.len = fread(kept.data, 1, page.len + 1, file);
	fclose(file);
	ck_assert_msg(span_equal(bytes_span(&kept), bytes_span(&page)), "docs/config.md is old: run make reference");
	bytes_fini(&kept);
	bytes_fini(&page);
}
END_TEST

UNIT_MAIN("config/config", defaults, everything_given, references, files, reference_page)
