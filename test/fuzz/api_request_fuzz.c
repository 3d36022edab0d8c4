/* A chat, completion or embeddings request (the first byte says which): what is accepted holds together and lies in the body or the arena, what is
 * refused says why, and a refusal is always a valid body. */
#include "api/api.h"

#include "fuzz.h"

#define DEPTH_MAX 64
#define ARENA_BYTES_MAX (1 << 20)

/* A decoded text: borrowed from the body, or a copy in the arena, which the sanitizer knows the ends of. */
static void check_span(const struct api_request *request, struct span text)
{
	unsigned sum = 0;
	for (size_t i = 0; i < text.len; i++)
		sum += (unsigned char)text.at[i];
	MUST(sum <= text.len * 255);
	if (text.len && text.at >= request->body.at && text.at < request->body.at + request->body.len)
		MUST(is_inside(text, request->body.at, request->body.len));
}

static void check_node(const struct api_request *request, uint32_t node)
{
	MUST(node < request->json.count);
	if (node != JSON_NONE)
		MUST(is_inside(json_raw(&request->json, node), request->body.at, request->body.len));
}

static void check_numbers(const struct api_request *request)
{
	MUST(request->temperature == -1 || (request->temperature >= 0 && request->temperature <= 2));
	MUST(request->top_p == -1 || (request->top_p >= 0 && request->top_p <= 1));
	MUST(request->min_p == -1 || (request->min_p >= 0 && request->min_p <= 1));
	MUST(request->top_k >= API_TOP_K_NOT_GIVEN && request->n >= 1 && request->n <= API_CHOICES_MAX);
	MUST(request->max_tokens == -1 || request->max_tokens >= 1);
	MUST(request->top_logprobs >= 0 && request->top_logprobs <= API_TOP_LOGPROBS_MAX);
	MUST(request->logprobs || request->top_logprobs == 0);
	MUST(request->stream || !request->include_usage);
	MUST(request->stop_count <= API_STOPS_MAX && request->logit_bias_count <= API_LOGIT_BIAS_MAX);
	for (size_t i = 0; i < request->logit_bias_count; i++)
		MUST(request->logit_bias[i].token >= 0 && request->logit_bias[i].bias >= -100 &&
		     request->logit_bias[i].bias <= 100);
}

static void check_request(const struct api_request *request)
{
	const size_t kept = request->ignored_count < API_IGNORED_MAX ? request->ignored_count : API_IGNORED_MAX;
	MUST(request->model.len > 0);
	check_span(request, request->model);
	check_span(request, request->user);
	check_span(request, request->reasoning_effort);
	for (size_t i = 0; i < request->stop_count; i++) {
		MUST(request->stops[i].len > 0);
		check_span(request, request->stops[i]);
	}
	for (size_t i = 0; i < kept; i++)
		check_span(request, request->ignored[i]);
	check_numbers(request);
	const uint32_t nodes[] = {
		request->messages,        request->prompt,          request->tools,
		request->tool_choice,     request->response_format, request->stream_options,
		request->max_tokens_node, request->stop_node,       request->max_completion_tokens_node
	};
	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
		check_node(request, nodes[i]);
	MUST(request->endpoint != API_CHAT || request->messages != JSON_NONE);
	MUST(request->endpoint != API_COMPLETION || request->prompt != JSON_NONE);
	MUST((request->endpoint == API_EMBEDDING) == (request->input_count > 0) && request->input_count <= API_INPUTS_MAX);
	for (size_t i = 0; i < request->input_count; i++) {
		check_node(request, request->inputs[i]);
		MUST(request->inputs[i] != JSON_NONE);
	}
}

static void check_fault(const struct api_fault *fault, enum error error)
{
	struct json json = { 0 };
	struct bytes out = { 0 };
	MUST(fault->status == (error == ERROR_MEMORY ? 503 : 400));
	MUST(fault->type && fault->code && fault->message[0]);
	MUST(memchr(fault->message, '\0', sizeof(fault->message)) && memchr(fault->param, '\0', sizeof(fault->param)));
	api_write_error(&out, fault);
	MUST(json_parse(&json, out.data, out.len, 2, NULL) == OK);
	json_fini(&json);
	bytes_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct api_request request; /* its storage is used again, as in a server */
	struct api_fault fault = { 0 };
	struct arena arena;
	if (size == 0)
		return 0;
	const enum api_endpoint endpoint = data[0] & 4 ? API_EMBEDDING : data[0] & 1 ? API_COMPLETION : API_CHAT;
	char *text = exact_copy(data + 1, size - 1);
	/* Some arenas are too small for anything. */
	arena_init(&arena, data[0] & 2 ? 16 : ARENA_BYTES_MAX);
	const enum error error =
		api_request_parse(&request, endpoint, (struct span){ text, size - 1 }, DEPTH_MAX, &arena, &fault);
	if (error)
		check_fault(&fault, error);
	else
		check_request(&request);
	arena_fini(&arena);
	free(text);
	return 0;
}
