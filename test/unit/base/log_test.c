/* Lines arrive whole and in order from any thread; a blocked pipe drops and counts, and never holds a caller. */
#include "base/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/macros.h"
#include "unit.h"

/* A file in memory. */
static int open_memory(void)
{
	const int fd = memfd_create("log", MFD_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	return fd;
}

/* Everything that was written to a file. */
static void read_all(int fd, struct bytes *out)
{
	struct stat status;
	ck_assert_int_eq(fstat(fd, &status), 0);
	const size_t size = (size_t)status.st_size;
	bytes_init(out);
	ck_assert(bytes_reserve(out, size + 1));
	size_t done = 0;
	while (done < size) {
		const ssize_t got = pread(fd, out->data + done, size - done, (off_t)done);
		ck_assert_int_gt(got, 0);
		done += (size_t)got;
	}
	out->len = size;
	(void)close(fd);
}

/* Cuts the next line off `rest`. */
static bool next_line(struct span *rest, struct span *line)
{
	if (rest->len == 0)
		return false;
	const size_t end = span_find(*rest, '\n');
	ck_assert_msg(end < rest->len, "the last line is torn");
	*line = (struct span){ rest->at, end };
	*rest = (struct span){ rest->at + end + 1, rest->len - end - 1 };
	return true;
}

START_TEST(a_line_is_a_json_object)
{
	const int fd = open_memory();
	log_start(fd, LOG_INFO);
	log_line(LOG_WARNING, "replica \"%s\" is %d%% busy\n", "a", 7);
	log_stop();
	struct bytes text;
	read_all(fd, &text);
	struct span rest = bytes_span(&text), line;
	ck_assert(next_line(&rest, &line));
	ck_assert_uint_eq(rest.len, 0);
	struct json json = { 0 };
	ck_error_is(json_parse(&json, line.at, line.len, 1, NULL), OK);
	ck_span_is(json_raw(&json, json_get(&json, JSON_ROOT, "level")), "\"warning\"");
	ck_span_is(json_raw(&json, json_get(&json, JSON_ROOT, "what")), "\"replica \\\"a\\\" is 7% busy\\n\"");
	const struct span when = json_raw(&json, json_get(&json, JSON_ROOT, "time"));
	ck_assert_uint_eq(when.len, sizeof("\"2026-01-01T00:00:00.000Z\"") - 1);
	ck_assert(when.at[11] == 'T' && when.at[20] == '.' && when.at[24] == 'Z');
	json_fini(&json);
	bytes_fini(&text);
}
END_TEST

START_TEST(levels_are_kept_and_changed)
{
	const int fd = open_memory();
	log_start(fd, LOG_WARNING);
	log_line(LOG_ERROR, "one");
	log_line(LOG_WARNING, "two");
	log_line(LOG_INFO, "not this");
	log_line(LOG_DEBUG, "nor this");
	log_set_level(LOG_DEBUG);
	log_line(LOG_DEBUG, "three");
	log_set_level(LOG_ERROR);
	log_line(LOG_WARNING, "not this");
	log_json(SPAN("{\"row\":1}")); /* whatever the level */
	log_json((struct span){ 0 });
	log_stop();
	struct bytes text;
	read_all(fd, &text);
	static const char *const wanted[] = { "one", "two", "three", "{\"row\":1}" };
	struct span rest = bytes_span(&text), line;
	for (size_t i = 0; i < COUNT_OF(wanted); i++) {
		ck_assert(next_line(&rest, &line));
		ck_assert_ptr_nonnull(memmem(line.at, line.len, wanted[i], strlen(wanted[i])));
	}
	ck_assert_uint_eq(rest.len, 0);
	ck_assert_uint_eq(log_dropped(), 0);
	bytes_fini(&text);
}
END_TEST

#define WRITERS 4
#define LINES_EACH 3000

static void *write_rows(void *number)
{
	const int writer = *(const int *)number;
	struct bytes row = { 0 };
	for (int i = 0; i < LINES_EACH; i++) {
		bytes_clear(&row);
		bytes_printf(&row, "{\"writer\":%d,\"i\":%d,\"pad\":\"%.*s\"}", writer, i, i % 50,
		             "--------------------------------------------------");
		log_json(bytes_span(&row));
		if (i % 100 == 0)
			log_line(LOG_DEBUG, "below the level");
	}
	bytes_fini(&row);
	return NULL;
}

/* Each writer's rows are in order and whole; returns how many there are. */
static uint64_t check_rows(struct span rest)
{
	struct json json = { 0 };
	int64_t last[WRITERS];
	memset(last, 0xff, sizeof(last)); /* -1 */
	uint64_t rows = 0;
	struct span line;
	while (next_line(&rest, &line)) {
		ck_error_is(json_parse(&json, line.at, line.len, 1, NULL), OK);
		int64_t writer = -1, i = -1;
		ck_error_is(json_int64(&json, json_get(&json, JSON_ROOT, "writer"), &writer), OK);
		ck_error_is(json_int64(&json, json_get(&json, JSON_ROOT, "i"), &i), OK);
		ck_assert(writer >= 0 && writer < WRITERS && i > last[writer]);
		last[writer] = i;
		rows++;
	}
	json_fini(&json);
	return rows;
}

START_TEST(threads_share_the_ring)
{
	const int fd = open_memory();
	log_start(fd, LOG_INFO);
	pthread_t threads[WRITERS];
	int numbers[WRITERS];
	for (int i = 0; i < WRITERS; i++) {
		numbers[i] = i;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, write_rows, &numbers[i]), 0);
	}
	for (int i = 0; i < WRITERS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	log_stop();
	struct bytes text;
	read_all(fd, &text);
	const uint64_t rows = check_rows(bytes_span(&text));
	ck_assert_uint_eq(rows + log_dropped(), WRITERS * LINES_EACH);
	ck_assert_uint_gt(rows, 0);
	bytes_fini(&text);
}
END_TEST

