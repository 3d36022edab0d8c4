/* Rings of snapshots, each level coarser than the one before: ten seconds for the last minutes, a minute for the last hour, five for three days. A
 * window is read from the finest level that reaches back so far, so that its error is at most a level's step. */
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "observe/alerts_parts.h"

#define LEVELS 3
#define FINE_STEP_NS ALERTS_PERIOD_NS
#define FINE_WINDOW_NS MINUTES(6)
#define MIDDLE_STEP_NS MINUTES(1)
#define MIDDLE_WINDOW_NS MINUTES(65)
#define COARSE_STEP_NS MINUTES(5)
/* Of one history: with very many routes the coarse steps get longer instead. */
#define BYTES_MAX ((size_t)16 << 20)

struct level {
	int64_t step_ns;
	size_t slots; /* 0 = not needed */
	size_t count;
	size_t next;
	int64_t *times; /* owned */
	int64_t *values;
};

struct alert_history {
	size_t value_count;
	struct level levels[LEVELS];
};

static enum error level_init(struct level *level, int64_t step_ns, int64_t window_ns, size_t value_count)
{
	level->step_ns = step_ns;
	level->slots = (size_t)(window_ns / step_ns) + 2;
	while (level->slots * value_count * sizeof(int64_t) > BYTES_MAX && level->slots > 16) {
		level->step_ns *= 2;
		level->slots = (size_t)(window_ns / level->step_ns) + 2;
	}
	level->times = calloc(level->slots, sizeof(*level->times));
	level->values = calloc(level->slots * value_count, sizeof(*level->values));
	return level->times && level->values ? OK : ERROR_MEMORY;
}

enum error alert_history_new(size_t value_count, int64_t window_ns, struct alert_history **out)
{
	struct alert_history *history = calloc(1, sizeof(*history));
	if (!history)
		return ERROR_MEMORY;
	history->value_count = value_count;
	enum error error = level_init(&history->levels[0], FINE_STEP_NS, FINE_WINDOW_NS, value_count);
	if (!error && window_ns > FINE_WINDOW_NS)
		error = level_init(&history->levels[1], MIDDLE_STEP_NS, MIDDLE_WINDOW_NS, value_count);
	if (!error && window_ns > MIDDLE_WINDOW_NS)
		error = level_init(&history->levels[2], COARSE_STEP_NS, window_ns, value_count);
	if (error)
		alert_history_free(&history);
	*out = history;
	return error;
}

void alert_history_free(struct alert_history **history_slot)
{
	struct alert_history *history = *history_slot;
	if (!history)
		return;
	*history_slot = NULL;
	for (size_t i = 0; i < LEVELS; i++) {
		free(history->levels[i].times);
		free(history->levels[i].values);
	}
	free(history);
}

void alert_history_add(struct alert_history *history, int64_t now_ns, const int64_t *values)
{
	for (size_t i = 0; i < LEVELS; i++) {
		struct level *level = &history->levels[i];
		size_t newest = (level->next + level->slots - 1) % max_ll((long long)level->slots, 1);
		if (!level->slots || (level->count && now_ns - level->times[newest] < level->step_ns - NS_PER_S))
			continue;
		level->times[level->next] = now_ns;
		memcpy(&level->values[level->next * history->value_count], values, history->value_count * sizeof(*values));
		level->next = (level->next + 1) % level->slots;
		if (level->count < level->slots)
			level->count++;
	}
}

const int64_t *alert_history_at(const struct alert_history *history, int64_t now_ns, int64_t window_ns,
                                int64_t *span_ns)
{
	const struct level *level = &history->levels[0];
	for (size_t i = 1; i < LEVELS && window_ns > level->step_ns * ((int64_t)level->slots - 2); i++) {
		if (history->levels[i].slots)
			level = &history->levels[i];
	}
	if (!level->count)
		return NULL;
	size_t oldest = (level->next + level->slots - level->count) % level->slots;
	size_t found = oldest;
	for (size_t i = 1; i < level->count; i++) {
		size_t slot = (oldest + i) % level->slots;
		if (level->times[slot] > now_ns - window_ns)
			break;
		found = slot;
	}
	if (span_ns)
		*span_ns = now_ns - level->times[found];
	return &level->values[found * history->value_count];
}
