/* Walks a request's top-level members against fields.def. What has a shape of its own is in messages.c and values.c. */
#include "api/api.h"

#include <stdlib.h>
#include <string.h>

#include "api/check.h"
#include "base/macros.h"

enum field_kind { FIELD_BOOLEAN, FIELD_INTEGER, FIELD_NUMBER, FIELD_STRING, FIELD_NODE, FIELD_HARMLESS, FIELD_REFUSED };

struct field {
	const char *name;
	enum field_kind kind;
	unsigned endpoints;
	size_t offset; /* in struct api_request, of the member's type */
	double minimum;
	double maximum;
	const char *harmless; /* REFUSED: the one value that changes nothing, as raw JSON */
	const char *instead;  /* REFUSED: what to do */
	bool hop;
};

/* "none" stands in rows whose value goes nowhere. */

#define none ignored_count
static const struct field fields[] = {
#define FIELD(name, kind, endpoints, member, ...) \
	{ name, FIELD_##kind, endpoints, offsetof(struct api_request, member), __VA_ARGS__ },
#include "api/fields.def"
#undef FIELD
};
#undef none

#define FIELD_COUNT COUNT_OF(fields)
_Static_assert(FIELD_COUNT <= 64, "seen fields are kept in one 64-bit set");

static const struct field *find_field(struct span name, enum api_endpoint endpoint)
{
	/* The first byte decides nearly always: a body may hold half a million members that are none of these. */
	for (size_t i = 0; i < FIELD_COUNT && name.len; i++) {
		if (fields[i].name[0] == *name.at && (fields[i].endpoints & endpoint) && span_is(name, fields[i].name))
			return &fields[i];
	}
	return NULL;
}

static enum error take_number(const struct field *field, const struct json *json, uint32_t node, void *member,
                              struct api_fault *fault)
{
	double number = 0;
	int64_t integer = 0;
	enum error error;
	if (field->kind == FIELD_INTEGER) {
		error = json_int64(json, node, &integer);
		number = (double)integer;
	} else {
		error = json_double(json, node, &number);
	}
	if (error)
		return api_refuse(fault, ERROR_SYNTAX, field->name, "'%s' must be %s.", field->name,
		                  field->kind == FIELD_INTEGER ? "an integer" : "a number");
	if (field->minimum == field->maximum && number != field->minimum)
		return api_refuse(fault, ERROR_UNSUPPORTED, field->name, "'%s' must be %g.", field->name, field->minimum);
	if (number < field->minimum || number > field->maximum)
		return api_refuse(fault, ERROR_UNSUPPORTED, field->name, "'%s' must be between %g and %g.", field->name,
		                  field->minimum, field->maximum);
	if (field->kind == FIELD_INTEGER)
		memcpy(member, &integer, sizeof(integer));
	else
		memcpy(member, &number, sizeof(number));
	return OK;
}

static enum error check_refused(const struct field *field, const struct json *json, uint32_t node,
                                struct api_fault *fault)
{
	if (field->harmless && span_is(json_raw(json, node), field->harmless))
		return OK;
	const char *why = field->instead ? field->instead : "remove it, or send the request to a model that supports it";
	return api_refuse(fault, ERROR_UNSUPPORTED, field->name, "'%s' is not supported by this model; %s.", field->name,
	                  why);
}

static enum error take_field(struct api_request *request, const struct field *field, uint32_t node, struct arena *arena,
                             struct api_fault *fault)
{
	const struct json *json = &request->json;
	enum json_type type = json_type(json, node);
	char *member = (char *)request + field->offset;
	enum error error;
	if (type == JSON_NULL)
		return OK;
	switch (field->kind) {
	case FIELD_BOOLEAN:
		if (type != JSON_TRUE && type != JSON_FALSE)
			return api_refuse(fault, ERROR_SYNTAX, field->name, "'%s' must be true or false.", field->name);
		*(bool *)member = type == JSON_TRUE;
		return OK;
	case FIELD_INTEGER:
	case FIELD_NUMBER:
		return take_number(field, json, node, member, fault);
	case FIELD_STRING:
		error = api_take_string(json, node, arena, (struct span *)(void *)member, fault);
		if (error == ERROR_SYNTAX)
			return api_refuse(fault, error, field->name, "'%s' must be a string.", field->name);
		return error;
	case FIELD_NODE:
		*(uint32_t *)(void *)member = node;
		return OK;
	case FIELD_REFUSED:
		return check_refused(field, json, node, fault);
	case FIELD_HARMLESS:
		return OK;
	}
	return ERROR_INTERNAL;
}

static void note_ignored(struct api_request *request, struct span name)
{
	if (request->ignored_count < API_IGNORED_MAX)
		request->ignored[request->ignored_count] = name;
	request->ignored_count++;
}

/* For the hop alone: of the other fields it matters only that none is there twice. */
static enum error walk_members(struct api_request *request, bool is_hop, struct arena *arena, struct api_fault *fault)
{
	const struct json *json = &request->json;
	uint64_t seen = 0;
	for (uint32_t key = json_first(json, JSON_ROOT); key != JSON_NONE;) {
		uint32_t value = json_next(json, JSON_ROOT, key);
		struct span name;
		enum error error = api_take_string(json, key, arena, &name, fault);
		if (error)
			return error;
		const struct field *field = find_field(name, request->endpoint);
		if (!field && !is_hop) {
			note_ignored(request, name);
		} else if (field) {
			uint64_t bit = UINT64_C(1) << (field - fields);
			/* Two readers of a duplicate could take different ones. */
			if (seen & bit)
				return api_refuse(fault, ERROR_DUPLICATE, field->name, "'%s' is given twice.", field->name);
			seen |= bit;
			error = field->hop || !is_hop ? take_field(request, field, value, arena, fault) : OK;
			if (error)
				return error;
		}
		key = json_next(json, JSON_ROOT, value);
	}
	return OK;
}

static enum error check_shapes(struct api_request *request, struct arena *arena, struct api_fault *fault)
{
	if (request->endpoint == API_EMBEDDING)
		return api_check_embedding(request, arena, fault);
	return request->endpoint == API_CHAT ? api_check_chat(request, arena, fault) : api_check_prompt(request, fault);
}

static void set_defaults(struct api_request *request, enum api_endpoint endpoint, struct span body)
{
	struct json json = request->json; /* its storage is used again */
	memset(request, 0, sizeof(*request));
	request->json = json;
	request->endpoint = endpoint;
	request->body = body;
	request->max_tokens = -1;
	request->completion_logprobs = -1;
	request->seed = -1;
	request->n = 1;
	request->dimensions = -1;
	request->temperature = request->top_p = request->min_p = -1;
	request->top_k = API_TOP_K_NOT_GIVEN;
	request->parallel_tool_calls = true;
}

enum error api_request_read(struct api_request *request, enum api_endpoint endpoint, struct span body,
                            unsigned depth_max, struct arena *arena, struct api_fault *fault)
{
	struct json_fault where = { 0 };
	set_defaults(request, endpoint, body);
	enum error error = json_parse(&request->json, body.at, body.len, depth_max, &where);
	if (error == ERROR_MEMORY)
		return api_refuse(fault, ERROR_MEMORY, "", "Out of memory.");
	if (error)
		return api_refuse(fault, error, "", "The body is not valid JSON: %s at byte %zu.", where.reason, where.offset);
	if (json_type(&request->json, JSON_ROOT) != JSON_OBJECT)
		return api_refuse(fault, ERROR_SYNTAX, "", "The body must be a JSON object.");
	request->model_node = json_get(&request->json, JSON_ROOT, "model");
	error = request->model_node == JSON_NONE
	            ? ERROR_SYNTAX
	            : api_take_string(&request->json, request->model_node, arena, &request->model, fault);
	return error == ERROR_MEMORY ? error : OK; /* what is no model name is refused with the other fields */
}

enum error api_request_check_fields(struct api_request *request, struct arena *arena, struct api_fault *fault)
{
	enum error error = walk_members(request, false, arena, fault);
	if (!error && !request->model.len)
		error = api_refuse(fault, ERROR_SYNTAX, "model", "You must provide a model.");
	if (!error && request->endpoint != API_EMBEDDING)
		error = api_check_values(request, arena, fault);
	return error;
}

enum error api_request_check(struct api_request *request, struct arena *arena, struct api_fault *fault)
{
	enum error error = api_request_check_fields(request, arena, fault);
	return error ? error : check_shapes(request, arena, fault);
}

enum error api_request_pass_on(struct api_request *request, struct arena *arena, struct api_fault *fault)
{
	enum error error = walk_members(request, true, arena, fault);
	return error ? error : api_check_hop(request, fault);
}

enum error api_request_parse(struct api_request *request, enum api_endpoint endpoint, struct span body,
                             unsigned depth_max, struct arena *arena, struct api_fault *fault)
{
	enum error error = api_request_read(request, endpoint, body, depth_max, arena, fault);
	return error ? error : api_request_check(request, arena, fault);
}

void api_request_fini(struct api_request *request)
{
	json_fini(&request->json);
}
