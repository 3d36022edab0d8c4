#include "replay/options.h"

#include <stddef.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "replay/quantity.h"

enum option_kind { OPTION_TEXT, OPTION_NUMBER, OPTION_SHARE, OPTION_COUNT, OPTION_DURATION, OPTION_FLAG };

static const struct option {
	const char *name;
	enum option_kind kind;
	size_t offset;
	const char *argument;
	const char *help;
} options[] = {
#define OPTION(name, kind, member, argument, help) \
	{ name, OPTION_##kind, offsetof(struct replay_options, member), argument, help },
#include "replay/options.def"
#undef OPTION
};

static const struct option *find_option(struct span name)
{
	for (size_t i = 0; i < COUNT_OF(options); i++) {
		if (span_is(name, options[i].name))
			return &options[i];
	}
	return NULL;
}

static const char *how_to_write(enum option_kind kind)
{
	static const char *const texts[] = {
		"a text", "a number over 0", "a share from 0 to 1", "a whole number", "a time such as 90s, 1.5m or 200ms",
		"nothing"
	};
	return texts[kind];
}

static enum error read_value(const struct option *option, const char *text, void *member)
{
	enum error error = OK;
	double number;
	switch (option->kind) {
	case OPTION_TEXT:
		*(const char **)member = text;
		return *text ? OK : ERROR_SYNTAX;
	case OPTION_NUMBER:
	case OPTION_SHARE:
		error = quantity_number(span_of(text), &number);
		if (!error && (option->kind == OPTION_NUMBER ? number <= 0 || number > 1e6 : number < 0 || number > 1))
			error = ERROR_RANGE;
		if (!error)
			*(double *)member = number;
		return error;
	case OPTION_COUNT:
		return span_to_u64(span_of(text), UINT32_MAX, member);
	case OPTION_DURATION:
		return quantity_duration(span_of(text), member);
	case OPTION_FLAG:
		*(bool *)member = true;
	}
	return OK;
}

static enum error read_option(int count, char **arguments, int *at, struct replay_options *out, struct bytes *fault)
{
	struct span value = span_of(arguments[*at] + 2);
	const bool has_value = span_find(value, '=') < value.len;
	const struct span name = quantity_split(&value, '=');
	const struct option *option = find_option(name);
	if (!option) {
		bytes_printf(fault, "there is no option --%.*s", (int)name.len, name.at);
		return ERROR_SYNTAX;
	}
	const char *text = has_value ? value.at : NULL;
	if (!text && option->kind != OPTION_FLAG) {
		if (*at + 1 >= count || strncmp(arguments[*at + 1], "--", 2) == 0) {
			bytes_printf(fault, "--%s needs %s behind it", option->name, how_to_write(option->kind));
			return ERROR_SYNTAX;
		}
		text = arguments[++*at];
	}
	if ((has_value && option->kind == OPTION_FLAG) || read_value(option, text, (char *)out + option->offset)) {
		bytes_printf(fault, "--%s takes %s, not \"%.80s\"", option->name, how_to_write(option->kind), text);
		return ERROR_SYNTAX;
	}
	return OK;
}

enum error replay_options_read(int count, char **arguments, struct replay_options *out, struct bytes *fault)
{
	*out = (struct replay_options){ .target = "http://127.0.0.1:8080",
		                            .speed = 1,
		                            .scale = 1,
		                            .size = 1,
		                            .token_bytes = 4.4,
		                            .to_ns = NS_NEVER,
		                            .timeout_ns = 600 * NS_PER_S,
		                            .seed = 1 };
	enum error error = OK;
	for (int i = 1; i < count && !error; i++) {
		if (strcmp(arguments[i], "--help") == 0)
			out->wants_help = true;
		else if (strncmp(arguments[i], "--", 2) == 0)
			error = read_option(count, arguments, &i, out, fault);
		else if (!out->trace)
			out->trace = arguments[i];
		else {
			bytes_printf(fault, "one trace at a time: %.80s, and then %.80s?", out->trace, arguments[i]);
			error = ERROR_SYNTAX;
		}
	}
	if (!error && !out->trace && !out->wants_help) {
		bytes_append_text(fault, "which trace? Name a file, or synthetic:rate=5,duration=60s");
		error = ERROR_SYNTAX;
	}
	return error;
}

void replay_options_help(struct bytes *out)
{
	for (size_t i = 0; i < COUNT_OF(options); i++) {
		const struct option *option = &options[i];
		struct bytes left = { 0 };
		bytes_printf(&left, "--%s%s%s", option->name, option->argument ? " " : "",
		             option->argument ? option->argument : "");
		bytes_printf(out, "  %-26s %s\n", bytes_text(&left), option->help);
		bytes_fini(&left);
	}
}
