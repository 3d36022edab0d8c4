/* Request bodies for the decoder's tests: the least that is accepted, plus one field. */
#ifndef PENSTOCK_TEST_API_BODIES_H
#define PENSTOCK_TEST_API_BODIES_H

#include "unit.h"

#include <string.h>

#include "api/api.h"

#define DEPTH_MAX 32
#define MESSAGES "[{\"role\":\"user\",\"content\":\"hi\"}]"

/* What one parse gave. */
struct parsed {
	struct bytes body;
	struct arena arena;
	struct api_request request;
	struct api_fault fault;
	enum error error;
};

static inline void parse_text(struct parsed *parsed, enum api_endpoint endpoint, const char *text)
{
	*parsed = (struct parsed){ 0 };
	arena_init(&parsed->arena, 0);
	bytes_append_text(&parsed->body, text);
	parsed->error = api_request_parse(&parsed->request, endpoint, bytes_span(&parsed->body), DEPTH_MAX, &parsed->arena,
	                                  &parsed->fault);
}

static inline void parsed_fini(struct parsed *parsed)
{
	api_request_fini(&parsed->request);
	arena_fini(&parsed->arena);
	bytes_fini(&parsed->body);
}

static inline void append_member(struct bytes *body, const char *name, const char *value, const char *instead)
{
	if (instead == NULL || strcmp(name, instead) != 0)
		bytes_printf(body, "%s\"%s\":%s", body->len == 1 ? "" : ",", name, value);
}

/* {"model", "messages", "prompt" or "input"} and `more`, which is raw text such as "\"n\":1"; a required field named `instead` is left out. */
static inline void parse_with(struct parsed *parsed, enum api_endpoint endpoint, const char *instead, const char *more)
{
	struct bytes text = { 0 };
	bytes_append_text(&text, "{");
	append_member(&text, "model", "\"m\"", instead);
	if (endpoint == API_CHAT)
		append_member(&text, "messages", MESSAGES, instead);
	else if (endpoint == API_COMPLETION)
		append_member(&text, "prompt", "\"hi\"", instead);
	else
		append_member(&text, "input", "\"hi\"", instead);
	if (more[0] != '\0')
		bytes_printf(&text, "%s%s", text.len == 1 ? "" : ",", more);
	bytes_append_text(&text, "}");
	parse_text(parsed, endpoint, bytes_text(&text));
	bytes_fini(&text);
}

/* `more` is accepted. The caller ends *parsed. */
static inline void must_accept(struct parsed *parsed, enum api_endpoint endpoint, const char *more)
{
	parse_with(parsed, endpoint, NULL, more);
	ck_assert_msg(parsed->error == OK, "%s: %s", more, parsed->fault.message);
}

/* The last fault is `error`, a 400 with that param and a sentence. */
static inline void check_fault(const struct parsed *parsed, enum error error, const char *param, const char *what)
{
	const struct api_fault *fault = &parsed->fault;
	ck_assert_msg(parsed->error == error, "%s: %s, wanted %s", what, error_text(parsed->error), error_text(error));
	ck_assert_int_eq(fault->status, 400);
	ck_assert_str_eq(fault->type, "invalid_request_error");
	ck_assert_str_eq(fault->code, error == ERROR_UNSUPPORTED ? "unsupported_value" : "invalid_value");
	ck_assert_msg(strcmp(fault->param, param) == 0, "%s: param %s, wanted %s", what, fault->param, param);
	ck_assert_msg(strlen(fault->message) > 10, "%s: %s", what, fault->message);
	ck_assert_msg(fault->message[strlen(fault->message) - 1] == '.', "%s: %s", what, fault->message);
}

static inline void must_refuse(enum api_endpoint endpoint, const char *more, enum error error, const char *param)
{
	struct parsed parsed;
	parse_with(&parsed, endpoint, NULL, more);
	check_fault(&parsed, error, param, more);
	parsed_fini(&parsed);
}

#endif
