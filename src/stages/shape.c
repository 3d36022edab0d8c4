/* How large it may be: estimates the prompt, caps the output, refuses what can't fit. The engine, which counts exactly, has the last word. */
#include <math.h>

#include "base/macros.h"
#include "stages/respond.h"
#include "stages/rung.h"
#include "stages/services.h"

/* Bytes of a body per prompt token before anything is learned: English text under JSON. */
#define BYTES_PER_TOKEN 4.0
#define OUTPUT_TOKENS 128.0
#define CAPPED_MIN 8
/* An estimate refuses only what is far over: being wrong must not cost an answer. */
#define ESTIMATE_MARGIN 2

/* What is learned of a route's answers, as far as this request may go. is_high: not the middle, but what nine of ten stay below. */
static uint32_t expected_output(const struct request *request, const struct route_memory *memory, double learned,
                                bool is_high)
{
	if (!endpoint_row(request->endpoint)->has_output)
		return 0;
	double expected = learned > 0 ? learned : OUTPUT_TOKENS;
	if (memory && request->output_tokens_max && memory->capped >= CAPPED_MIN && memory->cap_error < memory->mean_error)
		expected = fmax(memory->cap_share * request->output_tokens_max, is_high ? expected : 0);
	if (request->output_tokens_max && expected > request->output_tokens_max)
		expected = request->output_tokens_max;
	return expected < 1 ? 1 : (uint32_t)expected;
}

/* With a little room: the engine counts exactly, and has the last word. */
#define TRIM_ROOM 0.95

static void trim(struct request *request, int64_t prompt_max, double bytes_per_token)
{
	if (request->prompt_tokens_estimate <= prompt_max)
		return;
	request->trim = trim_oldest_turns(request, (size_t)((double)prompt_max * TRIM_ROOM * bytes_per_token));
	request->api.left_out_first = request->trim.first;
	request->api.left_out_after = request->trim.after;
	request->prompt_tokens_estimate -=
		(uint32_t)min_ll((long long)((double)request->trim.len / bytes_per_token), request->prompt_tokens_estimate - 1);
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
	if (route && route->shape_trim == SHAPE_TRIM_OLDEST_TURNS && prompt_max)
		trim(request, prompt_max, ratio);
	request->output_tokens_max = wanted < 0 ? 0 : (uint32_t)min_ll(wanted, UINT32_MAX);
	request->output_tokens_expected = expected_output(request, memory, memory ? memory->output_tokens : 0, false);
	request->output_tokens_high = expected_output(request, memory, memory ? memory->output_high.value : 0, true);
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
