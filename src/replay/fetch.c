#include "replay/fetch.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/macros.h"
#include "http/http_client.h"
#include "io/loop.h"

#define WAIT_NS (10 * NS_PER_S)
#define BODY_BYTES_MAX (4u << 20)

struct fetch {
	struct loop *loop;
	struct http_call *call;
	struct timer patience;
	struct bytes body;
	int status;
	enum error error;
};

static void on_head(void *owner, const struct http_head *head)
{
	((struct fetch *)owner)->status = head->status;
}

static void on_body(void *owner, struct span data)
{
	struct fetch *fetch = owner;
	if (fetch->body.len + data.len <= BODY_BYTES_MAX)
		bytes_append_span(&fetch->body, data);
}

static void on_end(void *owner, enum error why)
{
	struct fetch *fetch = owner;
	fetch->call = NULL;
	fetch->error = why;
	loop_stop(fetch->loop);
}

static void on_patience(struct timer *timer)
{
	struct fetch *fetch = container_of(timer, struct fetch, patience);
	http_call_cancel(&fetch->call);
	fetch->error = ERROR_TIMEOUT;
	loop_stop(fetch->loop);
}

static enum error get(struct fetch *fetch, const struct url *url, const char *authorities, struct span head,
                      struct bytes *fault)
{
	static const struct http_call_events events = { .on_head = on_head, .on_body = on_body, .on_end = on_end };
	struct http_pool_settings settings = { .allow_local = true };
	struct tls_context *context = NULL;
	struct http_pool *pool = NULL;
	const struct http_request request = { .head = head, .connect_ns = WAIT_NS };
	enum error error = loop_new(&fetch->loop);
	if (!error && url->is_tls) {
		error = tls_context_new_client(authorities, &context, fault);
		if (!error)
			error = tls_peer_new(context, url->address.host, &settings.tls);
	}
	if (!error)
		error = http_pool_new(fetch->loop, &url->address, &settings, &pool);
	if (!error)
		error = http_call_start(pool, &request, &events, fetch, &fetch->call);
	if (!error) {
		timer_init(&fetch->patience, fetch->loop, on_patience);
		timer_start_after(&fetch->patience, WAIT_NS);
		loop_run(fetch->loop);
		timer_stop(&fetch->patience);
		error = fetch->error;
	}
	if (pool)
		http_pool_free(&pool);
	tls_peer_unref(&settings.tls);
	tls_context_unref(&context);
	loop_free(&fetch->loop);
	return error;
}

static enum error read_model(const struct fetch *fetch, struct bytes *model)
{
	struct json json = { 0 };
	struct arena arena;
	struct span id;
	arena_init(&arena, 0);
	enum error error = json_parse(&json, fetch->body.data, fetch->body.len, 32, NULL);
	const uint32_t data = error ? JSON_NONE : json_get(&json, JSON_ROOT, "data");
	const uint32_t first =
		data != JSON_NONE && json_type(&json, data) == JSON_ARRAY ? json_first(&json, data) : JSON_NONE;
	const uint32_t node = first == JSON_NONE ? JSON_NONE : json_get(&json, first, "id");
	if (!error)
		error = node == JSON_NONE ? ERROR_NOT_FOUND : json_string(&json, node, &arena, &id);
	if (!error)
		bytes_append_span(model, id);
	json_fini(&json);
	arena_fini(&arena);
	return error;
}

enum error fetch_first_model(const struct url *url, const char *key, const char *authorities, struct bytes *model,
                             struct bytes *fault)
{
	struct fetch fetch = { 0 };
	struct bytes head = { 0 };
	bytes_printf(&head, "GET %s/v1/models HTTP/1.1\r\nhost: %s\r\nuser-agent: penstock-replay\r\n", url->path,
	             url->authority);
	if (key)
		bytes_printf(&head, "authorization: Bearer %s\r\n", key);
	bytes_append_literal(&head, "\r\n");
	enum error error = get(&fetch, url, authorities, bytes_span(&head), fault);
	if (error && fault->len == 0)
		bytes_printf(fault, "the target can't be asked for its models: %s; is it running, and is --target right?",
		             error_text(error));
	else if (!error && fetch.status == 401)
		bytes_append_text(fault, "the target wants a key: say it with --key or --keys");
	else if (!error && (fetch.status != 200 || read_model(&fetch, model)))
		bytes_printf(fault, "GET /v1/models answered %d and no list of models: say which with --model", fetch.status);
	if (!error && fault->len)
		error = ERROR_NOT_FOUND;
	bytes_fini(&head);
	bytes_fini(&fetch.body);
	return error;
}
