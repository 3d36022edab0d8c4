/* Writing: nothing is lost, doubled or reordered however slowly the other side reads, and closing after writing delivers all of it. */
#include "io/stream.h"

#include "end.h"

#include "base/random.h"

#define LARGE_BYTES (3 << 20)
#define LINGER_NS (60 * NS_PER_S)

/* Bytes that tell their place. */
static struct bytes pattern(size_t len)
{
	struct bytes bytes = { 0 };
	struct random random;
	random_seed(&random, 7);
	ck_assert(bytes_reserve(&bytes, len));
	while (bytes.len < len) {
		const uint64_t value = random_u64(&random);
		const size_t left = len - bytes.len;
		bytes_append(&bytes, &value, left < sizeof(value) ? left : sizeof(value));
	}
	return bytes;
}

static void ck_same(const struct bytes *got, const struct bytes *wanted)
{
	ck_assert_uint_eq(got->len, wanted->len);
	ck_assert(memcmp(got->data, wanted->data, wanted->len) == 0);
}

START_TEST(what_the_kernel_takes_is_not_queued)
{
	struct loop *loop = new_loop();
	struct end end;
	struct peer peer;
	adopt_pair(loop, &end, &peer);
	ck_error_is(stream_write(end.stream, "now", 3), OK);
	ck_assert_uint_eq(stream_queued_bytes(end.stream), 0);
	ck_error_is(stream_write(end.stream, "", 0), OK);
	ck_error_is(stream_write_spans(end.stream, NULL, 0), OK);
	ck_assert_uint_eq(peer_pull(&peer), 3);
	run_turns(loop, 5);
	ck_assert_int_eq(end.drains, 0);
	end_close(&end);
	peer_close(&peer);
	loop_free(&loop);
}
END_TEST

START_TEST(the_rest_is_queued_and_drains)
{
	struct loop *loop = new_loop();
	struct end end;
	struct peer peer;
	struct bytes data = pattern(LARGE_BYTES);
	adopt_pair(loop, &end, &peer);
	ck_error_is(stream_write(end.stream, data.data, LARGE_BYTES / 2), OK);
	const size_t queued = stream_queued_bytes(end.stream);
	ck_assert(queued > 0 && queued < LARGE_BYTES / 2);
	ck_error_is(stream_write(end.stream, data.data + LARGE_BYTES / 2, LARGE_BYTES / 2), OK);
	ck_assert_uint_eq(stream_queued_bytes(end.stream), queued + LARGE_BYTES / 2);
	run_turns(loop, 5);
	ck_assert_int_eq(end.drains, 0);
	run_until(loop, peer_pull_some(&peer, 50000) == LARGE_BYTES && end.drains == 1);
	ck_same(&peer.got, &data);
	ck_assert_uint_eq(stream_queued_bytes(end.stream), 0);
	end_close(&end);
	peer_close(&peer);
	bytes_fini(&data);
	loop_free(&loop);
}
END_TEST

START_TEST(pieces_keep_their_order)
{
	struct loop *loop = new_loop();
	struct end end;
	struct peer peer;
	struct bytes data = pattern(LARGE_BYTES);
	struct random random;
	size_t written = 0;
	random_seed(&random, 3);
	adopt_pair_tcp(loop, &end, &peer);
	while (written < data.len) {
		struct span pieces[8];
		const size_t count = 1 + random_below(&random, 8);
		for (size_t i = 0; i < count; i++) {
			const size_t left = data.len - written;
			const size_t len = random_below(&random, 3) ? random_below(&random, 60000) : 0;
			pieces[i] = (struct span){ data.data + written, len < left ? len : left };
			written += pieces[i].len;
		}
		ck_error_is(stream_write_spans(end.stream, pieces, count), OK);
		if (random_below(&random, 2)) {
			peer_pull_some(&peer, 30000);
			run_turns(loop, 1);
		}
	}
	run_until(loop, peer_pull(&peer) == data.len);
	ck_same(&peer.got, &data);
	end_close(&end);
	peer_close(&peer);
	bytes_fini(&data);
	loop_free(&loop);
}
END_TEST

START_TEST(closing_loses_what_is_queued)
{
	struct loop *loop = new_loop();
	struct end end;
	struct peer peer;
	struct bytes data = pattern(LARGE_BYTES);
	adopt_pair(loop, &end, &peer);
	ck_error_is(stream_write(end.stream, data.data, data.len), OK);
	end_close(&end);
	run_until(loop, peer_ended(&peer));
	ck_assert_uint_lt(peer.got.len, data.len);
	ck_assert_int_eq(end.drains + end.closes, 0);
	peer_close(&peer);
	bytes_fini(&data);
	loop_free(&loop);
}
END_TEST

