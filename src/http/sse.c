/* Events are collected byte for byte until their blank line, and only then taken apart: while they grow, all that
 * matters is where lines end. The only look ahead is the LF that may follow a CR. */
#include "http/sse.h"

#include <string.h>

void sse_init(struct sse *sse, size_t limit_bytes)
{
	*sse = (struct sse){ .limit = limit_bytes };
}

void sse_fini(struct sse *sse)
{
	bytes_fini(&sse->raw);
	bytes_fini(&sse->data);
	*sse = (struct sse){ .limit = sse->limit };
}

size_t sse_pending(const struct sse *sse)
{
	const bool is_blank = sse->line_start == sse->content && sse->raw.len == sse->content + sse->cr_pending;
	return sse->completed || is_blank ? 0 : sse->raw.len - sse->content;
}

/* ---- framing ---- */

static enum error append(struct sse *sse, const char *data, size_t len)
{
	if (len > sse->limit - sse->raw.len)
		return ERROR_LIMIT;
	bytes_append(&sse->raw, data, len);
	return bytes_ok(&sse->raw) ? OK : ERROR_MEMORY;
}

static void forget_event(struct sse *sse)
{
	if (!sse->completed)
		return;
	bytes_clear(&sse->raw);
	sse->content = sse->line_start = 0;
	sse->completed = false;
}

/* A BOM belongs to no line. It counts only at the stream's start, and only when it came whole. */
static void skip_mark(struct sse *sse)
{
	if (!sse->started && sse->line_start == 0 && span_starts_with(bytes_span(&sse->raw), SPAN("\xef\xbb\xbf")))
		sse->content = sse->line_start = 3;
}

/* The line in raw from line_start on is whole; its line end takes `end_bytes`. A blank one ends the event. */
static void end_line(struct sse *sse, size_t end_bytes, bool by_cr_alone)
{
	skip_mark(sse);
	sse->completed = sse->raw.len == sse->line_start + end_bytes;
	sse->line_start = sse->raw.len;
	sse->cr_pending = false;
	sse->cr_alone = by_cr_alone;
	sse->started = true;
}

/* The event before ended in a CR alone: an LF right after it belongs to that line end, but is passed on here. */
static enum error take_due_lf(struct sse *sse, char byte, size_t *taken)
{
	sse->lf_due = false;
	*taken = byte == '\n';
	if (*taken == 0)
		return OK;
	sse->cr_alone = false;
	sse->content = sse->line_start = 1;
	return append(sse, "\n", 1);
}

/* A CR ended a line, and `byte` came after it. */
static enum error resolve_cr(struct sse *sse, char byte, size_t *taken)
{
	*taken = byte == '\n';
	if (*taken == 0) {
		end_line(sse, 1, true);
		return OK;
	}
	const enum error error = append(sse, "\n", 1);
	if (error == OK)
		end_line(sse, 2, false);
	return error;
}

/* Takes the bytes up to the next line end, or all. */
static enum error take_run(struct sse *sse, const char *data, size_t len, size_t *taken)
{
	const char *line_feed = memchr(data, '\n', len);
	size_t run = line_feed ? (size_t)(line_feed - data) : len;
	const char *carriage_return = memchr(data, '\r', run);
	if (carriage_return)
		run = (size_t)(carriage_return - data);
	const bool has_end = run < len;
	*taken = run + has_end;
	const enum error error = append(sse, data, *taken);
	if (error != OK || !has_end)
		return error;
	if (data[run] == '\n') {
		end_line(sse, 1, false);
		return OK;
	}
	skip_mark(sse);
	const bool is_blank = sse->raw.len == sse->line_start + 1;
	if (is_blank && sse->cr_alone) {
		/* This stream ends its lines in CR: waiting for an LF would hold the event back until the next one. */
		end_line(sse, 1, true);
		sse->lf_due = true;
	} else {
		sse->cr_pending = true;
	}
	return OK;
}

/* ---- the fields of a whole event ---- */

/* Cuts the next line off, without its end. */
static struct span next_line(struct span *rest)
{
	size_t len = 0;
	while (len < rest->len && rest->at[len] != '\n' && rest->at[len] != '\r')
		len++;
	const struct span line = { rest->at, len };
	size_t skipped = len < rest->len ? len + 1 : len;
	if (skipped < rest->len && rest->at[len] == '\r' && rest->at[skipped] == '\n')
		skipped++;
	*rest = (struct span){ rest->at + skipped, rest->len - skipped };
	return line;
}

static void add_data(struct sse *sse, struct sse_event *event, struct span value, unsigned lines_before)
{
	if (lines_before == 1) {
		bytes_clear(&sse->data);
		bytes_append_span(&sse->data, event->data);
	}
	if (lines_before > 0) {
		bytes_append_byte(&sse->data, '\n');
		bytes_append_span(&sse->data, value);
	} else {
		event->data = value;
	}
}

static enum error read_event(struct sse *sse, struct sse_event *event)
{
	*event = (struct sse_event){ .raw = bytes_span(&sse->raw), .is_comment = true };
	struct span rest = { sse->raw.data + sse->content, sse->raw.len - sse->content };
	unsigned data_lines = 0;
	while (rest.len > 0) {
		const struct span line = next_line(&rest);
		const size_t colon = span_find(line, ':');
		const struct span field = { line.at, colon };
		size_t skipped = colon < line.len ? colon + 1 : colon;
		skipped += skipped < line.len && line.at[skipped] == ' ';
		const struct span value = { line.at + skipped, line.len - skipped };
		if (span_is(field, "event")) {
			event->name = value;
			event->is_comment = false;
		} else if (span_is(field, "data")) {
			event->is_comment = false;
			add_data(sse, event, value, data_lines++);
		}
	}
	if (data_lines < 2)
		return OK;
	event->data = bytes_span(&sse->data);
	return bytes_ok(&sse->data) ? OK : ERROR_MEMORY;
}

/* One step: a line end's rest, or bytes up to the next line end. */
static enum error take(struct sse *sse, const char *data, size_t len, size_t *taken)
{
	if (sse->lf_due)
		return take_due_lf(sse, *data, taken);
	if (sse->cr_pending)
		return resolve_cr(sse, *data, taken);
	return take_run(sse, data, len, taken);
}

enum error sse_feed(struct sse *sse, const char **data, size_t *len, bool *complete, struct sse_event *event)
{
	*complete = false;
	forget_event(sse);
	while (*len > 0 && !sse->completed && sse->ended == OK) {
		size_t taken;
		sse->ended = take(sse, *data, *len, &taken);
		if (sse->ended == OK) {
			*data += taken;
			*len -= taken;
		}
	}
	if (sse->completed && sse->ended == OK)
		sse->ended = read_event(sse, event);
	*complete = sse->completed && sse->ended == OK;
	return sse->ended;
}
