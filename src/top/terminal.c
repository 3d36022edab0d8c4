#include "top/terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/macros.h"

#define WIDTH 80
#define HEIGHT 24

/* A signal handler needs it, and there is one terminal. */
static volatile sig_atomic_t is_over;
static struct termios before;
static bool is_open;
static bool has_keys;
static bool keys_ended;

static void on_signal(int number)
{
	if (number != SIGWINCH)
		is_over = 1;
}

/* A terminal that has gone takes nothing: then there is nothing to do. */
static void put(const char *text, size_t len)
{
	while (len) {
		ssize_t written = write(STDOUT_FILENO, text, len);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return;
		text += written;
		len -= (size_t)written;
	}
}

bool terminal_open(void)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGWINCH };
	static const char begin[] = "\033[?1049h\033[?25l";
	struct sigaction action = { .sa_handler = on_signal };
	if (!isatty(STDOUT_FILENO))
		return false;
	for (size_t i = 0; i < COUNT_OF(numbers); i++)
		sigaction(numbers[i], &action, NULL);
	has_keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &before) == 0;
	if (has_keys) {
		struct termios raw = before;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
	}
	put(begin, sizeof(begin) - 1);
	is_open = true;
	return true;
}

void terminal_close(void)
{
	static const char end[] = "\033[?25h\033[?1049l";
	if (!is_open)
		return;
	is_open = false;
	put(end, sizeof(end) - 1);
	if (has_keys)
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
}

void terminal_size(unsigned *width, unsigned *height)
{
	struct winsize size;
	bool is_known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row;
	*width = is_known ? size.ws_col : WIDTH;
	*height = is_known ? size.ws_row : HEIGHT;
}

void terminal_draw(struct bytes *frame)
{
	/* The last line end would scroll the screen by a line where the frame is as high as it. */
	size_t len = frame->len && frame->data[frame->len - 1] == '\n' ? frame->len - 1 : frame->len;
	put("\033[H", 3);
	put(frame->data, len);
	put("\033[J", 3);
}

int terminal_key(int wait_ms)
{
	struct pollfd keys = { .fd = has_keys && !keys_ended ? STDIN_FILENO : -1, .events = POLLIN };
	char key = 0;
	if (poll(&keys, 1, wait_ms) <= 0 || !keys.revents)
		return 0;
	if (read(STDIN_FILENO, &key, 1) <= 0)
		keys_ended = true;
	return (unsigned char)key;
}

bool terminal_is_over(void)
{
	return is_over != 0;
}
