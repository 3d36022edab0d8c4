/* The log sink: a ring of whole lines between the callers and one writer thread.
 *
 * Callers copy a line in under the lock, or count it as dropped when it does not fit; they never wait for the
 * descriptor. The writer owns the bytes from `tail` on for `filled` bytes: it writes them without the lock and gives
 * them back afterwards. Any thread may call; log_start and log_stop belong to the main thread. */
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/macros.h"

#define RING_BYTES ((size_t)256 * 1024)
#define STOP_WAIT_S 1

static struct sink {
	pthread_mutex_t lock;
	pthread_cond_t filled_changed; /* wakes the writer: bytes came, or it is to end */
	pthread_cond_t writer_ended;
	pthread_t writer;
	bool is_running; /* lines go into the ring */
	bool is_ending;
	bool has_ended;
	int fd;        /* borrowed */
	size_t tail;   /* where the oldest byte stands */
	size_t filled; /* bytes in the ring */
	_Atomic int level;
	_Atomic uint64_t dropped;
	char ring[RING_BYTES];
} sink = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.filled_changed = PTHREAD_COND_INITIALIZER,
	.writer_ended = PTHREAD_COND_INITIALIZER,
	.level = LOG_INFO,
};

static void lock_sink(void)
{
	MUST(pthread_mutex_lock(&sink.lock) == 0);
}

static void unlock_sink(void)
{
	MUST(pthread_mutex_unlock(&sink.lock) == 0);
}

static void count_dropped(uint64_t lines)
{
	atomic_fetch_add(&sink.dropped, lines);
}

/* One write, as far as it goes. 0 when the descriptor takes no more: its bytes are lost then. */
static size_t write_some(int fd, const char *data, size_t len)
{
	for (;;) {
		const ssize_t written = write(fd, data, len);
		if (written >= 0)
			return (size_t)written;
		if (errno == EAGAIN) {
			struct pollfd wanted = { .fd = fd, .events = POLLOUT };
			(void)poll(&wanted, 1, -1);
		} else if (errno != EINTR) {
			return 0;
		}
	}
}

/* ---- the writer thread ---- */

/* Without the lock, and the only place where the writer may be cancelled: a blocked pipe must not outlast log_stop. */
static size_t write_cancellably(const char *data, size_t len)
{
	(void)pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	const size_t written = write_some(sink.fd, data, len);
	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	return written;
}

static uint64_t count_lines(const char *data, size_t len)
{
	uint64_t lines = 0;
	for (size_t i = 0; i < len; i++)
		lines += data[i] == '\n';
	return lines;
}

/* The oldest bytes that stand in one piece. */
static struct span oldest_piece(void)
{
	const size_t to_edge = RING_BYTES - sink.tail;
	return (struct span){ sink.ring + sink.tail, sink.filled < to_edge ? sink.filled : to_edge };
}

static void give_back(size_t len)
{
	sink.tail = (sink.tail + len) % RING_BYTES;
	sink.filled -= len;
}

static void *write_lines(void *unused)
{
	(void)unused;
	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	lock_sink();
	while (sink.filled > 0 || !sink.is_ending) {
		if (sink.filled == 0) {
			(void)pthread_cond_wait(&sink.filled_changed, &sink.lock);
			continue;
		}
		const struct span piece = oldest_piece();
		unlock_sink();
		size_t taken = write_cancellably(piece.at, piece.len);
		if (taken == 0) {
			/* A full disk may have room again for the next piece; this one is gone. */
			count_dropped(count_lines(piece.at, piece.len));
			taken = piece.len;
		}
		lock_sink();
		give_back(taken);
	}
	sink.has_ended = true;
	(void)pthread_cond_signal(&sink.writer_ended);
	unlock_sink();
	return NULL;
}

/* ---- the callers' side ---- */

static void copy_in(const char *data, size_t len)
{
	const size_t head = (sink.tail + sink.filled) % RING_BYTES;
	const size_t to_edge = RING_BYTES - head;
	const size_t first = len < to_edge ? len : to_edge;
	memcpy(sink.ring + head, data, first);
	if (len > first)
		memcpy(sink.ring, data + first, len - first);
	sink.filled += len;
}

