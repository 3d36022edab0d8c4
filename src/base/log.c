/* The log sink: a ring of whole lines between the callers and one writer thread.
 *
 * Callers copy a line in under the lock, or count it as dropped when it does not fit; they never wait for the
 * descriptor. The writer owns the bytes from `tail` on for `filled` bytes: it writes them without the lock and gives
 * them back afterwards. Any thread may call; log_start and log_stop belong to the main thread. */
#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/macros.h"

#define RING_BYTES ((size_t)256 * 1024)
/* Together the second that log_stop may take. */
#define STOP_WAIT_NS (700 * NS_PER_MS)
#define ABANDON_WAIT_NS (300 * NS_PER_MS)
/* The first of several lines waits so long for the others, or until there are so many bytes. */
#define SWARM_NS (5 * NS_PER_MS)
#define SWARM_BYTES (RING_BYTES / 8)
/* How often a blocked writer looks whether it was abandoned. */
#define LOOK_MS 50

static struct sink {
	pthread_mutex_t lock;
	pthread_cond_t filled_changed; /* wakes the writer: bytes came, or it is to end */
	pthread_cond_t writer_ended;
	pthread_t writer;
	bool is_running; /* lines go into the ring */
	bool is_ending;
	bool has_ended;
	bool is_lost; /* a stopped writer still hangs in its write: no other may start */
	_Atomic bool is_abandoned;
	int fd;        /* borrowed */
	bool is_file;  /* always ready, takes any length */
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

/* One write, as far as it goes; false when the descriptor is broken. */
static bool write_some(int fd, const char *data, size_t len, size_t *written)
{
	const ssize_t result = write(fd, data, len);
	*written = result > 0 ? (size_t)result : 0;
	return result > 0 || errno == EAGAIN || errno == EINTR;
}

/* ---- the writer thread ---- */

/* False when log_stop gave up on the descriptor. Looks at both by turns, so that no blocked pipe outlasts log_stop. */
static bool wait_for_room(void)
{
	struct pollfd wanted = { .fd = sink.fd, .events = POLLOUT };
	if (sink.is_file)
		return true;
	while (poll(&wanted, 1, LOOK_MS) <= 0) {
		if (atomic_load(&sink.is_abandoned))
			return false;
	}
	return true;
}

static uint64_t count_lines(const char *data, size_t len)
{
	uint64_t lines = 0;
	for (size_t i = 0; i < len; i++)
		lines += data[i] == '\n';
	return lines;
}

/* The oldest bytes that stand in one piece; for what may be a pipe up to PIPE_BUF of them: so much it takes at once when it is ready. */
static struct span oldest_piece(void)
{
	const size_t to_edge = RING_BYTES - sink.tail;
	const size_t len = sink.filled < to_edge ? sink.filled : to_edge;
	return (struct span){ sink.ring + sink.tail, len < PIPE_BUF || sink.is_file ? len : PIPE_BUF };
}

static void give_back(size_t len)
{
	sink.tail = (sink.tail + len) % RING_BYTES;
	sink.filled -= len;
}

static void drop_piece(struct span piece)
{
	count_dropped(count_lines(piece.at, piece.len));
	give_back(piece.len);
}

/* Called with the lock held, which it gives up while it waits and writes. */
static void write_piece(struct span piece)
{
	unlock_sink();
	size_t written = 0;
	const bool has_room = wait_for_room();
	const bool is_working = has_room && write_some(sink.fd, piece.at, piece.len, &written);
	lock_sink();
	if (is_working)
		give_back(written);
	else
		drop_piece(piece); /* a full disk may have room again for the next one */
	while (!has_room && sink.filled > 0)
		drop_piece(oldest_piece());
}

/* Lines come in swarms: one wake and one write for those of a moment cost the callers' threads next to nothing. */
static void wait_for_swarm(void)
{
	const int64_t until_ns = clock_now_ns() + SWARM_NS;
	const struct timespec until = { .tv_sec = (time_t)(until_ns / NS_PER_S), .tv_nsec = until_ns % NS_PER_S };
	int waited = 0;
	while (sink.filled < SWARM_BYTES && !sink.is_ending && waited == 0)
		waited = pthread_cond_clockwait(&sink.filled_changed, &sink.lock, CLOCK_MONOTONIC, &until);
}

static void *write_lines(void *unused)
{
	(void)unused;
	lock_sink();
	while (sink.filled > 0 || !sink.is_ending) {
		while (sink.filled == 0 && !sink.is_ending)
			(void)pthread_cond_wait(&sink.filled_changed, &sink.lock);
		wait_for_swarm();
		while (sink.filled > 0)
			write_piece(oldest_piece());
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
		const size_t before = sink.filled;
		copy_in(object.at, object.len);
		copy_in("\n", 1);
		if (before == 0 || (before < SWARM_BYTES && sink.filled >= SWARM_BYTES))
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
	size_t written = 0;
	bool is_working = bytes_ok(&line);
	for (size_t done = 0; is_working && done < line.len; done += written)
		is_working = write_some(STDERR_FILENO, line.data + done, line.len - done, &written);
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
	if (sink.is_lost) {
		unlock_sink();
		return;
	}
	struct stat about;
	sink.fd = fd;
	sink.is_file = fstat(fd, &about) == 0 && S_ISREG(about.st_mode);
	sink.tail = sink.filled = 0;
	sink.is_ending = sink.has_ended = false;
	atomic_store(&sink.is_abandoned, false);
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

/* Called with the lock held; false when the writer has not ended after so long. */
static bool wait_for_end(int64_t wait_ns)
{
	const int64_t deadline_ns = clock_now_ns() + wait_ns;
	const struct timespec deadline = { .tv_sec = (time_t)(deadline_ns / NS_PER_S), .tv_nsec = deadline_ns % NS_PER_S };
	int waited = 0;
	while (!sink.has_ended && waited == 0)
		waited = pthread_cond_clockwait(&sink.writer_ended, &sink.lock, CLOCK_MONOTONIC, &deadline);
	return sink.has_ended;
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
	if (!wait_for_end(STOP_WAIT_NS)) {
		atomic_store(&sink.is_abandoned, true);
		/* Only a write that blocks although the descriptor was ready can hold it now: another process filled the pipe
		 * in between, or a file system hangs. The thread stays behind then, and the sink with it. */
		sink.is_lost = !wait_for_end(ABANDON_WAIT_NS);
	}
	unlock_sink();
	if (sink.is_lost)
		(void)pthread_detach(sink.writer);
	else
		MUST(pthread_join(sink.writer, NULL) == 0);
}
