/* Entries in a list, newest use first; an open hash table of (block hash -> entry), one row for each whole block of an entry whose hash no other
 * entry has registered. */
#include "engine/prefixes.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROWS_INITIAL 1024

struct entry {
	struct entry *newer, *older;
	struct kv_state *state; /* a reference */
	uint64_t salt;
	uint64_t bytes;
	int32_t tokens[]; /* shape (state->tokens,) */
};

struct row {
	uint64_t hash;       /* 0 = never used */
	struct entry *entry; /* NULL = free again */
};

struct prefixes {
	pthread_mutex_t lock;
	struct entry *newest, *oldest;
	struct row *rows;
	size_t row_count; /* a power of two */
	size_t rows_used; /* those with a hash */
	uint64_t bytes;
	uint64_t bytes_max;
	bool whole;
};

enum error prefixes_new(uint64_t bytes_max, bool whole, struct prefixes **out)
{
	struct prefixes *prefixes = calloc(1, sizeof(*prefixes));
	if (!prefixes)
		return ERROR_MEMORY;
	*prefixes = (struct prefixes){ .bytes_max = bytes_max, .whole = whole, .row_count = ROWS_INITIAL };
	pthread_mutex_init(&prefixes->lock, NULL);
	prefixes->rows = calloc(prefixes->row_count, sizeof(*prefixes->rows));
	*out = prefixes;
	if (!prefixes->rows)
		prefixes_free(out);
	return *out ? OK : ERROR_MEMORY;
}

/* ---- the table ---- */

/* FNV-1a over the block's tokens, from the hash of what stands before it (Fowler, Noll, Vo), with the finisher of MurmurHash3: tokens are small
 * numbers. Never 0. */
static uint64_t block_hash(uint64_t before, const int32_t *tokens)
{
	uint64_t hash = before ^ UINT64_C(0xcbf29ce484222325);
	for (int i = 0; i < PREFIX_BLOCK; i++)
		hash = (hash ^ (uint32_t)tokens[i]) * UINT64_C(0x100000001b3);
	hash ^= hash >> 33;
	hash *= UINT64_C(0xff51afd7ed558ccd);
	hash ^= hash >> 33;
	return hash ? hash : 1;
}

/* The row of this hash, or the unused one where it would stand. */
static struct row *row_of(const struct prefixes *prefixes, uint64_t hash)
{
	size_t at = hash & (prefixes->row_count - 1);
	while (prefixes->rows[at].hash && prefixes->rows[at].hash != hash)
		at = (at + 1) & (prefixes->row_count - 1);
	return &prefixes->rows[at];
}

static void register_entry(struct prefixes *prefixes, struct entry *entry)
{
	uint64_t hash = entry->salt;
	for (uint32_t at = 0; at + PREFIX_BLOCK <= entry->state->tokens; at += PREFIX_BLOCK) {
		hash = block_hash(hash, entry->tokens + at);
		struct row *row = row_of(prefixes, hash);
		prefixes->rows_used += row->hash == 0;
		if (row->hash && row->entry)
			continue;
		*row = (struct row){ hash, entry };
	}
}

/* A table of twice as many rows as it needs, without those that are free again. false: no memory, the old one stays. */
static bool make_room(struct prefixes *prefixes, uint32_t more)
{
	if ((prefixes->rows_used + more) * 2 <= prefixes->row_count)
		return true;
	size_t wanted = ROWS_INITIAL;
	size_t blocks = more;
	for (struct entry *entry = prefixes->newest; entry; entry = entry->older)
		blocks += entry->state->tokens / PREFIX_BLOCK;
	while (wanted < blocks * 4)
		wanted *= 2;
	struct row *rows = calloc(wanted, sizeof(*rows));
	if (!rows)
		return false;
	free(prefixes->rows);
	prefixes->rows = rows;
	prefixes->row_count = wanted;
	prefixes->rows_used = 0;
	for (struct entry *entry = prefixes->newest; entry; entry = entry->older)
		register_entry(prefixes, entry);
	return true;
}

/* ---- the list ---- */

static void unlink_entry(struct prefixes *prefixes, struct entry *entry)
{
	*(entry->newer ? &entry->newer->older : &prefixes->newest) = entry->older;
	*(entry->older ? &entry->older->newer : &prefixes->oldest) = entry->newer;
}

static void link_newest(struct prefixes *prefixes, struct entry *entry)
{
	entry->newer = NULL;
	entry->older = prefixes->newest;
	*(prefixes->newest ? &prefixes->newest->newer : &prefixes->oldest) = entry;
	prefixes->newest = entry;
}

