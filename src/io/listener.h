/* Listening sockets: accepts and hands plain descriptors to whoever places them on a loop. */
#ifndef PENSTOCK_IO_LISTENER_H
#define PENSTOCK_IO_LISTENER_H

#include "base/address.h"
#include "base/error.h"
#include "io/loop.h"

struct listener;

/* Called on the listener's loop with a connected, non-blocking, close-on-exec socket that the callee owns. */
typedef void listener_accepted(void *owner, int fd);

/* Binds and listens. A stale Unix socket file (nobody answers on it) is replaced. TCP: port 0 picks a free one (see
 * listener_address). ERROR_ADDRESS_IN_USE, ERROR_PERMISSION, ERROR_NOT_FOUND (no such host), ERROR_IO. */
enum error listener_open(struct loop *loop, const struct address *address, listener_accepted *accepted, void *owner,
                         struct listener **out);
/* Stops accepting, removes the file of a Unix socket. Sets *listener to NULL. */
void listener_close(struct listener **listener);
/* Accepting pauses while the process is out of descriptors or connections, so that it does not spin. */
void listener_pause(struct listener *listener);
void listener_resume(struct listener *listener);
/* Where it really listens. */
const struct address *listener_address(const struct listener *listener);

#endif
