/* Penstock's own ChatML template: messages between <|im_start|> and <|im_end|>, tools in the Hermes format (JSON inside <tool_call>), and no
 * system message that nobody asked for. Chosen by `chat_template: chatml`. */
#ifndef PENSTOCK_ENGINE_CHATML_H
#define PENSTOCK_ENGINE_CHATML_H

#include "base/bytes.h"

/* Jinja source; static. */
struct span chatml_template(void);

#endif