/* Blocks that only it had registered are found again when somebody computes them again. */
static void drop(struct prefixes *prefixes, struct entry *entry)
{
	uint64_t hash = entry->salt;
	for (uint32_t at = 0; at + PREFIX_BLOCK <= entry->state->tokens; at += PREFIX_BLOCK) {
		hash = block_hash(hash, entry->tokens + at);
		struct row *row = row_of(prefixes, hash);
		if (row->entry == entry)
			row->entry = NULL;
	}
	unlink_entry(prefixes, entry);
	prefixes->bytes -= entry->bytes;
	kv_state_unref(&entry->state);
	free(entry);
}

static uint32_t common_tokens(const struct entry *entry, const int32_t *tokens, uint32_t count)
{
	uint32_t most = entry->state->tokens < count ? entry->state->tokens : count;
	uint32_t common = 0;
	while (common < most && entry->tokens[common] == tokens[common])
		common++;
	return common;
}

/* The entry of the last known block in a row; NULL when the first is unknown. */
static struct entry *find(const struct prefixes *prefixes, uint64_t salt, const int32_t *tokens, uint32_t count)
{
	struct entry *found = NULL;
	uint64_t hash = salt;
	for (uint32_t at = 0; at + PREFIX_BLOCK <= count; at += PREFIX_BLOCK) {
		hash = block_hash(hash, tokens + at);
		const struct row *row = row_of(prefixes, hash);
		if (!row->entry)
			break;
		found = row->entry;
	}
	return found && found->salt == salt ? found : NULL;
}

/* ---- for the lanes ---- */

struct kv_state *prefixes_find(struct prefixes *prefixes, uint64_t salt, const int32_t *tokens, uint32_t count,
                               uint32_t *shared)
{
	struct kv_state *state = NULL;
	*shared = 0;
	pthread_mutex_lock(&prefixes->lock);
	struct entry *entry = find(prefixes, salt, tokens, count);
	uint32_t common = entry ? common_tokens(entry, tokens, count) : 0;
	if (common >= PREFIX_BLOCK && (!prefixes->whole || common == entry->state->tokens)) {
		unlink_entry(prefixes, entry);
		link_newest(prefixes, entry);
		state = kv_state_ref(entry->state);
		*shared = common;
	}
	pthread_mutex_unlock(&prefixes->lock);
	return state;
}

bool prefixes_wants(struct prefixes *prefixes, uint64_t salt, const int32_t *tokens, uint32_t count)
{
	if (prefixes->bytes_max == 0 || count < PREFIX_BLOCK)
		return false;
	pthread_mutex_lock(&prefixes->lock);
	const struct entry *entry = find(prefixes, salt, tokens, count);
	uint32_t common = entry ? common_tokens(entry, tokens, count) : 0;
	pthread_mutex_unlock(&prefixes->lock);
	return count - common >= PREFIX_BLOCK;
}

static struct entry *entry_new(uint64_t salt, const int32_t *tokens, struct kv_state *state)
{
	size_t tokens_size = sizeof(*tokens) * state->tokens;
	struct entry *entry = malloc(sizeof(*entry) + tokens_size);
	if (!entry)
		return NULL;
	*entry = (struct entry){ .state = kv_state_ref(state), .salt = salt };
	entry->bytes = sizeof(*entry) + tokens_size + state->size;
	memcpy(entry->tokens, tokens, tokens_size);
	return entry;
}

void prefixes_add(struct prefixes *prefixes, uint64_t salt, const int32_t *tokens, struct kv_state *state)
{
	if (state->size > prefixes->bytes_max || state->tokens < PREFIX_BLOCK)
		return;
	struct entry *entry = entry_new(salt, tokens, state);
	if (!entry)
		return;
	pthread_mutex_lock(&prefixes->lock);
	struct entry *begun = find(prefixes, salt, tokens, state->tokens);
	if (begun && !prefixes->whole && common_tokens(begun, tokens, state->tokens) == begun->state->tokens)
		drop(prefixes, begun);
	while (prefixes->oldest && prefixes->bytes + entry->bytes > prefixes->bytes_max)
		drop(prefixes, prefixes->oldest);
	if (prefixes->bytes + entry->bytes <= prefixes->bytes_max && make_room(prefixes, state->tokens / PREFIX_BLOCK)) {
		link_newest(prefixes, entry);
		register_entry(prefixes, entry);
		prefixes->bytes += entry->bytes;
		entry = NULL;
	}
	pthread_mutex_unlock(&prefixes->lock);
	if (entry) {
		kv_state_unref(&entry->state);
		free(entry);
	}
}

