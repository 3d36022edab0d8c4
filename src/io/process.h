/* Child processes: started, watched, ended. Belongs to its loop's thread. */
#ifndef PENSTOCK_IO_PROCESS_H
#define PENSTOCK_IO_PROCESS_H

#include "base/error.h"
#include "io/loop.h"

struct process;

/* exit_status: 0..255 when it exited by itself; term_signal: not 0 when a signal ended it. Called once. */
typedef void process_exited(void *owner, int exit_status, int term_signal);

/* Starts arguments[0] with arguments (NULL-terminated); standard input is a pipe that closes when this process dies or closes it, so
 * that a child that watches it never outlives us. Standard output and error are shared. ERROR_NOT_FOUND, ERROR_PERMISSION, ERROR_IO. */
enum error process_start(struct loop *loop, const char *const *arguments, process_exited *exited, void *owner,
                         struct process **out);
int process_id(const struct process *process);
/* Sends a signal; nothing happens when it has exited. */
void process_signal(struct process *process, int signal_number);
/* Closes the pipe: a child that watches it ends. May be called again. */
void process_close_input(struct process *process);
/* Forgets it: closes the pipe (the child sees end of file) and calls nobody any more. Sets *process to NULL. */
void process_release(struct process **process);

#endif
