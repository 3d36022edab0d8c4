/* A loop for each question: it ends with its answer. A second is the least between two, so that costs nothing. */
#include "watch/admin_client.h"

#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/url.h"
#include "http/http_client.h"
#include "io/loop.h"
#include "io/tls.h"

#define BODY_BYTES_MAX ((size_t)64 << 20)

struct admin_client {
	struct url url;
	char *text; /* owned */
	char *key;  /* owned; NULL = none */
	struct tls_context *tls;
};

/* One question. */
struct question {
	struct loop *loop;
	struct http_call *call;
	struct timer deadline;
	struct bytes *body;
	int status;
	enum error error;
};

static void on_head(void *owner, const struct http_head *head)
{
	((struct question *)owner)->status = head->status;
}

static void finish(struct question *question, enum error error)
{
	question->error = error;
	timer_stop(&question->deadline);
	loop_stop(question->loop);
}

static void on_body(void *owner, struct span data)
{
	struct question *question = owner;
	bytes_append_span(question->body, data);
	if (question->body->len <= BODY_BYTES_MAX && bytes_ok(question->body))
		return;
	http_call_cancel(&question->call);
	finish(question, bytes_ok(question->body) ? ERROR_LIMIT : ERROR_MEMORY);
}

static void on_end(void *owner, enum error why)
{
	struct question *question = owner;
	question->call = NULL;
	finish(question, why);
}

static void on_silence(struct timer *timer)
{
	struct question *question = container_of(timer, struct question, deadline);
	http_call_cancel(&question->call);
	finish(question, ERROR_TIMEOUT);
}

static const struct http_call_events events = { .on_head = on_head, .on_body = on_body, .on_end = on_end };

static enum error ask(struct admin_client *client, const char *path, int64_t limit_ns, struct question *question)
{
	struct http_pool_settings settings = { .allow_local = true };
	struct http_pool *pool = NULL;
	struct bytes head = { 0 };
	enum error error = client->url.is_tls ? tls_peer_new(client->tls, client->url.address.host, &settings.tls) : OK;
	if (!error)
		error = http_pool_new(question->loop, &client->url.address, &settings, &pool);
	bytes_printf(&head, "GET %s%s HTTP/1.1\r\nhost: %s\r\nconnection: close\r\n", client->url.path, path,
	             client->url.authority);
	if (client->key)
		bytes_printf(&head, "authorization: Bearer %s\r\n", client->key);
	bytes_append_text(&head, "\r\n");
	const struct http_request request = { .head = bytes_span(&head), .connect_ns = limit_ns };
	if (!error)
		error = http_call_start(pool, &request, &events, question, &question->call);
	if (!error) {
		timer_start_after(&question->deadline, limit_ns);
		loop_run(question->loop);
		error = question->error;
	}
	if (pool)
		http_pool_free(&pool);
	tls_peer_unref(&settings.tls);
	bytes_fini(&head);
	return error;
}

enum error admin_get(struct admin_client *client, const char *path, int64_t limit_ns, int *status, struct bytes *body)
{
	struct question question = { .body = body };
	bytes_clear(body);
	enum error error = loop_new(&question.loop);
	if (error)
		return error;
	timer_init(&question.deadline, question.loop, on_silence);
	error = ask(client, path, limit_ns, &question);
	loop_free(&question.loop);
	*status = question.status;
	return error;
}

enum error admin_client_new(const char *url, const char *key, struct admin_client **out, struct bytes *fault)
{
	struct admin_client *client = calloc(1, sizeof(*client));
	*out = NULL;
	if (!client)
		return ERROR_MEMORY;
	enum error error = url_parse(span_of(url), &client->url);
	if (error)
		bytes_printf(fault, "\"%s\" is not a URL: write http://host:port, https://host or unix:/path", url);
	client->text = strdup(url);
	client->key = key && *key ? strdup(key) : NULL;
	if (!error && (!client->text || (key && *key && !client->key)))
		error = ERROR_MEMORY;
	if (!error && client->key && client->key[strcspn(client->key, "\r\n")]) {
		bytes_append_text(fault, "the key holds a line end");
		error = ERROR_SYNTAX;
	}
	if (!error && client->url.is_tls)
		error = tls_context_new_client(NULL, &client->tls, fault);
	if (error)
		admin_client_free(&client);
	*out = client;
	return error;
}

void admin_client_free(struct admin_client **client_slot)
{
	struct admin_client *client = *client_slot;
	if (!client)
		return;
	*client_slot = NULL;
	tls_context_unref(&client->tls);
	free(client->text);
	free(client->key);
	free(client);
}

const char *admin_client_url(const struct admin_client *client)
{
	return client->text;
}
