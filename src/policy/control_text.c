/* The tables of fields, and one writer and one reader that walk them. */
#include "policy/control_text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"

#define VERSION 1
#define DECIMALS 9
/* A recording that asks for more than this in one step is damaged. */
#define STEP_LINES_MAX 1000000

static const char *const event_words[EVENT_KINDS] = {
	[EVENT_ARRIVE] = "arrive",     [EVENT_PREPARED] = "prepared", [EVENT_FIRST_TOKEN] = "first_token",
	[EVENT_PROGRESS] = "progress", [EVENT_DONE] = "done",         [EVENT_RETRY] = "retry",
	[EVENT_FAILED] = "failed",     [EVENT_GONE] = "gone",         [EVENT_LOAD] = "load",
	[EVENT_PRESSURE] = "pressure", [EVENT_TIMER] = "timer",
};
static const char *const order_words[ORDER_KINDS] = {
	[ORDER_PREPARE] = "prepare", [ORDER_DISPATCH] = "dispatch", [ORDER_REFUSE] = "refuse",
	[ORDER_CANCEL] = "cancel",   [ORDER_RUNG] = "rung",         [ORDER_SCALE] = "scale",
};
static const char *const refusal_words[REFUSALS] = {
	[REFUSAL_NONE] = "none",         [REFUSAL_QUEUE_FULL] = "queue_full",   [REFUSAL_HOPELESS] = "hopeless",
	[REFUSAL_EXPIRED] = "expired",   [REFUSAL_NO_REPLICA] = "no_replica",   [REFUSAL_DEADLINE] = "deadline",
	[REFUSAL_ATTEMPTS] = "attempts", [REFUSAL_PROMISE] = "promise",         [REFUSAL_TRY_AGAIN] = "try_again",
	[REFUSAL_RATE] = "rate",         [REFUSAL_CONCURRENCY] = "concurrency",
};
static const char *const class_words[CLASS_COUNT] = {
	[CLASS_INTERACTIVE] = "interactive",
	[CLASS_STANDARD] = "standard",
	[CLASS_BATCH] = "batch",
};
static const char *const rung_words[] = {
	[RUNG_OUTPUT] = "output",
	[RUNG_TIER] = "tier",
	[RUNG_TRY_AGAIN] = "try_again",
};
static const char *const state_words[REPLICA_STATES] = {
	[REPLICA_DOWN] = "down",
	[REPLICA_STARTING] = "starting",
	[REPLICA_READY] = "ready",
};

/* ---- tables ---- */

enum form { FORM_NUMBER, FORM_TIME, FORM_NS, FORM_WORD };

struct field {
	const char *name;
	uint32_t kinds; /* bits: always written for these */
	enum form form;
	size_t offset;
	size_t size; /* 4: uint32_t or an enum; 8: uint64_t, or int64_t for TIME and NS */
	const char *const *words;
	uint32_t word_count;
};

struct table {
	const struct field *fields;
	size_t count;
};

#define FIELD(type, word, member, field_kinds, field_form, ...)                                         \
	{                                                                                                   \
		word, field_kinds, field_form, offsetof(type, member), sizeof(((type *)0)->member), __VA_ARGS__ \
	}
#define WORDS(words) words, COUNT_OF(words)
#define BIT(kind) (1u << (kind))
#define ALL UINT32_MAX
#define ARRIVE BIT(EVENT_ARRIVE)
#define PREPARED BIT(EVENT_PREPARED)
#define PROGRESS BIT(EVENT_PROGRESS)
#define DONE BIT(EVENT_DONE)
#define LOAD BIT(EVENT_LOAD)
#define PRESSURE BIT(EVENT_PRESSURE)
#define TICKET (ALL & ~(ARRIVE | LOAD | PRESSURE | BIT(EVENT_TIMER)))
#define ABOUT_REQUESTS (ALL & ~(BIT(ORDER_RUNG) | BIT(ORDER_SCALE)))

