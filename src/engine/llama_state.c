/* Called by llama.c on the thread of the lane whose context it is, and by the warm-up. */
#include "engine/llama_state.h"

#include <pthread.h>
#include <string.h>

#define WORD sizeof(uint32_t)
/* Behind the magic number and the sequence. */
#define STREAMS_AT (2 * WORD)

/* The number of streams in a state is set for the context that takes it: states are shared, and this takes milliseconds. */
static pthread_mutex_t restoring = PTHREAD_MUTEX_INITIALIZER;

static void put_word(unsigned char *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
}

/* A state's bytes: room for the empty streams that may come first, the state of one stream, room for those behind. */
static size_t front_of(uint32_t streams_max)
{
	return streams_max * WORD;
}

struct kv_state *llama_state_save(struct llama_context *context, uint32_t streams, uint32_t streams_max,
                                  int32_t sequence, uint32_t tokens)
{
	size_t size = llama_state_seq_get_size(context, sequence);
	size_t front = front_of(streams_max);
	size_t before = streams > 1 ? (size_t)sequence * WORD : 0; /* the empty streams that come first */
	size_t one = size - (streams - 1) * WORD;                  /* as of one stream */
	struct kv_state *state = kv_state_new(tokens, front + one + (streams_max - 1) * WORD);
	if (!state)
		return NULL;
	unsigned char *begin = state->bytes + front;
	memset(begin + one, 0, (streams_max - 1) * WORD);
	/* So that the cells lie where those of one stream do. */
	unsigned char *written = begin - before;
	uint32_t head[2];
	if (llama_state_seq_get_data(context, written, size, sequence) != size) {
		kv_state_unref(&state);
		return NULL;
	}
	memcpy(head, written, sizeof(head));
	memcpy(begin, head, sizeof(head));
	put_word(begin + STREAMS_AT, 1);
	return state;
}

enum error llama_state_restore(struct llama_context *context, uint32_t streams, uint32_t streams_max, int32_t sequence,
                               const struct kv_state *state)
{
	size_t front = front_of(streams_max);
	unsigned char *begin = (unsigned char *)(uintptr_t)state->bytes + front;
	size_t size = state->size - front - (streams_max - streams) * WORD;
	pthread_mutex_lock(&restoring);
	put_word(begin + STREAMS_AT, streams);
	bool is_taken = llama_state_seq_set_data(context, begin, size, sequence) == size;
	pthread_mutex_unlock(&restoring);
	if (is_taken)
		return OK;
	llama_memory_seq_rm(llama_get_memory(context), sequence, -1, -1);
	return ERROR_BUSY;
}
