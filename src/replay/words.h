/* Text of ordinary words: as long as asked for, different for every seed, the same for the same one. */
#ifndef PENSTOCK_REPLAY_WORDS_H
#define PENSTOCK_REPLAY_WORDS_H

#include <stddef.h>
#include <stdint.h>

/* Writes exactly len bytes of lower-case words with blanks between them: nothing that JSON would escape. A shorter text of the same seed is the
 * beginning of a longer one. */
void words_write(char *out, size_t len, uint64_t seed);

#endif
