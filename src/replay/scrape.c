/* The gateway's queue and rung, once a second from its /metrics. What can't be had is left unknown: it is no part of the measurement. */
#include <stdlib.h>

#include "base/clock.h"
#include "replay/quantity.h"
#include "replay/run_parts.h"

#define PAGE_BYTES_MAX (4u << 20)

struct scrape {
	struct run *run;
	struct http_pool *pool;
	struct http_call *call; /* NULL: none is out */
	struct bytes head;
	struct bytes page;
	int status;
	double queue;
	double rung;
};

enum error scrape_new(struct run *run, struct scrape **out)
{
	struct bytes fault = { 0 };
	struct scrape *scrape = calloc(1, sizeof(*scrape));
	*out = scrape;
	if (!scrape)
		return ERROR_MEMORY;
	scrape->run = run;
	scrape->queue = scrape->rung = -1;
	const struct url *url = &run->settings->admin;
	bytes_printf(&scrape->head, "GET %s/metrics HTTP/1.1\r\nhost: %s\r\nuser-agent: penstock-replay\r\n\r\n", url->path,
	             url->authority);
	enum error error = run_pool_new(run, url, &scrape->pool, &fault);
	bytes_fini(&fault);
	return error;
}

void scrape_free(struct scrape **slot)
{
	struct scrape *scrape = *slot;
	if (!scrape)
		return;
	*slot = NULL;
	http_call_cancel(&scrape->call);
	if (scrape->pool)
		http_pool_free(&scrape->pool);
	bytes_fini(&scrape->head);
	bytes_fini(&scrape->page);
	free(scrape);
}

/* The sum of a family's samples, whatever their labels; -1 = there is none. */
static double sum_of(struct span page, struct span name, bool takes_highest)
{
	double total = -1;
	while (page.len) {
		const struct span line = quantity_split(&page, '\n');
		if (!span_starts_with(line, name) || line.len == name.len ||
		    (line.at[name.len] != ' ' && line.at[name.len] != '{'))
			continue;
		size_t blank = line.len;
		while (blank > 0 && line.at[blank - 1] != ' ')
			blank--;
		double value;
		if (quantity_number((struct span){ line.at + blank, line.len - blank }, &value))
			continue;
		if (takes_highest)
			total = value > total ? value : total;
		else
			total = value + (total > 0 ? total : 0);
	}
	return total;
}

static void on_head(void *owner, const struct http_head *head)
{
	struct scrape *scrape = owner;
	scrape->status = head->status;
	bytes_clear(&scrape->page);
}

static void on_body(void *owner, struct span data)
{
	struct scrape *scrape = owner;
	if (scrape->page.len + data.len <= PAGE_BYTES_MAX)
		bytes_append_span(&scrape->page, data);
}

static void on_end(void *owner, enum error why)
{
	struct scrape *scrape = owner;
	scrape->call = NULL;
	const bool is_good = why == OK && scrape->status == 200;
	scrape->queue = is_good ? sum_of(bytes_span(&scrape->page), SPAN("penstock_queue_requests"), false) : -1;
	scrape->rung = is_good ? sum_of(bytes_span(&scrape->page), SPAN("penstock_rung"), true) : -1;
}

void scrape_ask(struct scrape *scrape)
{
	static const struct http_call_events events = { .on_head = on_head, .on_body = on_body, .on_end = on_end };
	const struct http_request request = { .head = bytes_span(&scrape->head), .connect_ns = NS_PER_S };
	if (!scrape->call && http_call_start(scrape->pool, &request, &events, scrape, &scrape->call))
		scrape->call = NULL;
}

double scrape_queue(const struct scrape *scrape)
{
	return scrape ? scrape->queue : -1;
}

double scrape_rung(const struct scrape *scrape)
{
	return scrape ? scrape->rung : -1;
}
