#include "stages/trim.h"

#include "stages/request.h"

enum role { ROLE_SYSTEM, ROLE_USER, ROLE_OTHER };

static enum role role_of(const struct json *json, uint32_t message)
{
	uint32_t node = json_get(json, message, "role");
	struct span role = node == JSON_NONE ? (struct span){ 0 } : json_raw(json, node);
	if (span_is(role, "\"system\"") || span_is(role, "\"developer\""))
		return ROLE_SYSTEM;
	return span_is(role, "\"user\"") ? ROLE_USER : ROLE_OTHER;
}

/* Where turns could be cut: from the first message after the last system one to the beginning of the last turn. */
struct bounds {
	uint32_t first;
	uint32_t last;
};

static struct bounds find_bounds(const struct json *json, uint32_t list)
{
	struct bounds bounds = { 0 };
	uint32_t index = 0;
	for (uint32_t message = json_first(json, list); message != JSON_NONE;
	     message = json_next(json, list, message), index++) {
		enum role role = role_of(json, message);
		if (role == ROLE_SYSTEM)
			bounds.first = index + 1;
		else if (role == ROLE_USER)
			bounds.last = index;
	}
	return bounds;
}

struct trim trim_oldest_turns(const struct request *request, size_t bytes)
{
	const struct json *json = &request->api.json;
	uint32_t list = request->api.messages;
	struct trim trim = { 0 };
	if (request->endpoint != ENDPOINT_CHAT || list == JSON_NONE || json_type(json, list) != JSON_ARRAY)
		return trim;
	size_t whole = json_raw(json, list).len;
	struct bounds bounds = find_bounds(json, list);
	uint32_t index = 0;
	for (uint32_t message = json_first(json, list); message != JSON_NONE && whole - trim.len > bytes;
	     message = json_next(json, list, message), index++) {
		size_t at = (size_t)(json_raw(json, message).at - request->api.body.at);
		if (index == bounds.first)
			trim.at = at;
		/* Up to the next turn. */
		if (index <= bounds.first || index > bounds.last || role_of(json, message) != ROLE_USER)
			continue;
		trim.first = bounds.first;
		trim.after = index;
		trim.count = index - bounds.first;
		trim.len = at - trim.at;
	}
	if (trim.count == 0)
		trim = (struct trim){ 0 };
	return trim;
}
