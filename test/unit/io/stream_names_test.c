/* A name with several addresses: they are tried in turn. This program answers the lookups of "many.test" itself; every other name goes to the
 * C library. */
#include "io/stream.h"

#include "end.h"

#include <dlfcn.h>
#include <netdb.h>

#include "base/macros.h"
#include "io/resolve_uv.h"
#include "io/work.h"

/* Tried in this order; only the last has a listener. */
static const char *const addresses[] = { "127.0.0.3", "127.0.0.2", "127.0.0.1" };

/* Lookups of slow names end when a byte comes here. */
static int gate[2];

typedef int lookup(const char *restrict name, const char *restrict service, const struct addrinfo *restrict hints,
                   struct addrinfo **restrict out);

int getaddrinfo(const char *restrict name, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict out)
{
	lookup *real = (lookup *)(uintptr_t)dlsym(RTLD_NEXT, "getaddrinfo");
	char byte;
	if (name != NULL && strncmp(name, "slow", 4) == 0)
		return read(gate[0], &byte, 1) == 1 ? EAI_AGAIN : EAI_SYSTEM;
	if (name == NULL || strcmp(name, "many.test") != 0)
		return real(name, service, hints, out);
	for (size_t i = 0; i < COUNT_OF(addresses); i++) {
		const int status = real(addresses[i], service, hints, out);
		if (status != 0)
			return status;
		out = &(*out)->ai_next;
	}
	return 0;
}

static struct address many(uint16_t port)
{
	struct address address = { .kind = ADDRESS_TCP, .host = "many.test", .port = port };
	return address;
}

START_TEST(the_address_that_answers_is_found)
{
	struct loop *loop = new_loop();
	struct end end = { 0 };
	uint16_t port = 0;
	const int listening = listen_tcp(AF_INET, &port);
	const struct address address = many(port);
	ck_error_is(stream_connect(loop, &(struct stream_target){ .address = &address, .allow_local = true }, &end_events,
	                           &end, &end.stream),
	            OK);
	run_until(loop, end.opens + end.closes > 0);
	ck_assert(end.opens == 1 && end.closes == 0);
	struct peer peer = { .fd = accept(listening, NULL, NULL) };
	ck_error_is(stream_write(end.stream, "ping", 4), OK);
	run_until(loop, peer_pull(&peer) == 4);
	peer_close(&peer);
	run_until(loop, end.closes == 1);
	ck_error_is(end.why, ERROR_CLOSED);
	end_close(&end);
	close(listening);
	loop_free(&loop);
}
END_TEST

START_TEST(none_answers)
{
	struct loop *loop = new_loop();
	struct end end = { 0 };
	uint16_t port = 0;
	close(listen_tcp(AF_INET, &port));
	const struct address address = many(port);
	ck_error_is(stream_connect(loop, &(struct stream_target){ .address = &address, .allow_local = true }, &end_events,
	                           &end, &end.stream),
	            OK);
	run_until(loop, end.closes == 1);
	run_turns(loop, 10);
	ck_assert(end.opens == 0 && end.closes == 1);
	ck_error_is(end.why, ERROR_REFUSED);
	end_close(&end);
	loop_free(&loop);
}
END_TEST

/* At any moment: in the lookup, between two addresses, with the connection up. */
START_TEST(closing_at_any_turn)
{
	struct loop *loop = new_loop();
	uint16_t port = 0;
	const int listening = listen_tcp(AF_INET, &port);
	const struct address address = many(port);
	for (int turns = 0; turns < 40; turns++) {
		struct end end = { 0 };
		ck_error_is(stream_connect(loop, &(struct stream_target){ .address = &address, .allow_local = true },
		                           &end_events, &end, &end.stream),
		            OK);
		for (int turn = 0; turn < turns && !end.opens; turn++)
			uv_run(&loop->uv, UV_RUN_ONCE);
		end_close(&end);
		ck_assert_int_eq(end.closes, 0);
		close(accept(listening, NULL, NULL));
	}
	loop_free(&loop);
	close(listening);
}
END_TEST

