#include "policy/promise.h"

#include <string.h>

#include "base/macros.h"

static const char *const texts[INDICATORS] = { "ttft", "tpot", "e2e", "refuse", "checks", "cost" };

const char *const *indicator_texts(void)
{
	return texts;
}

static struct promise_bucket *bucket_of(struct promise_window *window, int64_t number)
{
	return &window->buckets[number % PROMISE_BUCKETS_MAX];
}

/* Empties the buckets that come round again. */
static void turn(struct promise_window *window, int64_t now_ns)
{
	int64_t number = now_ns / PROMISE_BUCKET_NS;
	if (number - window->newest >= PROMISE_BUCKETS_MAX)
		memset(window->buckets, 0, sizeof(window->buckets));
	else
		for (int64_t i = window->newest + 1; i <= number; i++)
			*bucket_of(window, i) = (struct promise_bucket){ 0 };
	window->newest = max_ll(number, window->newest);
}

void promise_window_add(struct promise_window *window, int64_t now_ns, uint32_t eligible, uint32_t met)
{
	turn(window, now_ns);
	struct promise_bucket *bucket = bucket_of(window, window->newest);
	bucket->eligible += eligible;
	bucket->met += met;
}

struct promise_view promise_window_view(struct promise_window *window, int64_t now_ns, int64_t window_ns, double share,
                                        uint64_t min_samples)
{
	struct promise_view view = { .attainment = 1, .state = PROMISE_UNKNOWN };
	turn(window, now_ns);
	int64_t count = min_ll((window_ns + PROMISE_BUCKET_NS - 1) / PROMISE_BUCKET_NS, PROMISE_BUCKETS_MAX);
	for (int64_t i = 0; i < count && i <= window->newest; i++) {
		const struct promise_bucket *bucket = bucket_of(window, window->newest - i);
		view.eligible += bucket->eligible;
		view.met += bucket->met;
	}
	if (view.eligible)
		view.attainment = (double)view.met / (double)view.eligible;
	if (view.eligible && view.eligible >= min_samples)
		view.state = (double)view.met >= share * (double)view.eligible ? PROMISE_KEPT : PROMISE_BROKEN;
	return view;
}
