#include "replay/words.h"

#include <string.h>

#include "base/random.h"

/* Frequent English words, most of one token with a blank before them, so that the bytes of a token come out as in prose. Sixteen bytes each, so
 * that one is copied without looking at its length; 256 of them, so that a random byte is one. */
#define WORD_BYTES 16
static const char words[][WORD_BYTES] = {
	"the ",      "of ",        "and ",     "to ",      "in ",       "a ",       "is ",       "that ",      "for ",
	"it ",       "as ",        "was ",     "with ",    "be ",       "by ",      "on ",       "not ",       "he ",
	"this ",     "are ",       "or ",      "his ",     "from ",     "at ",      "which ",    "but ",       "have ",
	"an ",       "had ",       "they ",    "you ",     "were ",     "their ",   "one ",      "all ",       "we ",
	"can ",      "her ",       "has ",     "there ",   "been ",     "if ",      "more ",     "when ",      "will ",
	"would ",    "who ",       "so ",      "no ",      "she ",      "other ",   "its ",      "may ",       "these ",
	"what ",     "them ",      "than ",    "some ",    "him ",      "time ",    "into ",     "only ",      "do ",
	"such ",     "my ",        "new ",     "about ",   "out ",      "also ",    "two ",      "any ",       "up ",
	"first ",    "could ",     "our ",     "then ",    "most ",     "see ",     "me ",       "should ",    "after ",
	"said ",     "your ",      "very ",    "between ", "made ",     "many ",    "over ",     "like ",      "those ",
	"did ",      "now ",       "even ",    "well ",    "where ",    "must ",    "people ",   "through ",   "how ",
	"same ",     "work ",      "being ",   "because ", "man ",      "life ",    "before ",   "each ",      "much ",
	"under ",    "years ",     "way ",     "great ",   "state ",    "both ",    "use ",      "upon ",      "own ",
	"used ",     "however ",   "us ",      "part ",    "good ",     "world ",   "make ",     "three ",     "while ",
	"long ",     "day ",       "without ", "just ",    "men ",      "general ", "during ",   "another ",   "little ",
	"found ",    "here ",      "system ",  "does ",    "de ",       "down ",    "number ",   "case ",      "against ",
	"might ",    "still ",     "back ",    "right ",   "know ",     "place ",   "every ",    "high ",      "second ",
	"public ",   "since ",     "end ",     "off ",     "order ",    "power ",   "come ",     "different ", "house ",
	"form ",     "water ",     "take ",    "law ",     "within ",   "social ",  "group ",    "small ",     "point ",
	"less ",     "large ",     "given ",   "human ",   "old ",      "last ",    "never ",    "left ",      "present ",
	"until ",    "always ",    "set ",     "think ",   "went ",     "fact ",    "name ",     "country ",   "important ",
	"among ",    "available ", "say ",     "help ",    "give ",     "side ",    "school ",   "early ",     "several ",
	"book ",     "family ",    "problem ", "data ",    "question ", "process ", "per ",      "area ",      "local ",
	"children ", "cases ",     "light ",   "week ",    "later ",    "air ",     "body ",     "report ",    "city ",
	"study ",    "common ",    "river ",   "thought ", "history ",  "mind ",    "taken ",    "true ",      "better ",
	"home ",     "best ",      "field ",   "hand ",    "money ",    "young ",   "research ", "change ",    "woman ",
	"care ",     "service ",   "value ",   "example ", "reason ",   "morning ", "night ",    "letter ",    "market ",
	"music ",    "nature ",    "paper ",   "plan ",    "price ",    "result ",  "road ",     "story ",     "table ",
	"town ",     "tree ",      "year ",    "window ",
};
_Static_assert(sizeof(words) / sizeof(words[0]) == 256, "a random byte names a word");

void words_write(char *out, size_t len, uint64_t seed)
{
	struct random random;
	random_seed(&random, seed);
	size_t at = 0;
	while (at + 8 * WORD_BYTES <= len) {
		uint64_t bits = random_u64(&random);
		for (int i = 0; i < 8; i++, bits >>= 8) {
			const char *word = words[bits & 255];
			memcpy(out + at, word, WORD_BYTES);
			at += strlen(word);
		}
	}
	while (at < len) {
		uint64_t bits = random_u64(&random);
		for (int i = 0; i < 8 && at < len; i++, bits >>= 8) {
			const char *word = words[bits & 255];
			const size_t size = strlen(word);
			const size_t room = len - at;
			memcpy(out + at, word, size < room ? size : room);
			at += size < room ? size : room;
		}
	}
}
