#include "stages/repeat.h"

#include "base/clock.h"
#include "base/macros.h"
#include "policy/prefix_index.h"
#include "stages/request.h"
#include "stages/services.h"

#define MEMORY_NS (30 * NS_PER_S)
/* Of a long body only the ends are looked at: conversations differ in their last message. */
#define HEAD_BYTES 512
#define TAIL_BYTES 2048

static uint64_t tenant_salt(const struct request *request)
{
	return request->key ? prefix_hash(span_of(request->key->name), 1) : 1;
}

static uint64_t body_hash(const struct request *request)
{
	struct span body = http_exchange_body(request->exchange);
	uint64_t hash = tenant_salt(request) + body.len;
	if (body.len <= HEAD_BYTES + TAIL_BYTES)
		return prefix_hash(body, hash);
	hash = prefix_hash((struct span){ body.at, HEAD_BYTES }, hash);
	return prefix_hash((struct span){ body.at + body.len - TAIL_BYTES, TAIL_BYTES }, hash);
}

/* 0 when it has none. */
static uint64_t key_hash(const struct request *request)
{
	struct span key = http_header_value(http_exchange_head(request->exchange), "idempotency-key");
	return key.len ? prefix_hash(key, tenant_salt(request) ^ UINT64_MAX) : 0;
}

static bool has_failed(const struct repeats *repeats, uint64_t hash, int64_t now_ns)
{
	uint64_t slot = hash % REPEAT_SLOTS;
	return hash && repeats->slots[slot].hash == hash && now_ns - repeats->slots[slot].at_ns < MEMORY_NS;
}

bool repeat_is(const struct request *request)
{
	const struct repeats *repeats = &request->services->repeats;
	const struct http_head *head = http_exchange_head(request->exchange);
	uint64_t count = 0;
	int64_t now_ns = request_now_ns(request);
	/* The OpenAI and Anthropic SDKs count their tries there. */
	if (span_to_u64(http_header_value(head, "x-stainless-retry-count"), UINT32_MAX, &count) == OK && count > 0)
		return true;
	if (repeats->last_ns == 0 || now_ns - repeats->last_ns >= MEMORY_NS)
		return false;
	return has_failed(repeats, key_hash(request), now_ns) || has_failed(repeats, body_hash(request), now_ns);
}

static void note(struct repeats *repeats, uint64_t hash, int64_t now_ns)
{
	if (!hash)
		return;
	repeats->slots[hash % REPEAT_SLOTS].hash = hash;
	repeats->slots[hash % REPEAT_SLOTS].at_ns = now_ns;
	repeats->last_ns = now_ns;
}

void repeat_note(struct request *request)
{
	int64_t now_ns = request_now_ns(request);
	if (!http_exchange_head(request->exchange) || !http_exchange_body_is_complete(request->exchange))
		return;
	note(&request->services->repeats, key_hash(request), now_ns);
	note(&request->services->repeats, body_hash(request), now_ns);
}
