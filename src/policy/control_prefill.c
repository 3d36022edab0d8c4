/* What an engine of ours still has to compute, and when a prompt that is sent there gives its first token: what it was sent, less what it has reported since, in the
 * order of policy/batch; beside the streams that run there, and passed by shorter prompts. */
#include <math.h>

#include "base/clock.h"
#include "base/macros.h"
#include "policy/batch.h"
#include "policy/control_state.h"

/* ---- its backlog ---- */

/* A request takes this long to get from here into the engine's reports. */
#define ON_THE_WAY_NS (20 * NS_PER_MS)

uint64_t replica_backlog(const struct control *control, const struct replica *replica)
{
	if (!replica->has_backlog)
		return replica->prefill_tokens;
	/* Since then it has gone on at its rate. */
	const struct predict_rates *rates = &replica->rates;
	int64_t token_ns = rates->prefill_ns + (replica->in_flight > 1 ? rates->prefill_beside_ns : 0);
	uint64_t done = (uint64_t)((control->now_ns - replica->backlog_at_ns) / max_ll(token_ns, 1));
	uint64_t left = replica->backlog_tokens > done ? replica->backlog_tokens - done : 0;
	return (uint64_t)min_ll((long long)left, (long long)replica->prefill_tokens);
}

/* Tokens of a prompt step, as in an engine on a CPU; one that has begun is ended first, half of it on average. */
#define STEP_TOKENS 128

uint64_t replica_tokens_before(const struct control *control, const struct replica *replica, uint32_t prompt_tokens)
{
	uint64_t backlog = replica_backlog(control, replica);
	if (!replica->has_backlog || backlog == 0)
		return backlog;
	int64_t token_ns = BATCH_PASSED * replica->rates.prefill_ns;
	int64_t own_ns = control->now_ns + token_ns * prompt_tokens;
	uint64_t before = 0;
	for (uint32_t i = replica->first; i != CONTROL_TICKET_NONE; i = control->tickets[i].next) {
		const struct ticket *ticket = &control->tickets[i];
		if (ticket->state == TICKET_DISPATCHED && ticket->dispatched_ns + token_ns * ticket->prompt_tokens <= own_ns)
			before += ticket->prompt_tokens;
	}
	/* What is done was done for those that come first. */
	uint64_t done = replica->prefill_tokens - backlog;
	before = before > done ? before - done : 0;
	uint64_t begun =
		(uint64_t)min_ll((long long)(backlog - min_ll((long long)backlog, (long long)before)), STEP_TOKENS);
	return before + begun / 2;
}

void replica_note_backlog(struct control *control, struct replica *replica, uint32_t tokens)
{
	replica->has_backlog = tokens != CONTROL_NOT_TOLD;
	replica->backlog_tokens = tokens;
	replica->backlog_at_ns = control->now_ns;
	for (uint32_t i = replica->first; i != CONTROL_TICKET_NONE && replica->has_backlog; i = control->tickets[i].next) {
		const struct ticket *ticket = &control->tickets[i];
		if (ticket->state == TICKET_DISPATCHED && control->now_ns - ticket->dispatched_ns < ON_THE_WAY_NS)
			replica->backlog_tokens += ticket->prompt_tokens;
	}
}

/* ---- until a first token ---- */

/* Tokens still to come; one that has outlived its estimate is expected to go on for a quarter of its length. */
uint32_t output_rest(const struct ticket *ticket)
{
	if (ticket->output_tokens > ticket->produced)
		return ticket->output_tokens - ticket->produced;
	return ticket->produced / 4 + 1;
}

#define RATES_NS (30.0 * NS_PER_S)
/* With more than this taken by shorter prompts, those that come by are not what a forecast can be made of. */
#define PASSED_SHARE_MAX 0.3

static uint32_t size_of_prompt(uint32_t tokens)
{
	uint32_t size = 0;
	while (tokens >>= 1)
		size++;
	return size < PROMPT_SIZES ? size : PROMPT_SIZES - 1;
}

void replica_note_prompt(struct control *control, struct replica *replica, uint32_t tokens)
{
	struct prompt_rates *prompts = &replica->prompts;
	double left = exp(-(double)(control->now_ns - prompts->at_ns) / RATES_NS);
	for (uint32_t i = 0; i < PROMPT_SIZES; i++)
		prompts->rates[i] *= left;
	prompts->rates[size_of_prompt(tokens)] += tokens / (RATES_NS / NS_PER_S);
	prompts->at_ns = control->now_ns;
}

/* By how much shorter prompts that come by within `wait_ns` make it longer: the share of the engine's time that they take, as far as any are to be expected. */
static double passed_factor(const struct control *control, const struct replica *replica, uint32_t own_tokens,
                            int64_t wait_ns)
{
	const struct prompt_rates *prompts = &replica->prompts;
	double left = exp(-(double)(control->now_ns - prompts->at_ns) / RATES_NS);
	double tokens = 0;
	double count = 0;
	for (uint32_t i = 0; i < size_of_prompt(own_tokens); i++) {
		tokens += prompts->rates[i] * left;
		count += prompts->rates[i] * left / (1.5 * (double)(1u << i)) * (double)wait_ns / NS_PER_S;
	}
	double share = fmin(tokens * (double)replica->rates.prefill_ns / NS_PER_S, PASSED_SHARE_MAX);
	return 1 / (1 - share * fmin(count, 1));
}

/* How long those that are there go on streaming, as far as is known: what is computed beside them takes longer by at most that. */
static int64_t streams_left_ns(const struct control *control, const struct replica *replica)
{
	uint32_t longest = 0;
	for (uint32_t i = replica->first; i != CONTROL_TICKET_NONE; i = control->tickets[i].next)
		longest = (uint32_t)max_ll(longest, output_rest(&control->tickets[i]));
	return predict_decode_ns(&replica->rates, longest, replica->in_flight, replica->reserved_cells);
}

int64_t replica_first_token_ns(const struct control *control, const struct replica *replica, uint32_t own_tokens,
                               uint64_t before)
{
	before += replica_tokens_before(control, replica, own_tokens);
	uint64_t tokens = replica_work(replica, own_tokens, before);
	if (!replica->has_backlog)
		return predict_prefill_ns(&replica->rates, tokens, replica->in_flight);
	int64_t alone_ns = predict_prefill_ns(&replica->rates, tokens, 0);
	int64_t beside_ns = predict_prefill_ns(&replica->rates, tokens, 1) - alone_ns;
	beside_ns = min_ll(beside_ns, streams_left_ns(control, replica));
	int64_t wait_ns = alone_ns + beside_ns;
	double passed = passed_factor(control, replica, own_tokens, wait_ns);
	return min_ll((long long)((double)wait_ns * passed), PREDICT_MAX_NS);
}
