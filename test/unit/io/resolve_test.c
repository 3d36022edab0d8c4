/* The cache of names, over lookups that the test answers when it likes, and the addresses that names must not lead to. */
#include "io/resolve.h"

#include "unit.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"

#define START_NS (1000 * NS_PER_S)

/* What was asked to be looked up, and somebody who waits. */
struct desk {
	struct resolver *resolver;
	int starts;
	char host[64];
	enum error refuses;
};

struct asker {
	struct resolve_waiter waiter;
	int dones;
	enum error why;
	unsigned count;
	struct desk *asks_again;
	struct asker *cancels;
};

static enum error start(void *context, const char *host)
{
	struct desk *desk = context;
	if (desk->refuses)
		return desk->refuses;
	desk->starts++;
	snprintf(desk->host, sizeof(desk->host), "%s", host);
	return OK;
}

static void on_done(struct resolve_waiter *waiter, enum error why, const struct resolve_answer *answer)
{
	struct asker *asker = container_of(waiter, struct asker, waiter);
	ck_assert_int_eq(asker->dones++, 0);
	ck_assert((why == OK) == (answer != NULL));
	asker->why = why;
	asker->count = answer ? answer->count : 0;
	if (asker->cancels)
		resolve_waiter_cancel(&asker->cancels->waiter);
	if (asker->asks_again) {
		struct resolve_answer out;
		enum error error = resolver_get(asker->asks_again->resolver, "other.test", START_NS, waiter, &out);
		ck_error_is(error, ERROR_BUSY);
	}
}

static struct resolve_answer answer_of(const char *const *texts, unsigned count)
{
	struct resolve_answer answer = { .count = count };
	for (unsigned i = 0; i < count; i++) {
		answer.addresses[i].v4.sin_family = AF_INET;
		ck_assert_int_eq(inet_pton(AF_INET, texts[i], &answer.addresses[i].v4.sin_addr), 1);
	}
	return answer;
}

static const char *const texts[] = { "10.0.0.1", "10.0.0.2", "10.0.0.3" };

static void desk_init(struct desk *desk)
{
	*desk = (struct desk){ 0 };
	ck_error_is(resolver_new(start, desk, &desk->resolver), OK);
}

static enum error ask(struct desk *desk, const char *host, int64_t now_ns, struct asker *asker,
                      struct resolve_answer *out)
{
	asker->waiter.done = on_done;
	return resolver_get(desk->resolver, host, now_ns, &asker->waiter, out);
}

static void answer(struct desk *desk, unsigned count, int64_t now_ns)
{
	const struct resolve_answer found = answer_of(texts, count);
	resolver_answer(desk->resolver, "a.test", OK, &found, now_ns);
}

static const char *first_of(const struct resolve_answer *found)
{
	static char text[INET_ADDRSTRLEN];
	return inet_ntop(AF_INET, &found->addresses[0].v4.sin_addr, text, sizeof(text));
}

START_TEST(one_lookup_for_all_who_wait)
{
	struct desk desk;
	struct asker askers[3] = { 0 };
	struct resolve_answer out;
	desk_init(&desk);
	for (size_t i = 0; i < COUNT_OF(askers); i++)
		ck_error_is(ask(&desk, "a.test", START_NS, &askers[i], &out), ERROR_BUSY);
	ck_assert_int_eq(desk.starts, 1);
	ck_assert_str_eq(desk.host, "a.test");
	resolve_waiter_cancel(&askers[1].waiter);
	resolve_waiter_cancel(&askers[1].waiter);
	answer(&desk, 2, START_NS);
	ck_assert(askers[0].dones == 1 && askers[1].dones == 0 && askers[2].dones == 1);
	ck_assert(askers[0].why == OK && askers[0].count == 2);
	struct asker late = { 0 };
	ck_error_is(ask(&desk, "a.test", START_NS + 1, &late, &out), OK);
	ck_assert(late.dones == 0 && out.count == 2 && desk.starts == 1);
	resolver_free(&desk.resolver);
}
END_TEST

/* A lookup that never ends holds up nobody but those who wait for that name. */
START_TEST(a_slow_name_is_alone)
{
	struct desk desk;
	struct asker slow = { 0 }, other = { 0 };
	struct resolve_answer out;
	desk_init(&desk);
	ck_error_is(ask(&desk, "slow.test", START_NS, &slow, &out), ERROR_BUSY);
	ck_error_is(ask(&desk, "a.test", START_NS, &other, &out), ERROR_BUSY);
	answer(&desk, 1, START_NS);
	ck_assert(other.dones == 1 && slow.dones == 0);
	ck_error_is(ask(&desk, "slow.test", START_NS + 60 * NS_PER_S, &other, &out), ERROR_BUSY);
	ck_assert_int_eq(desk.starts, 2);
	resolve_waiter_cancel(&slow.waiter);
	resolve_waiter_cancel(&other.waiter);
	resolver_free(&desk.resolver);
}
END_TEST

