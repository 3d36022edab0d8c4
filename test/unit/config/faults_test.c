/* What is wrong with a config, and exactly where: each row is a text and every fault that it must give. */
#include "unit.h"

#include <string.h>

#include "base/macros.h"
#include "config/config.h"

/* Stands after the text under test, so that lines and columns there are as written. */
#define REST                                   \
	"\npools: {small: {engine: {model: m}}}\n" \
	"routes: {assistant: {tiers: [small]}}\n"
#define POOLS "pools: {small: {engine: {model: m}}}\n"
#define PROMISE(text) POOLS "routes: {a: {tiers: [small], promise: {" text "}}}"
#define HASH "hmac-sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define UNREACHABLE                                                                                         \
	" can be reached from other machines, but there are no `keys`: add one (`penstock key new` prints it)," \
	" or use 127.0.0.1\n"

static const struct {
	const char *text;
	const char *faults;
} cases[] = {
	/* keys that are not there */
	{ "lissen: 127.0.0.1:1" REST, "t:1:1: lissen: unknown key (did you mean listen?)\n" },
	{ "loops: 1\nlog:\n  levle: info" REST, "t:3:3: log.levle: unknown key (did you mean level?)\n" },
	{ "zzzzzz: 1" REST, "t:1:1: zzzzzz: unknown key\n" },
	{ "key: []" REST, "t:1:1: key: unknown key (did you mean keys?)\n" },
	{ "head_bytes: 1KiB" REST, "t:1:1: head_bytes: unknown key (did you mean limits.head_bytes?)\n" },
	{ "log.level: info" REST, "t:1:1: log.level: unknown key\n" },
	{ "pools: {small: {engine: {model: m}, contxt: 1}}\nroutes: {a: {tiers: small}}",
	  "t:1:37: pools.small.contxt: unknown key\n" },
	{ "pools: {small: {engine: {modle: m}}}\nroutes: {a: {tiers: small}}",
	  "t:1:26: pools.small.engine.modle: unknown key (did you mean model?)\n"
	  "t:1:25: pools.small: engine.model is missing: a known model (smollm2-135m-instruct) or the path of a GGUF "
	  "file; or upstream.urls, for engines that run elsewhere\n" },
	/* keys that go together */
	{ "tls: {certificate: a.pem}" REST, "t:1:6: tls: tls.key is missing: a certificate and its key go together\n" },
	{ "tls:\n  key: a.key" REST, "t:2:3: tls: tls.certificate is missing: a certificate and its key go together\n" },
	/* promises */
	{ PROMISE("ttft_p95: 1s"), "t:2:39: routes.a.promise: promise.kind is missing: latency, quality or cost\n" },
	{ PROMISE("kind: latency"),
	  "t:2:46: routes.a.promise.kind: promises no time: give ttft_p95, tpot_p95 or e2e_p95, as 800ms\n" },
	{ PROMISE("kind: speed"), "t:2:46: routes.a.promise.kind: \"speed\" is not one of none, latency, quality, cost\n" },
	{ PROMISE("kind: latency, ttft_p95: 1s, refuse_max: 5"),
	  "t:2:81: routes.a.promise.refuse_max: \"5\" is not a share: write it in percent, as 5%\n" },
	{ PROMISE("kind: latency, ttft_p95: 1s, refuse_max: 101%"),
	  "t:2:81: routes.a.promise.refuse_max: must be between 0 and 100%, not 101%\n" },
	{ PROMISE("kind: latency, ttft_p95: 1s, ladder: [{max_output: 0}]"),
	  "t:2:77: routes.a.promise.ladder: has a rung that is none: write {max_output: 256}, {tier: a pool of the "
	  "route} or try_again\n" },
	{ PROMISE("kind: latency, ttft_p95: 1s, ladder: [try_again, {max_output: 9}]"),
	  "t:2:77: routes.a.promise.ladder: has rungs after try_again: it is the last one\n" },
	{ PROMISE("kind: latency, ttft_p95: 1s, ladder: [{tier: small}]"),
	  "t:2:77: routes.a.promise.ladder: names a tier that is not one of the route's cheaper ones: a rung leads from "
	  "the strongest, the last of `tiers`, to one before it\n" },
	{ PROMISE("kind: quality"),
	  "t:2:46: routes.a.promise.kind: promises nothing that can be measured: give checks, a gate, or both\n" },
	{ PROMISE("kind: quality, checks: [json, {regex: \"(\"}]"),
	  "t:2:63: routes.a.promise.checks: has a regex that is no POSIX extended regular expression\n" },
	{ PROMISE("kind: quality, checks: [true]"),
	  "t:2:63: routes.a.promise.checks: has a check that is none: write json, cite or {regex: PATTERN}\n" },
	{ PROMISE("kind: quality, checks: [json], ladder: [{max_output: 5}]"),
	  "t:2:79: routes.a.promise.ladder: gives up quality, which is what is promised: a promise of quality may only "
	  "have try_again\n" },
	{ PROMISE("kind: cost, ceiling: 0.1"),
	  "t:2:39: routes.a.promise: the pool small has no price, so nobody knows what a request costs there: give it "
	  "price.hour, or price.input and price.output\n" },
	{ "pools: {small: {engine: {model: m}, price: {hour: 1, currency: EUR}}}\nroutes: {a: {tiers: [small], promise: "
	  "{kind: cost}}}",
	  "t:2:39: routes.a.promise: promise.ceiling is missing: what a unit may cost, as 0.02\n"
	  "t:2:39: routes.a.promise: is in USD, but the price of the pool small is in EUR\n" },
	{ "pools: {small: {engine: {model: m}, replicas: {min: 3, max: 2}}}\nroutes: {a: {tiers: [small]}}",
	  "t:1:47: pools.small: replicas.max is below replicas.min\n" },
	{ "alerts: {webhook: \"ftp://x\"}" REST, "t:1:19: alerts.webhook: \"ftp://x\" is not a URL: write "
	                                         "http://host:port/path or https://host/path, without user, "
	                                         "query or fragment\n" },
	{ "alerts: {webhook: \"http://x/?a=b\"}" REST, "t:1:19: alerts.webhook: \"http://x/?a=b\" is not a URL: write "
	                                               "http://host:port/path or https://host/path, without "
	                                               "user, query or fragment\n" },
	{ "alerts: {webhook: \"http://x\", webhook_key: \"a\\nb\"}" REST,
	  "t:1:44: alerts.webhook_key: holds a line end\n" },
	/* kinds of nodes */
	{ "loops: [1]" REST, "t:1:8: loops: must be one value, not a list\n" },
	{ "loops: {a: 1}" REST, "t:1:8: loops: must be one value, not a mapping\n" },
	{ "loops:" REST, "t:1:7: loops: must be one value, not nothing\n" },
	{ "loops: ~" REST, "t:1:8: loops: must be one value, not nothing\n" },
	{ "log: info" REST, "t:1:6: log: must be a mapping of keys, not one value\n" },
	{ "log: [info]" REST, "t:1:6: log: must be a mapping of keys, not a list\n" },
	{ "listen: {a: b}" REST, "t:1:9: listen: must be one value, not a mapping\n" },
	{ "listen: []" REST, "t:1:9: listen: needs at least one entry\n" },
	{ "listen: [[a]]" REST, "t:1:10: listen[0]: must be one value, not a list\n" },
	{ "keys: {a: b}" REST, "t:1:7: keys: must be a list of keys, not a mapping\n" },
	{ "keys: [a]" REST, "t:1:8: keys[0]: must be a mapping of keys, not one value\n" },
	{ "- a\n- b\n", "t:1:1: must be a mapping of keys, not a list\n" },
	{ "just words\n", "t:1:1: must be a mapping of keys, not one value\n" },
	{ "---\n", "t:2:1: must be a mapping of keys, not nothing\n" },
	{ "pools: [a]\nroutes: {a: {tiers: b}}",
	  "t:1:8: pools: must be a mapping from names to pools, not a list\nt:2:21: routes.a.tiers: there is no pool b\n" },
	/* values */
	{ "loops: eighty" REST, "t:1:8: loops: \"eighty\" is not a whole number or auto\n" },
	{ "loops: 3x" REST, "t:1:8: loops: \"3x\" is not a whole number or auto\n" },
	{ "loops: 08" REST, "t:1:8: loops: \"08\" is not a whole number or auto\n" },
	{ "loops: 65" REST, "t:1:8: loops: must be between 1 and 64 threads, not 65\n" },
	{ "loops: -1" REST, "t:1:8: loops: must be between 1 and 64 threads, not -1\n" },
	{ "loops: 99999999999999999999" REST,
	  "t:1:8: loops: must be between 1 and 64 threads, not 99999999999999999999\n" },
	{ "drain: 90" REST,
	  "t:1:8: drain: \"90\" is not a time: write a whole number with its unit, as 300ms, 2s, 5m or 1h\n" },
	{ "drain: 25h" REST, "t:1:8: drain: must be between 0s and 24h, not 25h\n" },
	{ "limits: {body_bytes: 8MB}" REST,
	  "t:1:22: limits.body_bytes: \"8MB\" is not a size: write bytes, or a whole number with KiB, MiB or GiB\n" },
	{ "limits: {body_bytes: 2GiB}" REST, "t:1:22: limits.body_bytes: must be between 1KiB and 1GiB, not 2GiB\n" },
	{ "log: {access: yes}" REST, "t:1:15: log.access: \"yes\" is not true or false\n" },
	{ "log: {level: warn}" REST, "t:1:14: log.level: \"warn\" is not one of error, warning, info, debug\n" },
	{ "log: {level: eror}" REST,
	  "t:1:14: log.level: \"eror\" is not one of error, warning, info, debug (did you mean error?)\n" },
	{ "state: ''" REST, "t:1:8: state: must not be empty\n" },
	{ "state: \"a\\0b\"" REST, "t:1:8: state: holds a NUL byte\n" },
	{ "state: \"${PENSTOCK_NOT_SET}\"" REST, "t:1:8: state: the environment has no PENSTOCK_NOT_SET\n" },
	{ "loops: ${PENSTOCK_SECRET}" REST, "t:1:8: loops: \"${PENSTOCK_SECRET}\" is not a whole number or auto\n" },
	{ "loops: \"${}\"" REST,
	  "t:1:8: loops: \"${}\" is not a variable: write ${NAME}, or $${ for the two characters themselves\n" },
	{ "loops: \"${A\"" REST,
	  "t:1:8: loops: \"${A\" is not a variable: write ${NAME}, or $${ for the two characters themselves\n" },
	{ "\"zz\\e[31m\": 1" REST, "t:1:1: zz?[31m: unknown key\n" },
	/* YAML itself */
	{ "", "t:1:1: the file is empty: it needs `pools` and `routes`\n" },
	{ "# only words\n\n", "t:1:1: the file is empty: it needs `pools` and `routes`\n" },
	{ "loops: 1\nloops: 2" REST, "t:2:1: loops: is given twice, first on line 1\n" },
	{ "log: {level: info, level: nonsense}" REST, "t:1:20: log.level: is given twice, first on line 1\n" },
	{ "log:\n\tlevel: info" REST, "t:2:1: a tab indents this line: use spaces\n" },
	{ "log:\n  \tlevel: info" REST, "t:2:3: a tab indents this line: use spaces\n" },
	{ "loops: [1" REST, "t:2:6: did not find expected ',' or ']' (while parsing a flow sequence on line 1)\n" },
	{ "state: 'a" REST, "t:4:1: found unexpected end of stream (while scanning a quoted scalar on line 1)\n" },
	{ "state: \xff" REST, "t:1:8: invalid leading UTF-8 octet (the file must be UTF-8)\n" },
	{ "loops: 1\nstate: ab\xc3" REST, "t:2:11: invalid trailing UTF-8 octet (the file must be UTF-8)\n" },
	{ "loops: 1\n---\nloops: 2" REST, "t:2:1: a second document: only one is read\n" },
	{ "loops: &a 1\ndrain: *a" REST,
	  "t:1:8: anchors (&a) are not supported\nt:2:8: aliases are not supported: write out what *a stands for\n" },
	{ "log: !thing {level: info}" REST, "t:1:6: tags (!thing) are not supported\n" },
	{ "loops: !!int 1" REST, "t:1:8: tags (tag:yaml.org,2002:int) are not supported\n" },
	{ "log:\n  <<: {level: info}" REST, "t:2:3: log: merge keys (<<) are not supported: write the keys out\n" },
	{ "? [a]\n: 1" REST, "t:1:3: a key must be a plain word\n" },
	{ "\"a\\0\": 1" REST, "t:1:1: a key holds a NUL byte\n" },
	{ "a: [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]",
	  "t:1:19: a[0][0][0][0][0][0][0][0][0][0][0][0][0][0]: is nested more than 16 deep\n" },
	/* across keys */
	{ POOLS, "t:1:1: routes: at least one route is needed\n" },
	{ "routes: {a: {tiers: b}}\n",
	  "t:1:1: pools: at least one pool is needed\nt:1:21: routes.a.tiers: there is no pool b\n" },
	{ "pools: {}\nroutes: {}\n",
	  "t:1:8: pools: at least one pool is needed\nt:2:9: routes: at least one route is needed\n" },
	{ "pools: {small: {}}\nroutes: {a: {tiers: small}}", "t:1:16: pools.small: engine.model is missing: a known model "
	                                                     "(smollm2-135m-instruct) or the path of a GGUF file; or "
	                                                     "upstream.urls, for engines that run elsewhere\n" },
	{ "pools: {big: {upstream: {kind: vllm}}}\nroutes: {a: {tiers: big}}",
	  "t:1:25: pools.big: upstream.urls is missing: where the engines are, as http://10.0.0.5:8000\n" },
	{ "pools: {big: {engine: {model: m}, upstream: {urls: \"http://h\"}}}\nroutes: {a: {tiers: big}}",
	  "t:1:45: pools.big: has `engine` and `upstream`: one pool is served by one of them; make it two pools and name "
	  "both as a route's tiers\n" },
	{ "pools: {big: {upstream: {urls: [\"http://h\", \"h:80\"]}}}\nroutes: {a: {tiers: big}}",
	  "t:1:45: pools.big.upstream.urls[1]: \"h:80\" is not an upstream's URL: write http://host:port, "
	  "https://host/base or unix:/path, without user, query or fragment\n" },
	{ "pools: {big: {upstream: {urls: \"http://h\", forward_headers: [x-a, Cookie]}}}\nroutes: {a: {tiers: big}}",
	  "t:1:67: pools.big.upstream.forward_headers[1]: \"Cookie\" can't be passed on: it belongs to the hop, or is no "
	  "header's name\n" },
	{ "pools: {big: {upstream: {kind: anthropic, urls: \"http://h\"}}}\nroutes: {a: {tiers: big}}",
	  "t:1:25: pools.big.upstream: upstream.model is missing: what the model is called there, as claude-sonnet-4-5\n" },
	{ POOLS "routes:\n  a: {}\n",
	  "t:3:6: routes.a: tiers is missing: Pools that answer, from cheap to strong. One is enough.\n" },
	{ POOLS "routes:\n  a:\n    tiers: [small, smal]\n",
	  "t:4:20: routes.a.tiers[1]: there is no pool smal (did you mean small?)\n" },
	{ POOLS "routes:\n  a:\n    tiers:\n    - small\n    - small\n",
	  "t:6:7: routes.a.tiers[1]: the pool small is named twice\n" },
	{ POOLS "routes:\n  two words: {tiers: small}\n",
	  "t:3:3: routes.two words: is not a good name: use up to 128 letters, digits and . _ - / : @ +\n" },
	{ POOLS "routes:\n  '': {tiers: small}\n",
	  "t:3:3: routes.: is not a good name: use up to 128 letters, digits and . _ - / : @ +\n" },
	{ "keys: [{}]" REST,
	  "t:1:8: keys[0]: name is missing: Who the key belongs to, as metrics and the ledger show it.\n"
	  "t:1:8: keys[0]: hash is missing: Hash of the key, hmac-sha256: and 64 hexadecimal digits, as `penstock key new` "
	  "prints it.\n" },
	{ "keys:\n- {name: a, hash: sk-secret}" REST, "t:2:19: keys[0].hash: is not hmac-sha256: and 64 lower-case "
	                                              "hexadecimal digits: `penstock key new` prints it\n" },
	{ "keys:\n- {name: a, hash: " HASH "0}" REST, "t:2:19: keys[0].hash: is not hmac-sha256: and 64 lower-case "
	                                              "hexadecimal digits: `penstock key new` prints it\n" },
	{ "keys:\n- {name: a, hash: " HASH "}\n- {hash: " HASH ", name: a}" REST,
	  "t:3:94: keys[1].name: a is also the name of the key on line 2\n"
	  "t:3:10: keys[1].hash: is also the hash of the key on line 2\n" },
	{ "listen: 0.0.0.0:80" REST, "t:1:9: listen: 0.0.0.0:80" UNREACHABLE },
	{ "listen: [127.0.0.1:1, '[::]:80', localhost:2]" REST, "t:1:23: listen: [::]:80" UNREACHABLE },
	{ "admin: gateway:80" REST, "t:1:8: admin: gateway:80" UNREACHABLE },
	{ "listen: 8080" REST, "t:1:9: listen: \"8080\" is not an address: write host:port, [v6]:port or unix:/path\n" },
	/* several at once, all of them */
	{ "loops: 0\nlog: {levl: x}\ndrain: 1" REST,
	  "t:2:7: log.levl: unknown key (did you mean level?)\n"
	  "t:1:8: loops: must be between 1 and 64 threads, not 0\n"
	  "t:3:8: drain: \"1\" is not a time: write a whole number with its unit, as 300ms, 2s, 5m or 1h\n" },
};