/* False when no writer runs. */
static bool offer(struct span object)
{
	lock_sink();
	const bool is_running = sink.is_running;
	if (is_running && object.len < RING_BYTES - sink.filled) {
		copy_in(object.at, object.len);
		copy_in("\n", 1);
		(void)pthread_cond_signal(&sink.filled_changed);
	} else if (is_running) {
		count_dropped(1);
	}
	unlock_sink();
	return is_running;
}

void log_json(struct span object)
{
	if (object.len == 0 || offer(object))
		return;
	/* One write for the line and its end, so that lines of several threads or processes stay whole. */
	struct bytes line;
	bytes_init(&line);
	bytes_append_span(&line, object);
	bytes_append_byte(&line, '\n');
	size_t done = bytes_ok(&line) ? 0 : line.len;
	while (done < line.len) {
		const size_t written = write_some(STDERR_FILENO, line.data + done, line.len - done);
		done = written == 0 ? line.len : done + written;
	}
	bytes_fini(&line);
}

static void append_time(struct bytes *line, int64_t wall_ns)
{
	const time_t seconds = (time_t)(wall_ns / NS_PER_S);
	struct tm utc;
	char text[sizeof("2026-01-01T00:00:00")] = "";
	if (gmtime_r(&seconds, &utc) != NULL)
		(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
	bytes_printf(line, "%s.%03dZ", text, (int)(wall_ns % NS_PER_S / NS_PER_MS));
}

void log_line(enum log_level level, const char *format, ...)
{
	static const char *const names[] = {
		[LOG_ERROR] = "error", [LOG_WARNING] = "warning", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"
	};
	MUST((unsigned)level < COUNT_OF(names));
	if ((int)level > atomic_load(&sink.level))
		return;
	struct bytes what;
	struct bytes line;
	bytes_init(&what);
	bytes_init(&line);
	va_list arguments;
	va_start(arguments, format);
	bytes_vprintf(&what, format, arguments);
	va_end(arguments);
	bytes_append_text(&line, "{\"time\":\"");
	append_time(&line, clock_wall_ns());
	bytes_printf(&line, "\",\"level\":\"%s\",\"what\":", names[level]);
	json_write_string(&line, bytes_span(&what));
	bytes_append_byte(&line, '}');
	if (bytes_ok(&what) && bytes_ok(&line))
		log_json(bytes_span(&line));
	else
		count_dropped(1);
	bytes_fini(&line);
	bytes_fini(&what);
}

void log_set_level(enum log_level level)
{
	atomic_store(&sink.level, (int)level);
}

uint64_t log_dropped(void)
{
	return atomic_load(&sink.dropped);
}

void log_start(int fd, enum log_level level)
{
	lock_sink();
	MUST(!sink.is_running);
	sink.fd = fd;
	sink.tail = sink.filled = 0;
	sink.is_ending = sink.has_ended = false;
	atomic_store(&sink.dropped, 0);
	log_set_level(level);
	/* The writer inherits the mask: signals are for other threads, and a closed pipe must not kill the program. */
	sigset_t all, before;
	sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	/* Without a thread, lines keep going to standard error, which is the best that is left. */
	sink.is_running = pthread_create(&sink.writer, NULL, write_lines, NULL) == 0;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	unlock_sink();
}

void log_stop(void)
{
	lock_sink();
	if (!sink.is_running) {
		unlock_sink();
		return;
	}
	sink.is_running = false;
	sink.is_ending = true;
	(void)pthread_cond_signal(&sink.filled_changed);
	struct timespec deadline;
	(void)clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += STOP_WAIT_S;
	int waited = 0;
	while (!sink.has_ended && waited == 0)
		waited = pthread_cond_clockwait(&sink.writer_ended, &sink.lock, CLOCK_MONOTONIC, &deadline);
	if (!sink.has_ended)
		(void)pthread_cancel(sink.writer);
	unlock_sink();
	MUST(pthread_join(sink.writer, NULL) == 0);
	/* What a cancelled writer leaves behind, wherever in the ring it stands. */
	while (sink.filled > 0) {
		const struct span piece = oldest_piece();
		count_dropped(count_lines(piece.at, piece.len));
		give_back(piece.len);
	}
}
