/* uv_spawn with a pipe as standard input that nobody writes: its end of file is how a child learns that we are gone. */
#include "io/process.h"

#include <stdlib.h>

#include "base/macros.h"
#include "io/loop_uv.h"

struct process {
	uv_process_t uv;
	uv_pipe_t input;
	process_exited *exited; /* NULL once released */
	void *owner;
	bool has_exited;
	unsigned handles_open;
};

static void free_unless_open(struct process *process)
{
	if (--process->handles_open == 0)
		free(process);
}

static void on_process_closed(uv_handle_t *handle)
{
	free_unless_open(container_of(handle, struct process, uv));
}

static void on_input_closed(uv_handle_t *handle)
{
	free_unless_open(container_of(handle, struct process, input));
}

/* The loop ends before a released child does. */
static void close_process(uv_handle_t *handle)
{
	uv_close(handle, on_process_closed);
}

static const struct loop_orphan orphan = { .close = close_process };

static void on_child_exit(uv_process_t *handle, int64_t exit_status, int term_signal)
{
	struct process *process = container_of(handle, struct process, uv);
	process->has_exited = true;
	if (process->exited)
		process->exited(process->owner, (int)exit_status, term_signal);
	else
		uv_close((uv_handle_t *)&process->uv, on_process_closed);
}

enum error process_start(struct loop *loop, const char *const *arguments, process_exited *exited, void *owner,
                         struct process **out)
{
	struct process *process = calloc(1, sizeof(*process));
	if (!process)
		return ERROR_MEMORY;
	process->exited = exited;
	process->owner = owner;
	MUST(uv_pipe_init(&loop->uv, &process->input, 0) == 0);
	uv_stdio_container_t stdio[3] = {
		{ .flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&process->input },
		{ .flags = UV_INHERIT_FD, .data.fd = 1 },
		{ .flags = UV_INHERIT_FD, .data.fd = 2 },
	};
	uv_process_options_t options = {
		.file = arguments[0],
		.args = (char **)(uintptr_t)arguments,
		.stdio_count = 3,
		.stdio = stdio,
		.exit_cb = on_child_exit,
	};
	int status = uv_spawn(&loop->uv, &process->uv, &options);
	uv_handle_set_data((uv_handle_t *)&process->uv, (void *)(uintptr_t)&orphan);
	process->handles_open = 2;
	if (status < 0) {
		/* uv_spawn leaves an initialised handle behind, also when it fails. */
		process->exited = NULL;
		uv_close((uv_handle_t *)&process->uv, on_process_closed);
		uv_close((uv_handle_t *)&process->input, on_input_closed);
		return loop_error(status);
	}
	*out = process;
	return OK;
}

int process_id(const struct process *process)
{
	return process->uv.pid;
}

void process_signal(struct process *process, int signal_number)
{
	if (!process->has_exited)
		uv_process_kill(&process->uv, signal_number);
}

void process_close_input(struct process *process)
{
	if (!uv_is_closing((const uv_handle_t *)&process->input))
		uv_close((uv_handle_t *)&process->input, on_input_closed);
}

void process_release(struct process **process_slot)
{
	struct process *process = *process_slot;
	if (!process)
		return;
	*process_slot = NULL;
	process->exited = NULL;
	process_close_input(process);
	if (process->has_exited)
		uv_close((uv_handle_t *)&process->uv, on_process_closed);
}