/* clang-format off: one row a field. */
static const struct field event_fields[] = {
	FIELD(struct event, "request", request, ARRIVE | TICKET, FORM_NUMBER),
	FIELD(struct event, "ticket", ticket, TICKET, FORM_NUMBER),
	FIELD(struct event, "pool", pool, ARRIVE, FORM_NUMBER),
	FIELD(struct event, "class", class, ARRIVE, FORM_WORD, WORDS(class_words)),
	FIELD(struct event, "route", route, PRESSURE, FORM_NUMBER),
	FIELD(struct event, "tenant", tenant, 0, FORM_NUMBER),
	FIELD(struct event, "weight", limits.weight_permille, 0, FORM_NUMBER),
	FIELD(struct event, "open_max", limits.concurrency, 0, FORM_NUMBER),
	FIELD(struct event, "requests_per_minute", limits.requests_per_minute, 0, FORM_NUMBER),
	FIELD(struct event, "tokens_per_minute", limits.tokens_per_minute, 0, FORM_NUMBER),
	FIELD(struct event, "permille", permille, PRESSURE, FORM_NUMBER),
	FIELD(struct event, "begun", begun_ns, 0, FORM_TIME),
	FIELD(struct event, "prompt", prompt_tokens, ARRIVE | PREPARED | DONE, FORM_NUMBER),
	FIELD(struct event, "output", output_tokens, ARRIVE | PROGRESS | DONE, FORM_NUMBER),
	FIELD(struct event, "deadline", deadline_ns, ARRIVE, FORM_TIME),
	FIELD(struct event, "first_token", first_token_ns, 0, FORM_TIME),
	FIELD(struct event, "repeat", is_repeat, 0, FORM_NUMBER),
	FIELD(struct event, "whole", is_whole, 0, FORM_NUMBER),
	FIELD(struct event, "known_replicas", known_replicas, 0, FORM_NUMBER),
	FIELD(struct event, "known_tokens", known_tokens, 0, FORM_NUMBER),
	FIELD(struct event, "failure", failure, 0, FORM_NUMBER),
	FIELD(struct event, "retry_after", retry_after_ns, 0, FORM_TIME),
	FIELD(struct event, "running", running, 0, FORM_NUMBER),
	FIELD(struct event, "replica", replica, LOAD, FORM_NUMBER),
	FIELD(struct event, "state", state, LOAD, FORM_WORD, WORDS(state_words)),
	FIELD(struct event, "sequences", sequences, 0, FORM_NUMBER),
	FIELD(struct event, "cells", cells, 0, FORM_NUMBER),
	FIELD(struct event, "backlog", backlog_tokens, 0, FORM_NUMBER),
	FIELD(struct event, "percent", percent, 0, FORM_NUMBER),
	FIELD(struct event, "fixed_ns", rates.fixed_ns, 0, FORM_NS),
	FIELD(struct event, "prefill_ns", rates.prefill_ns, 0, FORM_NS),
	FIELD(struct event, "decode_ns", rates.decode_ns, 0, FORM_NS),
	FIELD(struct event, "context_ns", rates.context_ns, 0, FORM_NS),
	FIELD(struct event, "prefill_fixed_ns", rates.prefill_fixed_ns, 0, FORM_NS),
	FIELD(struct event, "prefill_beside_ns", rates.prefill_beside_ns, 0, FORM_NS),
	FIELD(struct event, "base_ns", rates.base_ns, 0, FORM_NS),
};
static const struct field order_fields[] = {
	FIELD(struct order, "request", request, ABOUT_REQUESTS, FORM_NUMBER),
	FIELD(struct order, "ticket", ticket, ABOUT_REQUESTS, FORM_NUMBER),
	FIELD(struct order, "replica", replica, BIT(ORDER_DISPATCH), FORM_NUMBER),
	FIELD(struct order, "refusal", refusal, BIT(ORDER_REFUSE) | BIT(ORDER_CANCEL), FORM_WORD, WORDS(refusal_words)),
	FIELD(struct order, "retry_after", retry_after_ns, BIT(ORDER_REFUSE), FORM_TIME),
	FIELD(struct order, "predicted", predicted_ns, BIT(ORDER_PREPARE) | BIT(ORDER_REFUSE), FORM_TIME),
	FIELD(struct order, "promised", promised_ns, 0, FORM_TIME),
	FIELD(struct order, "wait", wait_ns, 0, FORM_TIME),
	FIELD(struct order, "ahead", queue_ahead, BIT(ORDER_PREPARE), FORM_NUMBER),
	FIELD(struct order, "route", route, BIT(ORDER_RUNG), FORM_NUMBER),
	FIELD(struct order, "rung", rung, BIT(ORDER_RUNG), FORM_NUMBER),
	FIELD(struct order, "pool", pool, BIT(ORDER_SCALE), FORM_NUMBER),
	FIELD(struct order, "wanted", wanted, BIT(ORDER_SCALE), FORM_NUMBER),
};
static const struct field settings_fields[] = {
	FIELD(struct control_settings, "in_flight_max", in_flight_max, ALL, FORM_NUMBER),
	FIELD(struct control_settings, "seed", seed, ALL, FORM_NUMBER),
	FIELD(struct control_settings, "tenants", tenant_count, 0, FORM_NUMBER),
};
static const struct field pool_fields[] = {
	FIELD(struct control_pool, "queue_max", queue_max, ALL, FORM_NUMBER),
	FIELD(struct control_pool, "wait_max", wait_max_ns, ALL, FORM_TIME),
	FIELD(struct control_pool, "replicas", replica_count, ALL, FORM_NUMBER),
	FIELD(struct control_pool, "opaque", is_opaque, 0, FORM_NUMBER),
	FIELD(struct control_pool, "concurrency", concurrency, 0, FORM_NUMBER),
	FIELD(struct control_pool, "scale_min", scale_min, 0, FORM_NUMBER),
	FIELD(struct control_pool, "scale_max", scale_max, 0, FORM_NUMBER),
	FIELD(struct control_pool, "scale_spare", scale_spare, 0, FORM_NUMBER),
};
static const struct field route_fields[] = {
	FIELD(struct control_route, "ttft", ttft_ns, 0, FORM_TIME),
	FIELD(struct control_route, "tpot", tpot_ns, 0, FORM_TIME),
	FIELD(struct control_route, "e2e", e2e_ns, 0, FORM_TIME),
	FIELD(struct control_route, "requests_per_minute", requests_per_minute, 0, FORM_NUMBER),
	FIELD(struct control_route, "tokens_per_minute", tokens_per_minute, 0, FORM_NUMBER),
	FIELD(struct control_route, "repeats_per_minute", repeats_per_minute, 0, FORM_NUMBER),
};
static const struct field rung_fields[] = {
	FIELD(struct ladder_rung, "kind", kind, ALL, FORM_WORD, WORDS(rung_words)),
	FIELD(struct ladder_rung, "value", value, 0, FORM_NUMBER),
};
/* clang-format on */