START_TEST(an_old_answer_serves_while_a_new_one_is_fetched)
{
	struct desk desk;
	struct asker asker = { 0 };
	struct resolve_answer out;
	int64_t now_ns = START_NS;
	desk_init(&desk);
	ck_error_is(ask(&desk, "a.test", now_ns, &asker, &out), ERROR_BUSY);
	answer(&desk, 1, now_ns);
	now_ns += RESOLVE_FRESH_NS - 1;
	ck_error_is(ask(&desk, "a.test", now_ns, &asker, &out), OK);
	ck_assert_int_eq(desk.starts, 1);
	now_ns++;
	ck_error_is(ask(&desk, "a.test", now_ns, &asker, &out), OK);
	ck_error_is(ask(&desk, "a.test", now_ns, &asker, &out), OK);
	ck_assert(desk.starts == 2 && out.count == 1);
	answer(&desk, 3, now_ns);
	ck_error_is(ask(&desk, "a.test", now_ns, &asker, &out), OK);
	ck_assert(desk.starts == 2 && out.count == 3 && asker.dones == 1);
	resolver_free(&desk.resolver);
}
END_TEST

START_TEST(failures_are_bridged_for_five_minutes)
{
	struct desk desk;
	struct asker asker = { 0 }, waiting = { 0 };
	struct resolve_answer out;
	desk_init(&desk);
	ck_error_is(ask(&desk, "a.test", START_NS, &asker, &out), ERROR_BUSY);
	answer(&desk, 1, START_NS);
	const int64_t end_ns = START_NS + RESOLVE_FRESH_NS + RESOLVE_STALE_NS;
	int64_t now_ns = START_NS + RESOLVE_FRESH_NS;
	for (int starts = 2; now_ns < end_ns; now_ns += RESOLVE_RETRY_NS, starts++) {
		ck_error_is(ask(&desk, "a.test", now_ns, &asker, &out), OK);
		ck_assert_int_eq(desk.starts, starts);
		resolver_answer(desk.resolver, "a.test", ERROR_NOT_FOUND, NULL, now_ns);
		/* Not again at once. */
		ck_error_is(ask(&desk, "a.test", now_ns + 1, &asker, &out), OK);
		ck_assert_int_eq(desk.starts, starts);
	}
	ck_error_is(ask(&desk, "a.test", now_ns, &waiting, &out), ERROR_BUSY);
	resolver_answer(desk.resolver, "a.test", ERROR_NOT_FOUND, NULL, now_ns);
	ck_assert_int_eq(waiting.dones, 1);
	ck_error_is(waiting.why, ERROR_NOT_FOUND);
	ck_error_is(ask(&desk, "a.test", now_ns + RESOLVE_RETRY_NS - 1, &asker, &out), ERROR_NOT_FOUND);
	/* A lookup that can't start is a failure, too. */
	desk.refuses = ERROR_MEMORY;
	ck_error_is(ask(&desk, "a.test", now_ns + RESOLVE_RETRY_NS, &asker, &out), ERROR_MEMORY);
	desk.refuses = OK;
	ck_error_is(ask(&desk, "a.test", now_ns + RESOLVE_RETRY_NS, &asker, &out), ERROR_BUSY);
	asker.dones = 0;
	answer(&desk, 0, now_ns + RESOLVE_RETRY_NS);
	ck_error_is(asker.why, ERROR_NOT_FOUND);
	resolver_free(&desk.resolver);
}
END_TEST