/* ---- files ---- */

/* magic, identity, then for each entry, the oldest first: head, tokens, state. In the machine's own byte order: it is used where it was made. */
#define MAGIC UINT64_C(0x3178696665727050) /* Prefix1 */

struct file_head {
	uint64_t magic;
	uint64_t identity;
};

struct file_entry {
	uint64_t salt;
	uint64_t size; /* of the state */
	uint32_t tokens;
	uint32_t zero;
};

static bool write_entry(FILE *file, const struct entry *entry)
{
	const struct kv_state *state = entry->state;
	const struct file_entry head = { .salt = entry->salt, .size = state->size, .tokens = state->tokens };
	return fwrite(&head, sizeof(head), 1, file) == 1 &&
	       fwrite(entry->tokens, sizeof(*entry->tokens), state->tokens, file) == state->tokens &&
	       fwrite(state->bytes, 1, state->size, file) == state->size;
}

static bool write_all(const struct prefixes *prefixes, FILE *file, uint64_t identity)
{
	const struct file_head head = { MAGIC, identity };
	bool is_written = fwrite(&head, sizeof(head), 1, file) == 1;
	for (const struct entry *entry = prefixes->oldest; entry && is_written; entry = entry->newer)
		is_written = write_entry(file, entry);
	return is_written;
}

enum error prefixes_save(struct prefixes *prefixes, const char *path, uint64_t identity)
{
	char part[PATH_MAX];
	int len = snprintf(part, sizeof(part), "%s.%ld.part", path, (long)getpid());
	if (!prefixes->newest)
		return OK;
	if (len < 0 || (size_t)len >= sizeof(part))
		return ERROR_LIMIT;
	int descriptor = open(part, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "wb");
	if (!file)
		return ERROR_IO;
	pthread_mutex_lock(&prefixes->lock);
	bool is_written = write_all(prefixes, file, identity);
	pthread_mutex_unlock(&prefixes->lock);
	is_written &= fclose(file) == 0;
	if (is_written && rename(part, path) == 0)
		return OK;
	unlink(part);
	return ERROR_IO;
}

/* ERROR_NOT_FOUND: the file is over. */
static enum error read_entry(struct prefixes *prefixes, FILE *file)
{
	struct file_entry head;
	size_t read = fread(&head, 1, sizeof(head), file);
	if (read == 0)
		return ERROR_NOT_FOUND;
	/* No state is larger than all of them may be together, and none has a token in less than a byte. */
	if (read < sizeof(head) || head.size > prefixes->bytes_max || head.tokens == 0 || head.tokens > head.size)
		return ERROR_SYNTAX;
	int32_t *tokens = malloc(sizeof(*tokens) * head.tokens);
	struct kv_state *state = kv_state_new(head.tokens, head.size);
	enum error error = tokens && state ? OK : ERROR_MEMORY;
	if (!error && (fread(tokens, sizeof(*tokens), head.tokens, file) != head.tokens ||
	               fread(state->bytes, 1, head.size, file) != head.size))
		error = ERROR_SYNTAX;
	if (!error)
		prefixes_add(prefixes, head.salt, tokens, state);
	free(tokens);
	kv_state_unref(&state);
	return error;
}

enum error prefixes_load(struct prefixes *prefixes, const char *path, uint64_t identity)
{
	struct file_head head = { 0 };
	enum error error = OK;
	FILE *file = fopen(path, "rbe");
	if (!file)
		return ERROR_NOT_FOUND;
	if (fread(&head, sizeof(head), 1, file) != 1 || head.magic != MAGIC)
		error = ERROR_SYNTAX;
	else if (head.identity != identity)
		error = ERROR_UNSUPPORTED;
	while (!error)
		error = read_entry(prefixes, file);
	fclose(file);
	return error == ERROR_NOT_FOUND ? OK : error;
}

uint64_t prefixes_bytes(struct prefixes *prefixes)
{
	pthread_mutex_lock(&prefixes->lock);
	uint64_t bytes = prefixes->bytes;
	pthread_mutex_unlock(&prefixes->lock);
	return bytes;
}

void prefixes_free(struct prefixes **prefixes_slot)
{
	struct prefixes *prefixes = *prefixes_slot;
	if (!prefixes)
		return;
	*prefixes_slot = NULL;
	while (prefixes->newest)
		drop(prefixes, prefixes->newest);
	pthread_mutex_destroy(&prefixes->lock);
	free(prefixes->rows);
	free(prefixes);
}