static const struct table event_table = { event_fields, COUNT_OF(event_fields) };
static const struct table order_table = { order_fields, COUNT_OF(order_fields) };
static const struct table settings_table = { settings_fields, COUNT_OF(settings_fields) };
static const struct table pool_table = { pool_fields, COUNT_OF(pool_fields) };
static const struct table route_table = { route_fields, COUNT_OF(route_fields) };
static const struct table rung_table = { rung_fields, COUNT_OF(rung_fields) };

/* ---- words ---- */

static const char *word_of(const char *const *words, size_t count, size_t value)
{
	return value < count && words[value] ? words[value] : "unknown";
}

const char *control_event_word(enum event_kind kind)
{
	return word_of(event_words, EVENT_KINDS, kind);
}

const char *control_order_word(enum order_kind kind)
{
	return word_of(order_words, ORDER_KINDS, kind);
}

const char *control_refusal_word(enum refusal refusal)
{
	return word_of(refusal_words, REFUSALS, refusal);
}

const char *control_class_word(enum request_class class)
{
	return word_of(class_words, CLASS_COUNT, class);
}

const char *control_state_word(enum replica_state state)
{
	return word_of(state_words, REPLICA_STATES, state);
}

static enum error find_word(struct span text, const char *const *words, size_t count, uint64_t *out)
{
	for (size_t i = 0; i < count; i++)
		if (span_is(text, words[i])) {
			*out = i;
			return OK;
		}
	return ERROR_SYNTAX;
}

/* ---- writing ---- */

