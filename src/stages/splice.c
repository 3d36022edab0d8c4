#include "stages/splice.h"

#include "base/macros.h"

_Static_assert(2 * SPLICES_MAX + 1 <= HTTP_REQUEST_PIECES_MAX, "each splice makes at most two pieces more");

void splice_init(struct splice *splice, struct span body, struct bytes *store)
{
	*splice = (struct splice){ .body = body, .store = store };
}

/* Edits stay in the order of their places; those at the same one in the order in which they came. */
static struct splice_edit *add_edit(struct splice *splice, size_t at, size_t len)
{
	MUST(splice->count < SPLICES_MAX);
	unsigned place = splice->count++;
	for (; place > 0 && splice->edits[place - 1].at > at; place--)
		splice->edits[place] = splice->edits[place - 1];
	splice->edits[place] = (struct splice_edit){ .at = at, .len = len, .start = splice->store->len };
	return &splice->edits[place];
}

void splice_replace(struct splice *splice, const struct json *json, uint32_t node, struct span text, bool is_string)
{
	struct span raw = json_raw(json, node);
	struct splice_edit *edit = add_edit(splice, (size_t)(raw.at - splice->body.at), raw.len);
	if (is_string)
		json_write_string(splice->store, text);
	else
		bytes_append_span(splice->store, text);
	edit->end = splice->store->len;
}

void splice_cut(struct splice *splice, size_t at, size_t len)
{
	struct splice_edit *edit = add_edit(splice, at, len);
	edit->end = edit->start;
}

void splice_member(struct splice *splice, const struct json *json, uint32_t node, struct span member)
{
	struct span raw = json_raw(json, node);
	size_t brace = (size_t)(raw.at - splice->body.at) + raw.len - 1;
	bool is_first = json->nodes[node].count == 0;
	for (unsigned i = 0; i < splice->count; i++)
		is_first = is_first && splice->edits[i].at != brace;
	struct splice_edit *edit = add_edit(splice, brace, 0);
	if (!is_first)
		bytes_append_byte(splice->store, ',');
	bytes_append_span(splice->store, member);
	edit->end = splice->store->len;
}

unsigned splice_finish(struct splice *splice, struct span pieces[HTTP_REQUEST_PIECES_MAX])
{
	unsigned count = 0;
	size_t at = 0;
	for (unsigned i = 0; i < splice->count; i++) {
		const struct splice_edit *edit = &splice->edits[i];
		MUST(edit->at >= at);
		if (edit->at > at)
			pieces[count++] = (struct span){ splice->body.at + at, edit->at - at };
		if (edit->end > edit->start)
			pieces[count++] = (struct span){ splice->store->data + edit->start, edit->end - edit->start };
		at = edit->at + edit->len;
	}
	if (at < splice->body.len)
		pieces[count++] = (struct span){ splice->body.at + at, splice->body.len - at };
	return count;
}
