/* The gauges of engines, under each one's names, in whatever else they tell. */
#include "fleet/engine_metrics.h"

#include "base/macros.h"
#include "unit.h"

static const struct {
	const char *text;
	double running;
	double waiting;
	double cells_used;
} good[] = {
	{ "# HELP vllm:num_requests_running Number.\n# TYPE vllm:num_requests_running gauge\n"
	  "vllm:num_requests_running{engine=\"0\",model_name=\"Qwen/Qwen3-32B\"} 3.0\n"
	  "vllm:num_requests_running{engine=\"1\",model_name=\"Qwen/Qwen3-32B\"} 4.0\n"
	  "vllm:num_requests_waiting{engine=\"0\"} 12.0\n"
	  "vllm:kv_cache_usage_perc{engine=\"0\"} 0.25\nvllm:kv_cache_usage_perc{engine=\"1\"} 0.5\n",
	  7, 12, 0.5 },
	{ "vllm:gpu_cache_usage_perc{model_name=\"a} b\\\"c\"} 0.75 1700000000000\n", -1, -1, 0.75 },
	{ "sglang:num_running_reqs{model_name=\"m\"} 5\nsglang:num_queue_reqs 0\nsglang:token_usage 1e-1", 5, 0, 0.1 },
	{ "llamacpp:requests_processing 2\nllamacpp:requests_deferred 1\nllamacpp:prompt_tokens_total 77\n", 2, 1, -1 },
};

static const char *const without[] = { "",
	                                   "\n\n",
	                                   "hello",
	                                   "vllm:num_requests_running",
	                                   "vllm:num_requests_running nan",
	                                   "vllm:num_requests_running -1",
	                                   "vllm:num_requests_running +Inf",
	                                   "vllm:num_requests_running 12345678901234567890123456789012345678901234567890",
	                                   "vllm:num_requests_running{x=\"y 3",
	                                   "<html>",
	                                   "{\"vllm:num_requests_running\": 3}" };

START_TEST(reads_each_engine)
{
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		struct engine_metrics metrics;
		ck_assert_msg(engine_metrics_read(span_of(good[i].text), &metrics), "%s", good[i].text);
		ck_assert_double_eq(metrics.running, good[i].running);
		ck_assert_double_eq(metrics.waiting, good[i].waiting);
		ck_assert_double_eq(metrics.cells_used, good[i].cells_used);
	}
}
END_TEST

START_TEST(finds_nothing_in_anything_else)
{
	for (size_t i = 0; i < COUNT_OF(without); i++) {
		struct engine_metrics metrics;
		ck_assert_msg(!engine_metrics_read(span_of(without[i]), &metrics), "%s", without[i]);
	}
}
END_TEST

UNIT_MAIN("fleet/engine_metrics", reads_each_engine, finds_nothing_in_anything_else)