static void write_time(struct bytes *out, int64_t time_ns)
{
	if (time_ns == NS_NEVER) {
		bytes_append_text(out, "never");
		return;
	}
	/* Unsigned, so that the most negative value has a magnitude. */
	uint64_t magnitude = time_ns < 0 ? 0 - (uint64_t)time_ns : (uint64_t)time_ns;
	bytes_printf(out, "%s%" PRIu64 ".%09" PRIu64, time_ns < 0 ? "-" : "", magnitude / (uint64_t)NS_PER_S,
	             magnitude % (uint64_t)NS_PER_S);
}

static uint64_t load_field(const struct field *field, const void *from)
{
	const char *at = (const char *)from + field->offset;
	uint64_t wide = 0;
	uint32_t narrow = 0;
	if (field->size == sizeof(wide)) {
		memcpy(&wide, at, sizeof(wide));
		return wide;
	}
	memcpy(&narrow, at, sizeof(narrow));
	return narrow;
}

static void write_fields(struct bytes *out, const struct table *table, uint32_t kind, const void *from)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct field *field = &table->fields[i];
		uint64_t value = load_field(field, from);
		if (value == 0 && !(field->kinds & BIT(kind)))
			continue;
		bytes_printf(out, " %s=", field->name);
		if (field->form == FORM_TIME)
			write_time(out, (int64_t)value);
		else if (field->form == FORM_NS)
			bytes_printf(out, "%" PRId64, (int64_t)value);
		else if (field->form == FORM_WORD && value < field->word_count)
			bytes_append_text(out, field->words[value]);
		else
			bytes_printf(out, "%" PRIu64, value);
	}
}

void control_text_write_settings(struct bytes *out, const struct control_settings *settings)
{
	bytes_printf(out, "settings version=%d", VERSION);
	write_fields(out, &settings_table, 0, settings);
	for (uint32_t i = 0; i < settings->pool_count; i++) {
		bytes_append_text(out, " pool");
		write_fields(out, &pool_table, 0, &settings->pools[i]);
	}
	for (uint32_t i = 0; i < settings->route_count; i++) {
		const struct control_route *route = &settings->routes[i];
		bytes_append_text(out, " route");
		write_fields(out, &route_table, 0, route);
		for (uint32_t r = 0; r < route->rung_count; r++) {
			bytes_append_text(out, " rung");
			write_fields(out, &rung_table, 0, &route->rungs[r]);
		}
	}
	bytes_append_byte(out, '\n');
}

void control_text_write_step(struct bytes *out, int64_t now_ns, const struct event *events, size_t event_count,
                             const struct order *orders, size_t order_count)
{
	write_time(out, now_ns);
	bytes_printf(out, " step events=%zu orders=%zu\n", event_count, order_count);
	for (size_t i = 0; i < event_count; i++) {
		write_time(out, now_ns);
		bytes_printf(out, " %s", control_event_word(events[i].kind));
		write_fields(out, &event_table, events[i].kind, &events[i]);
		bytes_append_byte(out, '\n');
	}
	for (size_t i = 0; i < order_count; i++) {
		write_time(out, now_ns);
		bytes_printf(out, " -> %s", control_order_word(orders[i].kind));
		write_fields(out, &order_table, orders[i].kind, &orders[i]);
		bytes_append_byte(out, '\n');
	}
}

/* ---- reading ---- */

static struct span cut(struct span *text, char byte)
{
	size_t len = span_find(*text, byte);
	struct span head = { text->at, len };
	size_t taken = len < text->len ? len + 1 : len;
	text->at += taken;
	text->len -= taken;
	return head;
}

/* The next line, which must be a whole one. */
static enum error cut_line(struct span *text, struct span *line)
{
	if (span_find(*text, '\n') == text->len)
		return ERROR_SYNTAX;
	*line = cut(text, '\n');
	return OK;
}