/* The same name, that the config does not allow to lead here. */
START_TEST(a_name_that_leads_to_this_machine_is_refused)
{
	struct loop *loop = new_loop();
	uint16_t port = 0;
	const int listening = listen_tcp(AF_INET, &port);
	const struct address address = many(port);
	for (int i = 0; i < 2; i++) {
		struct end end = { 0 };
		/* The second time the answer is there at once, and nothing can begin. */
		enum error error =
			stream_connect(loop, &(struct stream_target){ .address = &address }, &end_events, &end, &end.stream);
		if (i == 0) {
			ck_error_is(error, OK);
			run_until(loop, end.closes == 1);
			error = end.why;
		}
		ck_error_is(error, ERROR_ADDRESS_FORBIDDEN);
		run_turns(loop, 5);
		ck_assert_int_eq(end.opens, 0);
		ck_assert_int_lt(accept(listening, NULL, NULL), 0);
		end_close(&end);
	}
	close(listening);
	loop_free(&loop);
}
END_TEST

START_TEST(the_address_that_answered_comes_first_next_time)
{
	struct loop *loop = new_loop();
	uint16_t port = 0;
	const int listening = listen_tcp(AF_INET, &port);
	const struct address address = many(port);
	for (int i = 0; i < 2; i++) {
		struct end end = { 0 };
		ck_error_is(stream_connect(loop, &(struct stream_target){ .address = &address, .allow_local = true },
		                           &end_events, &end, &end.stream),
		            OK);
		run_until(loop, end.opens == 1);
		ck_assert_int_eq(end.closes, 0);
		end_close(&end);
		struct resolve_answer answer;
		struct resolve_waiter waiter = { 0 };
		ck_error_is(resolver_get(loop_resolver(loop), "many.test", loop_now_ns(loop), &waiter, &answer), OK);
		ck_assert_uint_eq(answer.count, 3);
		ck_assert_uint_eq(ntohl(answer.addresses[0].v4.sin_addr.s_addr), INADDR_LOOPBACK);
	}
	close(listening);
	loop_free(&loop);
}
END_TEST

static void set_flag(void *argument)
{
	*(bool *)argument = true;
}

static void do_nothing(void *argument)
{
	(void)argument;
}

/* More names that take for ever than libuv has threads; those who wait leave, or hear of it at last. */
START_TEST(slow_lookups_hold_up_no_other_work)
{
	struct loop *loop = new_loop();
	struct end ends[8] = { 0 };
	bool is_done = false;
	ck_assert_int_eq(pipe2(gate, O_CLOEXEC), 0);
	for (int i = 0; i < 8; i++) {
		struct address address = { .kind = ADDRESS_TCP, .port = 1 };
		snprintf(address.host, sizeof(address.host), "slow-%d.test", i / 2);
		ck_error_is(stream_connect(loop, &(struct stream_target){ .address = &address }, &end_events, &ends[i],
		                           &ends[i].stream),
		            OK);
	}
	ck_error_is(work_start(loop, do_nothing, set_flag, &is_done), OK);
	run_until(loop, is_done);
	end_close(&ends[0]);
	ck_assert_int_eq(write(gate[1], "1234", 4), 4);
	for (int i = 1; i < 8; i++) {
		run_until(loop, ends[i].closes == 1);
		ck_error_is(ends[i].why, ERROR_NOT_FOUND);
		end_close(&ends[i]);
	}
	ck_assert_int_eq(ends[0].closes, 0);
	loop_free(&loop);
	close(gate[0]);
	close(gate[1]);
}
END_TEST

UNIT_MAIN("io/stream_names", the_address_that_answers_is_found, none_answers, closing_at_any_turn,
          a_name_that_leads_to_this_machine_is_refused, the_address_that_answered_comes_first_next_time,
          slow_lookups_hold_up_no_other_work)
