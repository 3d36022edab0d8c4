/* Children: how they end, what they are told, and that none is left behind. */
#include "io/process.h"

#include "turns.h"

#include <signal.h>

struct child {
	struct process *process;
	int exits;
	int exit_status;
	int term_signal;
	bool releases; /* inside the callback */
};

static void on_exit_of(void *owner, int exit_status, int term_signal)
{
	struct child *child = owner;
	child->exits++;
	child->exit_status = exit_status;
	child->term_signal = term_signal;
	if (child->releases)
		process_release(&child->process);
}

static void start_shell(struct loop *loop, const char *script, struct child *child)
{
	const char *const arguments[] = { "/bin/sh", "-c", script, NULL };
	*child = (struct child){ 0 };
	ck_error_is(process_start(loop, arguments, on_exit_of, child, &child->process), OK);
	ck_assert_int_gt(process_id(child->process), 0);
}

static bool is_gone(int id)
{
	return kill(id, 0) != 0 && errno == ESRCH;
}

START_TEST(exit_statuses)
{
	struct loop *loop = new_loop();
	struct child child;
	start_shell(loop, "exit 0", &child);
	run_until(loop, child.exits == 1);
	ck_assert(child.exit_status == 0 && child.term_signal == 0);
	/* Nobody to signal any more; nothing happens. */
	process_signal(child.process, SIGKILL);
	process_release(&child.process);
	ck_assert_ptr_null(child.process);
	process_release(&child.process);
	start_shell(loop, "exit 255", &child);
	child.releases = true;
	run_until(loop, child.exits == 1);
	ck_assert(child.exit_status == 255 && child.term_signal == 0);
	run_turns(loop, 5);
	ck_assert_int_eq(child.exits, 1);
	loop_free(&loop);
}
END_TEST

START_TEST(signals)
{
	struct loop *loop = new_loop();
	struct child child;
	start_shell(loop, "exec cat", &child);
	process_signal(child.process, SIGTERM);
	run_until(loop, child.exits == 1);
	ck_assert_int_eq(child.term_signal, SIGTERM);
	process_release(&child.process);
	start_shell(loop, "kill -KILL $$", &child);
	run_until(loop, child.exits == 1);
	ck_assert_int_eq(child.term_signal, SIGKILL);
	process_release(&child.process);
	loop_free(&loop);
}
END_TEST

START_TEST(closed_input_ends_a_child_that_watches_it)
{
	struct loop *loop = new_loop();
	struct child child;
	start_shell(loop, "exec cat", &child);
	process_close_input(child.process);
	process_close_input(child.process);
	run_until(loop, child.exits == 1);
	ck_assert_int_eq(child.term_signal, 0);
	ck_assert_int_eq(child.exit_status, 0);
	process_release(&child.process);
	loop_free(&loop);
}
END_TEST

START_TEST(what_cannot_be_started)
{
	struct loop *loop = new_loop();
	struct child child = { 0 };
	char path[] = "/tmp/penstock-process-XXXXXX";
	const int fd = mkstemp(path); /* not executable */
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_error_is(
		process_start(loop, (const char *const[]){ "/nowhere/at/all", NULL }, on_exit_of, &child, &child.process),
		ERROR_NOT_FOUND);
	ck_error_is(process_start(loop, (const char *const[]){ path, NULL }, on_exit_of, &child, &child.process),
	            ERROR_PERMISSION);
	unlink(path);
	run_turns(loop, 10);
	ck_assert_int_eq(child.exits, 0);
	ck_assert_ptr_null(child.process);
	loop_free(&loop);
}
END_TEST

/* Standard input is a pipe to us: the child sees its end as soon as we let go, and nobody is told of its exit. */
START_TEST(release_ends_the_child_s_input)
{
	struct loop *loop = new_loop();
	struct child child;
	start_shell(loop, "exec cat", &child);
	const int id = process_id(child.process);
	run_turns(loop, 5);
	ck_assert(!is_gone(id));
	process_release(&child.process);
	run_until(loop, is_gone(id));
	ck_assert_int_eq(child.exits, 0);
	loop_free(&loop);
}
END_TEST

START_TEST(a_loop_that_ends_before_its_released_children)
{
	struct loop *loop = new_loop();
	struct child child;
	start_shell(loop, "exec cat", &child);
	process_release(&child.process);
	loop_free(&loop);
	ck_assert_int_eq(child.exits, 0);
}
END_TEST

START_TEST(children_do_not_inherit_our_sockets)
{
	struct loop *loop = new_loop();
	struct child child;
	struct peer peer;
	int other;
	peer_pair(&peer, &other);
	start_shell(loop, "exec cat", &child);
	close(other);
	/* The child would keep it open. */
	run_until(loop, peer_ended(&peer));
	peer_close(&peer);
	process_signal(child.process, SIGKILL);
	child.releases = true;
	run_until(loop, child.exits == 1);
	loop_free(&loop);
}
END_TEST

UNIT_MAIN("io/process", exit_statuses, signals, closed_input_ends_a_child_that_watches_it, what_cannot_be_started,
          release_ends_the_child_s_input, a_loop_that_ends_before_its_released_children,
          children_do_not_inherit_our_sockets)