static void expect_faults(const char *text, const char *wanted)
{
	struct config *config;
	struct bytes faults = { 0 };
	const enum error error = config_parse(text, strlen(text), "t", &config, &faults);
	ck_assert_msg(strcmp(bytes_text(&faults), wanted) == 0, "for\n%s\ngot\n%s\nwanted\n%s", text, bytes_text(&faults),
	              wanted);
	ck_assert_ptr_null(config);
	ck_error_is(error, ERROR_SYNTAX);
	bytes_fini(&faults);
}

START_TEST(one_case)
{
	setenv("PENSTOCK_SECRET", "hush", 1);
	unsetenv("PENSTOCK_NOT_SET");
	expect_faults(cases[_i].text, cases[_i].faults);
}
END_TEST

START_TEST(home_is_needed_only_for_a_tilde)
{
	unsetenv("HOME");
	expect_faults(REST, "t:2:1: state: the default starts with ~/, but HOME is not set: write the whole path\n");
	expect_faults("state: ~/a" REST, "t:1:8: state: starts with ~/, but HOME is not set: write the whole path\n");
	struct config *config;
	struct bytes faults = { 0 };
	const char text[] = "state: /a" REST;
	ck_error_is(config_parse(text, strlen(text), "t", &config, &faults), OK);
	config_unref(&config);
}
END_TEST