START_TEST(a_blocked_pipe_drops_and_counts)
{
	int ends[2];
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	log_start(ends[1], LOG_INFO);
	char object[1024];
	memset(object, 'x', sizeof(object));
	/* Far more than the pipe and the ring hold; nobody reads. */
	for (int i = 0; i < 1000; i++)
		log_json((struct span){ object, sizeof(object) });
	ck_assert_uint_gt(log_dropped(), 500);
	const int64_t start_ns = clock_now_ns();
	log_stop();
	ck_assert_int_lt(clock_now_ns() - start_ns, 10 * NS_PER_S);
	/* The pipe holds what was written; all else is counted, the line torn at the end too. */
	(void)close(ends[1]);
	static char got[1 << 20];
	size_t len = 0;
	ssize_t part;
	while ((part = read(ends[0], got + len, sizeof(got) - len)) > 0)
		len += (size_t)part;
	(void)close(ends[0]);
	ck_assert_uint_gt(len, 0);
	ck_assert_uint_eq(len / (sizeof(object) + 1) + log_dropped(), 1000);
}
END_TEST

START_TEST(a_closed_pipe_is_no_signal)
{
	int ends[2];
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	(void)close(ends[0]);
	(void)signal(SIGPIPE, SIG_DFL);
	log_start(ends[1], LOG_INFO);
	log_json(SPAN("{}"));
	log_json(SPAN("{}"));
	log_stop();
	ck_assert_uint_eq(log_dropped(), 2);
	(void)close(ends[1]);
}
END_TEST

START_TEST(a_nonblocking_pipe_is_waited_for)
{
	int ends[2];
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	log_start(ends[1], LOG_INFO);
	char object[999];
	memset(object, 'x', sizeof(object));
	for (int i = 0; i < 200; i++) /* 200 KB: more than the pipe, less than the ring */
		log_json((struct span){ object, sizeof(object) });
	size_t len = 0;
	char part[4096];
	while (len < 200 * 1000) {
		const ssize_t got = read(ends[0], part, sizeof(part));
		len += got > 0 ? (size_t)got : 0;
	}
	log_stop();
	ck_assert_uint_eq(log_dropped(), 0);
	ck_assert_uint_eq(len, 200 * 1000);
	(void)close(ends[0]);
	(void)close(ends[1]);
}
END_TEST

START_TEST(a_line_longer_than_the_ring_is_dropped)
{
	const int fd = open_memory();
	log_start(fd, LOG_INFO);
	struct bytes object = { 0 };
	while (object.len < 262144)
		bytes_append_text(&object, "0123456789abcdef");
	log_json(bytes_span(&object));
	ck_assert_uint_eq(log_dropped(), 1);
	object.len = 262143; /* with its line end it fills the ring exactly */
	log_json(bytes_span(&object));
	log_stop();
	ck_assert_uint_eq(log_dropped(), 1);
	struct bytes text;
	read_all(fd, &text);
	ck_assert_uint_eq(text.len, 262144);
	bytes_fini(&text);
	bytes_fini(&object);
}
END_TEST

START_TEST(without_a_writer_lines_go_to_standard_error)
{
	const int fd = open_memory();
	const int kept = dup(STDERR_FILENO);
	ck_assert_int_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	log_line(LOG_INFO, "before");
	const int other = open_memory();
	log_start(other, LOG_INFO);
	log_line(LOG_INFO, "during");
	log_stop();
	log_stop(); /* does nothing */
	log_json(SPAN("{\"after\":1}"));
	(void)dup2(kept, STDERR_FILENO);
	(void)close(kept);
	struct bytes text;
	read_all(fd, &text);
	struct span rest = bytes_span(&text), line;
	ck_assert(next_line(&rest, &line));
	ck_assert_ptr_nonnull(memmem(line.at, line.len, "before", 6));
	ck_assert(next_line(&rest, &line));
	ck_span_is(line, "{\"after\":1}");
	ck_assert_uint_eq(rest.len, 0);
	bytes_fini(&text);
	read_all(other, &text);
	ck_assert_ptr_nonnull(strstr(bytes_text(&text), "during"));
	bytes_fini(&text);
}
END_TEST

UNIT_MAIN("base/log", a_line_is_a_json_object, levels_are_kept_and_changed, threads_share_the_ring,
          a_blocked_pipe_drops_and_counts, a_closed_pipe_is_no_signal, a_nonblocking_pipe_is_waited_for,
          a_line_longer_than_the_ring_is_dropped, without_a_writer_lines_go_to_standard_error)
