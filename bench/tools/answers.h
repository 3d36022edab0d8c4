/* The answers of the measuring tools' fake upstream: what bench/tools/stub.c writes and what load.c expects, byte for byte.
 *
 * Only the sequence number and the time in a content event vary; the client reads the time from the event and makes the rest anew. */
#ifndef PENSTOCK_BENCH_ANSWERS_H
#define PENSTOCK_BENCH_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An event has at least what it needs to carry its number and its time. */
#define ANSWERS_EVENT_BYTES_MIN 192
#define ANSWERS_EVENT_BYTES_MAX 65536

struct answers {
	uint32_t events;      /* content events of a stream */
	uint32_t event_bytes; /* of a content event, from "data: " to the empty line */
	char *content;        /* owned: a content event without its number, time and letters */
};

/* Sizes outside the limits are cut to them. Ends the process when memory is full. */
void answers_init(struct answers *answers, uint32_t events, uint32_t event_bytes);
/* Writes event `at` of a stream (0: the role, 1..events: content, then the finish, the usage where asked for, and [DONE]), at most
 * event_bytes or 512 bytes, and returns its size; 0 after the last. sent_ns is for content events alone. */
size_t answers_event(const struct answers *answers, bool has_usage, uint32_t at, uint64_t sent_ns, char *out);
/* The same as a chunk of HTTP/1.1: at most 16 bytes more. */
size_t answers_chunk(const struct answers *answers, bool has_usage, uint32_t at, uint64_t sent_ns, char *out);
/* The time that a content event carries; 0 if the bytes can't be one. */
uint64_t answers_sent_ns(const char *event, size_t event_bytes);
/* The number that a content event carries; -1 if the bytes can't be one. */
int64_t answers_sequence(const char *event, size_t event_bytes);
/* How many events answers_event makes. */
uint32_t answers_count(const struct answers *answers, bool has_usage);
/* The body of an answer that is no stream, about 1 KB; static. */
const char *answers_completion(size_t *bytes);

#endif