static void check_delivery(bool is_tcp, bool peer_shuts_down, bool paused)
{
	struct loop *loop = new_loop();
	struct end end;
	struct peer peer;
	struct bytes data = pattern(LARGE_BYTES);
	if (is_tcp)
		adopt_pair_tcp(loop, &end, &peer);
	else
		adopt_pair(loop, &end, &peer);
	if (paused)
		stream_pause(end.stream);
	ck_error_is(stream_write(end.stream, data.data, data.len), OK);
	/* Said meanwhile and never read by anybody: it must not turn the end into a reset. */
	peer_say(&peer, "what nobody wants");
	if (peer_shuts_down)
		shutdown(peer.fd, SHUT_WR);
	stream_close_after_writing(&end.stream, LINGER_NS);
	ck_assert_ptr_null(end.stream);
	run_turns(loop, 10);
	run_until(loop, (peer_pull_some(&peer, 70000), peer.has_ended));
	ck_assert_int_eq(peer.error, 0);
	ck_same(&peer.got, &data);
	ck_assert(end.reads == 0 && end.closes == 0 && end.drains == 0);
	peer_close(&peer);
	run_turns(loop, 10);
	bytes_fini(&data);
	loop_free(&loop);
}

START_TEST(closing_after_writing_delivers_everything)
{
	for (int i = 0; i < 8; i++)
		check_delivery(i & 1, i & 2, i & 4);
}
END_TEST

START_TEST(lingering_has_an_end)
{
	struct loop *loop = new_loop();
	struct end end;
	struct peer peer;
	struct bytes data = pattern(LARGE_BYTES);
	adopt_pair(loop, &end, &peer);
	ck_error_is(stream_write(end.stream, data.data, data.len), OK);
	stream_close_after_writing(&end.stream, NS_PER_MS);
	struct timer timer;
	timer_init(&timer, loop, turn_soon);
	timer_start_after(&timer, 5 * NS_PER_MS);
	/* Nobody reads; the timer that fires after the linger's own says that it is over. */
	const int64_t due_ns = clock_now_ns() + 5 * NS_PER_MS;
	run_until(loop, clock_now_ns() > due_ns);
	timer_stop(&timer);
	run_until(loop, peer_ended(&peer));
	ck_assert_uint_lt(peer.got.len, data.len);
	peer_close(&peer);
	bytes_fini(&data);
	loop_free(&loop);
}
END_TEST

/* Also an end: the other side saw all and closes; or the loop goes. Leaks would show in the sanitized build. */
START_TEST(a_loop_that_ends_under_lingering_streams)
{
	struct loop *loop = new_loop();
	struct end ends[3];
	struct peer peers[3];
	struct bytes data = pattern(LARGE_BYTES);
	for (int i = 0; i < 3; i++) {
		adopt_pair(loop, &ends[i], &peers[i]);
		ck_error_is(stream_write(ends[i].stream, data.data, i ? data.len : 10), OK);
		stream_close_after_writing(&ends[i].stream, LINGER_NS);
		run_turns(loop, i);
	}
	loop_free(&loop);
	for (int i = 0; i < 3; i++) {
		ck_assert(peer_ended(&peers[i]));
		peer_close(&peers[i]);
	}
	bytes_fini(&data);
}
END_TEST

START_TEST(a_reset_ends_lingering)
{
	struct loop *loop = new_loop();
	struct end end;
	struct peer peer;
	struct bytes data = pattern(LARGE_BYTES);
	adopt_pair_tcp(loop, &end, &peer);
	ck_error_is(stream_write(end.stream, data.data, data.len), OK);
	stream_close_after_writing(&end.stream, LINGER_NS);
	peer_reset(&peer);
	/* The loop has no stream left: only its own handles. */
	run_until(loop, !uv_loop_alive(&loop->uv) || loop->uv.active_handles <= 3);
	ck_assert_int_eq(end.closes, 0);
	bytes_fini(&data);
	loop_free(&loop);
}
END_TEST

UNIT_MAIN("io/stream_write", what_the_kernel_takes_is_not_queued, the_rest_is_queued_and_drains,
          pieces_keep_their_order, closing_loses_what_is_queued, closing_after_writing_delivers_everything,
          lingering_has_an_end, a_loop_that_ends_under_lingering_streams, a_reset_ends_lingering)