static enum error read_time(struct span text, int64_t *out)
{
	if (span_is(text, "never")) {
		*out = NS_NEVER;
		return OK;
	}
	bool is_negative = text.len > 0 && text.at[0] == '-';
	if (is_negative)
		text = (struct span){ text.at + 1, text.len - 1 };
	uint64_t limit = (uint64_t)INT64_MAX + is_negative;
	uint64_t seconds;
	uint64_t rest;
	struct span whole = cut(&text, '.');
	if (text.len != DECIMALS || span_to_u64(whole, limit / (uint64_t)NS_PER_S, &seconds) != OK ||
	    span_to_u64(text, NS_PER_S - 1, &rest) != OK || seconds * NS_PER_S + rest > limit)
		return ERROR_SYNTAX;
	uint64_t magnitude = seconds * (uint64_t)NS_PER_S + rest;
	*out = (int64_t)(is_negative ? 0 - magnitude : magnitude);
	return OK;
}

static enum error read_ns(struct span text, int64_t *out)
{
	bool is_negative = text.len > 0 && text.at[0] == '-';
	if (is_negative)
		text = (struct span){ text.at + 1, text.len - 1 };
	uint64_t magnitude = 0;
	enum error error = span_to_u64(text, (uint64_t)INT64_MAX + is_negative, &magnitude);
	*out = (int64_t)(is_negative ? 0 - magnitude : magnitude);
	return error;
}

static enum error read_value(const struct field *field, struct span text, void *into)
{
	uint64_t value = 0;
	int64_t time_ns = 0;
	enum error error = OK;
	if (field->form == FORM_TIME)
		error = read_time(text, &time_ns);
	else if (field->form == FORM_NS)
		error = read_ns(text, &time_ns);
	else if (field->form != FORM_WORD || find_word(text, field->words, field->word_count, &value) != OK)
		error = span_to_u64(text, field->size == sizeof(value) ? UINT64_MAX : UINT32_MAX, &value);
	if (field->form == FORM_TIME || field->form == FORM_NS)
		value = (uint64_t)time_ns;
	char *at = (char *)into + field->offset;
	const uint32_t narrow = (uint32_t)value;
	if (field->size == sizeof(value))
		memcpy(at, &value, sizeof(value));
	else
		memcpy(at, &narrow, sizeof(narrow));
	return error ? ERROR_SYNTAX : OK;
}

/* name=value */
static enum error read_field(const struct table *table, struct span token, void *into)
{
	struct span name = cut(&token, '=');
	for (size_t i = 0; i < table->count; i++)
		if (span_is(name, table->fields[i].name))
			return read_value(&table->fields[i], token, into);
	return ERROR_SYNTAX;
}

static enum error read_fields(const struct table *table, struct span line, void *into)
{
	enum error error = OK;
	while (line.len && !error)
		error = read_field(table, cut(&line, ' '), into);
	return error;
}

/* Where the fields of the settings' line go: a word alone opens a pool, a route or one of its rungs. */
struct target {
	const struct table *table;
	void *into;
};

static enum error open_pool(struct control_record *record, struct target *target)
{
	struct control_settings *settings = &record->settings;
	struct control_pool *pools = reallocarray(record->pools, settings->pool_count + 1u, sizeof(*pools));
	if (!pools)
		return ERROR_MEMORY;
	record->pools = pools;
	settings->pools = pools;
	pools[settings->pool_count] = (struct control_pool){ 0 };
	*target = (struct target){ &pool_table, &pools[settings->pool_count++] };
	return OK;
}

static enum error open_route(struct control_record *record, struct target *target)
{
	struct control_settings *settings = &record->settings;
	struct control_route *routes = reallocarray(record->routes, settings->route_count + 1u, sizeof(*routes));
	if (!routes)
		return ERROR_MEMORY;
	record->routes = routes;
	settings->routes = routes;
	routes[settings->route_count] = (struct control_route){ 0 };
	*target = (struct target){ &route_table, &routes[settings->route_count++] };
	return OK;
}

static enum error open_rung(struct control_record *record, struct target *target)
{
	uint32_t count = record->settings.route_count;
	struct control_route *route = count ? &record->routes[count - 1] : NULL;
	if (!route || route->rung_count == LADDER_RUNGS_MAX)
		return ERROR_SYNTAX;
	*target = (struct target){ &rung_table, &route->rungs[route->rung_count++] };
	return OK;
}

