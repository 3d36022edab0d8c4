/* Answers to the client: the headers that all have, errors in OpenAI's shape, also on a stream that has begun. */
#ifndef PENSTOCK_STAGES_RESPOND_H
#define PENSTOCK_STAGES_RESPOND_H

#include "api/api.h"
#include "stages/pipeline.h"

/* Ends the request with that outcome and the table's text. Returns ANSWERED, so that a stage can return it on. */
enum verdict respond_outcome(struct request *request, enum outcome outcome);
/* With a message of its own. */
enum verdict respond_outcome_text(struct request *request, enum outcome outcome, const char *message);
/* With a whole fault; its status wins over the table's. */
enum verdict respond_fault(struct request *request, enum outcome outcome, const struct api_fault *fault);
/* With what the replica said (text, "" = nothing) behind the table's message, and Retry-After where wait_ns is over 0. */
enum verdict respond_failure(struct request *request, enum outcome outcome, const char *detail, int64_t wait_ns);
/* A refusal by control: Retry-After from the prediction. */
enum verdict respond_refusal(struct request *request);
/* A body of ours or of a replica. content_type: text. */
enum verdict respond_body(struct request *request, enum outcome outcome, int status, const char *content_type,
                          struct span body);
/* The head of a stream, if it isn't out yet. */
void respond_start_stream(struct request *request);
/* More of a stream; empties *data. */
void respond_stream(struct request *request, struct bytes *data);

/* A stream that waits for its first token gets its headers and then a comment every 10 s, so that nobody in between takes the connection for
 * dead. Does nothing for other requests, or when it runs already. */
void respond_keep_alive_start(struct request *request);
/* request->keep_alive's function. */
void respond_on_keep_alive(struct timer *timer);

#endif