START_TEST(an_address_that_fails_goes_to_the_end)
{
	struct desk desk;
	struct asker asker = { 0 };
	struct resolve_answer out;
	const struct resolve_answer all = answer_of(texts, 3);
	desk_init(&desk);
	ck_error_is(ask(&desk, "a.test", START_NS, &asker, &out), ERROR_BUSY);
	answer(&desk, 3, START_NS);
	ck_error_is(ask(&desk, "a.test", START_NS, &asker, &out), OK);
	ck_assert_str_eq(first_of(&out), "10.0.0.1");
	resolver_note_failure(desk.resolver, "a.test", &all.addresses[0].any);
	/* Told twice, by two connections that began together. */
	resolver_note_failure(desk.resolver, "a.test", &all.addresses[0].any);
	ck_error_is(ask(&desk, "a.test", START_NS, &asker, &out), OK);
	ck_assert_str_eq(first_of(&out), "10.0.0.2");
	ck_assert_uint_eq(out.count, 3);
	/* A new answer in the old order does not bring the dead one back to the front. */
	ck_error_is(ask(&desk, "a.test", START_NS + RESOLVE_FRESH_NS, &asker, &out), OK);
	answer(&desk, 3, START_NS + RESOLVE_FRESH_NS);
	ck_error_is(ask(&desk, "a.test", START_NS + RESOLVE_FRESH_NS, &asker, &out), OK);
	ck_assert_str_eq(first_of(&out), "10.0.0.2");
	resolver_note_failure(desk.resolver, "unknown.test", &all.addresses[0].any);
	resolver_free(&desk.resolver);
}
END_TEST

START_TEST(waiters_may_do_as_they_like)
{
	struct desk desk;
	struct asker first = { 0 }, second = { 0 };
	struct resolve_answer out;
	desk_init(&desk);
	ck_error_is(ask(&desk, "a.test", START_NS, &first, &out), ERROR_BUSY);
	ck_error_is(ask(&desk, "a.test", START_NS, &second, &out), ERROR_BUSY);
	second.cancels = &first;
	second.asks_again = &desk;
	answer(&desk, 1, START_NS);
	ck_assert(first.dones == 0 && second.dones == 1 && desk.starts == 2);
	resolve_waiter_cancel(&second.waiter);
	resolver_free(&desk.resolver);
}
END_TEST

START_TEST(names_out_of_use_are_forgotten)
{
	struct desk desk;
	struct asker asker = { 0 };
	struct resolve_answer out;
	char host[32];
	desk_init(&desk);
	ck_error_is(ask(&desk, "a.test", START_NS, &asker, &out), ERROR_BUSY);
	answer(&desk, 1, START_NS);
	for (int i = 0; i < 300; i++) {
		struct asker other = { 0 };
		snprintf(host, sizeof(host), "name-%d.test", i);
		ck_error_is(ask(&desk, host, START_NS, &other, &out), ERROR_BUSY);
		resolver_answer(desk.resolver, host, ERROR_NOT_FOUND, NULL, START_NS);
	}
	ck_error_is(ask(&desk, "a.test", START_NS, &asker, &out), ERROR_BUSY);
	resolve_waiter_cancel(&asker.waiter);
	resolver_free(&desk.resolver);
}
END_TEST

static bool is_local(const char *text)
{
	union resolve_address address = { 0 };
	if (inet_pton(AF_INET, text, &address.v4.sin_addr) == 1)
		address.any.sa_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &address.v6.sin6_addr) == 1)
		address.any.sa_family = AF_INET6;
	else
		ck_abort_msg("%s", text);
	return resolve_is_local(&address.any);
}

START_TEST(addresses_of_this_machine)
{
	static const char *const local[] = { "127.0.0.1",
		                                 "127.255.255.254",
		                                 "0.0.0.0",
		                                 "0.1.2.3",
		                                 "169.254.169.254",
		                                 "224.0.0.1",
		                                 "239.255.255.255",
		                                 "255.255.255.255",
		                                 "::",
		                                 "::1",
		                                 "fe80::1",
		                                 "febf::1",
		                                 "ff02::1",
		                                 "::ffff:127.0.0.1",
		                                 "::ffff:0.0.0.0",
		                                 "::ffff:169.254.1.1",
		                                 "64:ff9b::7f00:0001" };
	static const char *const elsewhere[] = { "10.0.0.1",        "192.168.1.1", "172.16.0.1",  "8.8.8.8",
		                                     "126.255.255.255", "128.0.0.1",   "169.253.1.1", "223.255.255.255",
		                                     "fec0::1",         "fd00::1",     "2001:db8::1", "::ffff:10.0.0.1",
		                                     "64:ff9b::808:808" };
	for (size_t i = 0; i < COUNT_OF(local); i++)
		ck_assert_msg(is_local(local[i]), "%s", local[i]);
	for (size_t i = 0; i < COUNT_OF(elsewhere); i++)
		ck_assert_msg(!is_local(elsewhere[i]), "%s", elsewhere[i]);
}
END_TEST

UNIT_MAIN("io/resolve", one_lookup_for_all_who_wait, a_slow_name_is_alone,
          an_old_answer_serves_while_a_new_one_is_fetched, failures_are_bridged_for_five_minutes,
          an_address_that_fails_goes_to_the_end, waiters_may_do_as_they_like, names_out_of_use_are_forgotten,
          addresses_of_this_machine)
