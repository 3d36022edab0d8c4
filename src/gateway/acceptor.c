/* Accepts on loop 0 and gives each connection to the loop with the fewest open requests. */
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "gateway/gateway_parts.h"

#define ACCEPT_RETRY_NS (20 * NS_PER_MS)

struct handed_socket {
	struct http_server *server;
	struct tls_context *tls; /* a reference; NULL: plain */
	int fd;
};

static void adopt(void *argument)
{
	struct handed_socket *handed = argument;
	http_server_adopt(handed->server, handed->fd, handed->tls);
	tls_context_unref(&handed->tls);
	free(handed);
}

static struct worker_loop *least_busy(struct gateway *gateway)
{
	struct worker_loop *chosen = NULL;
	int64_t chosen_load = 0;
	for (unsigned i = 0; i < gateway->loop_count; i++) {
		struct worker_loop *loop = &gateway->loops[i];
		/* Requests weigh; idle connections only decide between equals. */
		int64_t load = metric_get(loop->services.metrics, METRIC_requests_open, 0, 0) * 65536 +
		               metric_get(loop->services.metrics, METRIC_connections_open, 0, 0);
		if (!chosen || load < chosen_load) {
			chosen = loop;
			chosen_load = load;
		}
	}
	return chosen;
}

static void pause_accepting(struct gateway *gateway)
{
	for (size_t i = 0; i < gateway->listener_count; i++)
		listener_pause(gateway->listeners[i]);
	if (!gateway->is_accepting_paused)
		log_line(LOG_WARNING, "%lld connections are open (limits.connections): new ones wait",
		         (long long)gateway->config->limits_connections);
	gateway->is_accepting_paused = true;
	timer_start_after(&gateway->accept, ACCEPT_RETRY_NS);
}

static bool is_full(const struct gateway *gateway)
{
	return metrics_sum(gateway->metrics, METRIC_connections_open, 0, 0) >= gateway->config->limits_connections;
}

static void on_accept_again(struct timer *timer)
{
	struct gateway *gateway = container_of(timer, struct gateway, accept);
	if (is_full(gateway)) {
		timer_start_after(&gateway->accept, ACCEPT_RETRY_NS);
		return;
	}
	gateway->is_accepting_paused = false;
	for (size_t i = 0; i < gateway->listener_count; i++)
		listener_resume(gateway->listeners[i]);
}

static void hand_over(struct worker_loop *loop, int fd, struct tls_context *tls)
{
	struct handed_socket *handed = malloc(sizeof(*handed));
	if (handed)
		*handed = (struct handed_socket){ loop->services.server, tls ? tls_context_ref(tls) : NULL, fd };
	if (handed && loop_post(loop->services.loop, adopt, handed) == OK)
		return;
	if (handed)
		tls_context_unref(&handed->tls);
	free(handed);
	close(fd);
}

static void place(struct gateway *gateway, int fd, struct tls_context *tls)
{
	struct worker_loop *loop = least_busy(gateway);
	if (loop == &gateway->loops[0])
		http_server_adopt(loop->services.server, fd, tls);
	else
		hand_over(loop, fd, tls);
	if (is_full(gateway))
		pause_accepting(gateway);
}

static void on_accepted(void *owner, int fd)
{
	place(owner, fd, NULL);
}

static void on_tls_accepted(void *owner, int fd)
{
	place(owner, fd, ((struct gateway *)owner)->tls);
}

static void on_admin_accepted(void *owner, int fd)
{
	http_server_adopt(((struct gateway *)owner)->admin_server, fd, NULL);
}

/* on_tcp: who takes connections of the addresses that are not sockets in the file system. */
static enum error open_all(struct gateway *gateway, const struct string_list *addresses, listener_accepted *on_unix,
                           listener_accepted *on_tcp, struct listener **listeners, size_t *count, struct bytes *fault)
{
	for (size_t i = 0; i < addresses->count; i++) {
		struct address address;
		enum error error =
			*count == LISTENERS_MAX ? ERROR_LIMIT : address_parse(span_of(addresses->items[i]), &address);
		if (!error)
			error = listener_open(gateway->loops[0].services.loop, &address,
			                      address.kind == ADDRESS_UNIX ? on_unix : on_tcp, gateway, &listeners[*count]);
		if (error) {
			bytes_printf(fault, "can't listen on %s: %s", addresses->items[i], error_text(error));
			return error;
		}
		(*count)++;
	}
	return OK;
}

enum error acceptor_open(struct gateway *gateway, struct bytes *fault)
{
	const struct config *config = gateway->config;
	timer_init(&gateway->accept, gateway->loops[0].services.loop, on_accept_again);
	enum error error = open_all(gateway, &config->admin, on_admin_accepted, on_admin_accepted, gateway->admin_listeners,
	                            &gateway->admin_listener_count, fault);
	if (error)
		return error;
	return open_all(gateway, &config->listen, on_accepted, gateway->tls ? on_tls_accepted : on_accepted,
	                gateway->listeners, &gateway->listener_count, fault);
}

void acceptor_close(struct gateway *gateway, bool with_admin)
{
	while (gateway->listener_count)
		listener_close(&gateway->listeners[--gateway->listener_count]);
	while (with_admin && gateway->admin_listener_count)
		listener_close(&gateway->admin_listeners[--gateway->admin_listener_count]);
	if (gateway->accept.loop)
		timer_stop(&gateway->accept);
}