static enum error read_settings_fields(struct span line, struct control_record *record)
{
	struct target target = { &settings_table, &record->settings };
	enum error error = OK;
	while (line.len && !error) {
		struct span token = cut(&line, ' ');
		if (span_is(token, "pool"))
			error = open_pool(record, &target);
		else if (span_is(token, "route"))
			error = open_route(record, &target);
		else if (span_is(token, "rung"))
			error = open_rung(record, &target);
		else
			error = read_field(target.table, token, target.into);
	}
	return error;
}

enum error control_text_read_settings(struct span *text, struct control_record *record)
{
	struct span rest = *text;
	struct span line;
	uint64_t version;
	record->settings = (struct control_settings){ .pools = record->pools, .routes = record->routes };
	if (cut_line(&rest, &line) != OK || !span_is(cut(&line, ' '), "settings") || !span_is(cut(&line, '='), "version") ||
	    span_to_u64(cut(&line, ' '), VERSION, &version) != OK)
		return ERROR_SYNTAX;
	enum error error = read_settings_fields(line, record);
	if (!error)
		*text = rest;
	return error;
}

/* Room for `count` in an array that grows. */
static enum error reserve(void **array, size_t *capacity, size_t count, size_t size)
{
	if (count <= *capacity)
		return OK;
	void *larger = reallocarray(*array, count, size);
	if (!larger)
		return ERROR_MEMORY;
	*array = larger;
	*capacity = count;
	return OK;
}

static enum error read_step_line(struct span line, struct control_record *record)
{
	uint64_t events;
	uint64_t orders;
	if (read_time(cut(&line, ' '), &record->now_ns) != OK || !span_is(cut(&line, ' '), "step") ||
	    !span_is(cut(&line, '='), "events") || span_to_u64(cut(&line, ' '), STEP_LINES_MAX, &events) != OK ||
	    !span_is(cut(&line, '='), "orders") || span_to_u64(line, STEP_LINES_MAX, &orders) != OK)
		return ERROR_SYNTAX;
	record->event_count = events;
	record->order_count = orders;
	enum error error = reserve((void **)&record->events, &record->event_capacity, events, sizeof(*record->events));
	if (!error)
		error = reserve((void **)&record->orders, &record->order_capacity, orders, sizeof(*record->orders));
	return error;
}

static enum error read_event(struct span line, int64_t now_ns, struct event *event)
{
	int64_t time_ns;
	uint64_t kind;
	*event = (struct event){ 0 };
	if (read_time(cut(&line, ' '), &time_ns) != OK || time_ns != now_ns ||
	    find_word(cut(&line, ' '), event_words, EVENT_KINDS, &kind) != OK)
		return ERROR_SYNTAX;
	event->kind = (enum event_kind)kind;
	return read_fields(&event_table, line, event);
}

static enum error read_order(struct span line, int64_t now_ns, struct order *order)
{
	int64_t time_ns;
	uint64_t kind;
	*order = (struct order){ 0 };
	if (read_time(cut(&line, ' '), &time_ns) != OK || time_ns != now_ns || !span_is(cut(&line, ' '), "->") ||
	    find_word(cut(&line, ' '), order_words, ORDER_KINDS, &kind) != OK)
		return ERROR_SYNTAX;
	order->kind = (enum order_kind)kind;
	return read_fields(&order_table, line, order);
}

enum error control_text_read_step(struct span *text, struct control_record *record)
{
	if (text->len == 0)
		return ERROR_NOT_FOUND;
	struct span rest = *text;
	struct span line;
	enum error error = cut_line(&rest, &line);
	if (!error)
		error = read_step_line(line, record);
	for (size_t i = 0; !error && i < record->event_count + record->order_count; i++) {
		*text = rest;
		error = cut_line(&rest, &line);
		if (error)
			break;
		if (i < record->event_count)
			error = read_event(line, record->now_ns, &record->events[i]);
		else
			error = read_order(line, record->now_ns, &record->orders[i - record->event_count]);
	}
	if (!error)
		*text = rest;
	return error;
}

void control_record_fini(struct control_record *record)
{
	free(record->pools);
	free(record->routes);
	free(record->events);
	free(record->orders);
	*record = (struct control_record){ 0 };
}