START_TEST(many_faults_are_cut)
{
	struct bytes text = { 0 };
	for (int i = 0; i < 150; i++)
		bytes_printf(&text, "zzzz%d: 1\n", i);
	struct config *config;
	struct bytes faults = { 0 };
	ck_error_is(config_parse(text.data, text.len, "t", &config, &faults), ERROR_SYNTAX);
	ck_assert_ptr_nonnull(strstr(bytes_text(&faults), "t:100:1: zzzz99: unknown key\n"));
	ck_assert_ptr_null(strstr(bytes_text(&faults), "zzzz100"));
	/* 50 keys, and neither pools nor routes. */
	ck_assert_ptr_nonnull(strstr(bytes_text(&faults), "t: 52 more faults are not shown\n"));
	bytes_fini(&faults);
	bytes_fini(&text);
}
END_TEST

START_TEST(entries_are_limited)
{
	struct bytes text = { 0 };
	bytes_append_text(&text, "listen: [");
	for (int i = 0; i < 5000; i++)
		bytes_append_text(&text, "a,");
	bytes_append_text(&text, "]");
	struct config *config;
	struct bytes faults = { 0 };
	ck_error_is(config_parse(text.data, text.len, "t", &config, &faults), ERROR_SYNTAX);
	ck_span_is(bytes_span(&faults), "t:1:8202: listen: has more than 4096 entries\n");
	bytes_fini(&faults);
	bytes_fini(&text);
}
END_TEST

