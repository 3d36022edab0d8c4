/* How large it may be: estimates the prompt, caps the output, refuses what can't fit. The engine, which counts exactly, has the last word. */
#include "base/macros.h"
#include "stages/respond.h"
#include "stages/rung.h"
#include "stages/services.h"

/* Bytes of a body per prompt token before anything is learned: English text under JSON. */
#define BYTES_PER_TOKEN 4.0
#define OUTPUT_TOKENS 128.0
/* An estimate refuses only what is far over: being wrong must not cost an answer. */
#define ESTIMATE_MARGIN 2

/* What is learned of a route's answers, as far as this request may go. */
static uint32_t expected_output(const struct request *request, double learned)
{
	if (!endpoint_row(request->endpoint)->has_output)
		return 0;
	double expected = learned > 0 ? learned : OUTPUT_TOKENS;
	if (request->output_tokens_max && expected > request->output_tokens_max)
		expected = request->output_tokens_max;
	return expected < 1 ? 1 : (uint32_t)expected;
}

enum verdict stage_shape(struct request *request)
{
	const struct route_config *route = config_route(request->config, request->api.model);
	const struct route_memory *memory = NULL;
	int64_t cap = 0;
	int64_t prompt_max = 0;
	/* An unknown route is the next stage's to refuse. */
	if (route) {
		memory = &request->services->memory[route - request->config->routes];
		request->rung = rung_now(request, route);
		uint32_t rung_cap = rung_output_max(route, request->rung);
		cap = route->shape_max_output;
		if (rung_cap && (!cap || rung_cap < cap))
			cap = rung_cap;
		prompt_max = route->shape_max_prompt;
	}
	double ratio = memory && memory->bytes_per_token > 0 ? memory->bytes_per_token : BYTES_PER_TOKEN;
	request->prompt_tokens_estimate = (uint32_t)((double)request_prompt(request).len / ratio) + 1;
	int64_t wanted = request->api.max_tokens;
	if (cap && (wanted < 0 || wanted > cap))
		wanted = cap;
	if (!endpoint_row(request->endpoint)->has_output)
		wanted = -1;
	request->output_tokens_max = wanted < 0 ? 0 : (uint32_t)min_ll(wanted, UINT32_MAX);
	request->output_tokens_expected = expected_output(request, memory ? memory->output_tokens : 0);
	request->output_tokens_high = expected_output(request, memory ? memory->output_high.value : 0);
	request->is_repeat = repeat_is(request);
	if (prompt_max && request->prompt_tokens_estimate > prompt_max * ESTIMATE_MARGIN) {
		struct api_fault fault = { 0 };
		enum error error = api_refuse(&fault, ERROR_LIMIT, endpoint_row(request->endpoint)->field,
		                              "The prompt is about %u tokens, but '%s' takes %lld; shorten it.",
		                              request->prompt_tokens_estimate, route->name, (long long)prompt_max);
		fault.code = "context_length_exceeded";
		return error ? respond_fault(request, OUTCOME_invalid, &fault) : NEXT;
	}
	return NEXT;
}
