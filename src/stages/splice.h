/* Edits of a client's JSON body that leave every other byte as it is: up to five places, sent as pieces of the client's bytes and ours in turn. */
#ifndef PENSTOCK_STAGES_SPLICE_H
#define PENSTOCK_STAGES_SPLICE_H

#include <stdbool.h>

#include "base/json.h"
#include "http/http_client.h"

#define SPLICES_MAX 5

struct splice {
	struct span body;    /* borrowed */
	struct bytes *store; /* borrowed: what is put in */
	struct splice_edit {
		size_t at;    /* in body */
		size_t len;   /* bytes of it that go */
		size_t start; /* in store */
		size_t end;
	} edits[SPLICES_MAX];
	unsigned count;
};

/* store: empty; it and the body must outlive the pieces. */
void splice_init(struct splice *splice, struct span body, struct bytes *store);
/* Puts `text` in the place of a value, as a JSON string or as it is. */
void splice_replace(struct splice *splice, const struct json *json, uint32_t node, struct span text, bool is_string);
/* Leaves out bytes of the body. */
void splice_cut(struct splice *splice, size_t at, size_t len);
/* Adds a member ("name":value) to the object at `node`, behind the others. Members added to one object go one behind the other. */
void splice_member(struct splice *splice, const struct json *json, uint32_t node, struct span member);
/* The pieces, in order; their number. Failed memory: see the store. Two edits must not overlap. */
unsigned splice_finish(struct splice *splice, struct span pieces[HTTP_REQUEST_PIECES_MAX]);

#endif