START_TEST(long_texts_are_refused)
{
	struct bytes text = { 0 };
	bytes_append_text(&text, "? ");
	for (int i = 0; i < 257; i++)
		bytes_append_byte(&text, 'a');
	bytes_append_text(&text, "\n: 1\n");
	expect_faults(bytes_text(&text), "t:1:3: a key has more than 256 bytes\n");
	bytes_clear(&text);

	/* 2048 references to 1 KiB each. */
	struct bytes value = { 0 };
	for (int i = 0; i < 1024; i++)
		bytes_append_byte(&value, 'v');
	setenv("P_V", bytes_text(&value), 1);
	bytes_append_text(&text, "state: ");
	for (int i = 0; i < 2048; i++)
		bytes_append_text(&text, "${P_V}");
	bytes_append_text(&text, REST);
	expect_faults(bytes_text(&text), "t:1:8: state: is longer than 1024 KiB with what the environment gives\n");
	bytes_fini(&value);
	bytes_fini(&text);
}
END_TEST

#ifdef PENSTOCK_TEST_HOOKS
static const char *const scripted_faults = "";
#else
static const char *const scripted_faults = "t:1:26: pools.small.engine.kind: unknown key\n";
#endif

/* Keys of test builds: elsewhere they do not exist. */
START_TEST(scripted_engine)
{
	const char text[] =
		"pools: {small: {engine: {kind: scripted, scripted: {tokens: 3}}}}\nroutes: {a: {tiers: small}}\n";
	struct config *config;
	struct bytes faults = { 0 };
	const enum error error = config_parse(text, strlen(text), "t", &config, &faults);
	ck_assert_msg(strncmp(bytes_text(&faults), scripted_faults, strlen(scripted_faults)) == 0, "%s",
	              bytes_text(&faults));
	ck_assert(error == (scripted_faults[0] == '\0' ? OK : ERROR_SYNTAX));
	if (config != NULL) {
		ck_assert_int_eq(config->pools[0].engine_kind, 1);
		ck_assert_int_eq(config->pools[0].engine_scripted_tokens, 3);
	}
	config_unref(&config);
	bytes_fini(&faults);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config/faults");
	TCase *tests = tcase_create("config/faults");
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, one_case, 0, COUNT_OF(cases));
	tcase_add_test(tests, home_is_needed_only_for_a_tilde);
	tcase_add_test(tests, many_faults_are_cut);
	tcase_add_test(tests, entries_are_limited);
	tcase_add_test(tests, long_texts_are_refused);
	tcase_add_test(tests, scripted_engine);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
