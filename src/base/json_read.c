/* Looking things up in a parsed document. Everything here trusts the offsets that json_parse recorded: a node's text
 * is well-formed, so decoding needs no checks of its own. */
#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_BYTES_SMALL 128

static const struct json_node *node_at(const struct json *json, uint32_t node)
{
	MUST(node < json->count);
	return &json->nodes[node];
}

enum json_type json_type(const struct json *json, uint32_t node)
{
	return (enum json_type)node_at(json, node)->type;
}

struct span json_raw(const struct json *json, uint32_t node)
{
	const struct json_node *found = node_at(json, node);
	return (struct span){ json->text + found->start, found->end - found->start };
}

uint32_t json_first(const struct json *json, uint32_t node)
{
	return node_at(json, node)->count > 0 ? node + 1 : JSON_NONE;
}

uint32_t json_next(const struct json *json, uint32_t parent, uint32_t child)
{
	const uint32_t next = node_at(json, child)->next;
	return next < node_at(json, parent)->next ? next : JSON_NONE;
}

static uint32_t hex_value(char byte)
{
	if (byte <= '9')
		return (uint32_t)(byte - '0');
	return (uint32_t)((byte | 0x20) - 'a' + 10);
}

static uint32_t hex4(const char *at)
{
	return hex_value(at[0]) << 12 | hex_value(at[1]) << 8 | hex_value(at[2]) << 4 | hex_value(at[3]);
}

static size_t encode_utf8(uint32_t point, char out[4])
{
	if (point < 0x80) {
		out[0] = (char)point;
		return 1;
	}
	if (point < 0x800) {
		out[0] = (char)(0xc0 | point >> 6);
		out[1] = (char)(0x80 | (point & 0x3f));
		return 2;
	}
	if (point < 0x10000) {
		out[0] = (char)(0xe0 | point >> 12);
		out[1] = (char)(0x80 | (point >> 6 & 0x3f));
		out[2] = (char)(0x80 | (point & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | point >> 18);
	out[1] = (char)(0x80 | (point >> 12 & 0x3f));
	out[2] = (char)(0x80 | (point >> 6 & 0x3f));
	out[3] = (char)(0x80 | (point & 0x3f));
	return 4;
}

/* Stands on \u; returns the bytes read. A pair of surrogates counts as one escape. */
static size_t unescape_unicode(const char *at, char out[4], size_t *out_len)
{
	uint32_t point = hex4(at + 2);
	size_t taken = 6;
	/* Reading on past the escape is safe: the closing quote stands at the latest at at[6]. */
	if (point >= 0xd800 && point < 0xdc00 && at[6] == '\\' && at[7] == 'u') {
		const uint32_t low = hex4(at + 8);
		if (low >= 0xdc00 && low < 0xe000) {
			point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
			taken = 12;
		}
	}
	if (point >= 0xd800 && point < 0xe000)
		point = 0xfffd;
	*out_len = encode_utf8(point, out);
	return taken;
}

/* Decodes the escape at `at` to 1-4 bytes; returns the bytes read. */
static size_t unescape(const char *at, char out[4], size_t *out_len)
{
	*out_len = 1;
	switch (at[1]) {
	case 'u':
		return unescape_unicode(at, out, out_len);
	case 'b':
		out[0] = '\b';
		break;
	case 'f':
		out[0] = '\f';
		break;
	case 'n':
		out[0] = '\n';
		break;
	case 'r':
		out[0] = '\r';
		break;
	case 't':
		out[0] = '\t';
		break;
	default:
		out[0] = at[1];
		break;
	}
	return 2;
}

/* A string without its quotes. */
static struct span inside(const struct json *json, const struct json_node *node)
{
	return (struct span){ json->text + node->start + 1, node->end - node->start - 2 };
}

/* Compares without decoding into memory: keys with escapes are rare, and json_get has no arena. */
static bool escaped_equal(struct span text, struct span wanted)
{
	size_t matched = 0;
	for (size_t i = 0; i < text.len;) {
		char decoded[4] = { text.at[i] };
		size_t decoded_len = 1;
		i += text.at[i] == '\\' ? unescape(text.at + i, decoded, &decoded_len) : 1;
		if (decoded_len > wanted.len - matched || memcmp(decoded, wanted.at + matched, decoded_len) != 0)
			return false;
		matched += decoded_len;
	}
	return matched == wanted.len;
}

uint32_t json_get(const struct json *json, uint32_t node, const char *key)
{
	if (json_type(json, node) != JSON_OBJECT)
		return JSON_NONE;
	const struct span wanted = span_of(key);
	uint32_t found = json_first(json, node);
	while (found != JSON_NONE) {
		const struct json_node *name = &json->nodes[found];
		const struct span text = inside(json, name);
		if (name->escaped ? escaped_equal(text, wanted) : span_equal(text, wanted))
			return found + 1;
		found = json_next(json, node, found + 1);
	}
	return JSON_NONE;
}

enum error json_string(const struct json *json, uint32_t node, struct arena *arena, struct span *out)
{
	const struct json_node *found = node_at(json, node);
	if (found->type != JSON_STRING)
		return ERROR_SYNTAX;
	const struct span text = inside(json, found);
	if (!found->escaped) {
		*out = text;
		return OK;
	}
	/* Decoding never makes a string longer. */
	char *decoded = arena_alloc(arena, text.len + 1);
	if (decoded == NULL)
		return ERROR_MEMORY;
	size_t len = 0;
	for (size_t i = 0; i < text.len;) {
		const size_t run = span_find((struct span){ text.at + i, text.len - i }, '\\');
		memcpy(decoded + len, text.at + i, run);
		len += run;
		i += run;
		if (i == text.len)
			break;
		char bytes[4];
		size_t bytes_len;
		i += unescape(text.at + i, bytes, &bytes_len);
		memcpy(decoded + len, bytes, bytes_len);
		len += bytes_len;
	}
	decoded[len] = '\0';
	*out = (struct span){ decoded, len };
	return OK;
}

enum error json_double(const struct json *json, uint32_t node, double *out)
{
	if (json_type(json, node) != JSON_NUMBER)
		return ERROR_SYNTAX;
	/* strtod wants a NUL, and the text has none. The program never leaves the C locale. */
	const struct span text = json_raw(json, node);
	char small[NUMBER_BYTES_SMALL];
	char *copy = text.len < sizeof(small) ? small : malloc(text.len + 1);
	if (copy == NULL)
		return ERROR_MEMORY;
	memcpy(copy, text.at, text.len);
	copy[text.len] = '\0';
	const double value = strtod(copy, NULL);
	if (copy != small)
		free(copy);
	if (!isfinite(value))
		return ERROR_RANGE;
	*out = value;
	return OK;
}

/* A number in exact decimal: digits * 10^scale, the digits without zeros at their end. */
struct decimal {
	uint64_t digits;
	int64_t scale;
	bool over; /* digits needs more than 64 bits */
};

static void multiply_by_ten(struct decimal *decimal, int64_t times)
{
	for (int64_t i = 0; i < times && !decimal->over; i++)
		decimal->over = __builtin_mul_overflow(decimal->digits, 10, &decimal->digits);
}

/* Exponents past this are as good as infinite: no text below 4 GiB has digits enough to make up for it. */
#define EXPONENT_MAX INT64_C(1000000000000)

static int64_t read_exponent(struct span text)
{
	const bool is_negative = text.at[0] == '-';
	int64_t value = 0;
	for (size_t i = text.at[0] == '-' || text.at[0] == '+'; i < text.len && value < EXPONENT_MAX; i++)
		value = value * 10 + (text.at[i] - '0');
	return is_negative ? -value : value;
}

static struct decimal read_decimal(struct span text)
{
	struct decimal decimal = { 0 };
	int64_t zeros = 0; /* read, not yet part of digits */
	bool in_fraction = false;
	for (size_t i = 0; i < text.len; i++) {
		const char byte = text.at[i];
		if (byte == 'e' || byte == 'E') {
			decimal.scale += read_exponent((struct span){ text.at + i + 1, text.len - i - 1 });
			break;
		}
		if (byte == '.') {
			in_fraction = true;
			continue;
		}
		decimal.scale -= in_fraction;
		if (byte == '0') {
			zeros += decimal.digits > 0;
			continue;
		}
		multiply_by_ten(&decimal, zeros + 1);
		zeros = 0;
		decimal.over = decimal.over || __builtin_add_overflow(decimal.digits, byte - '0', &decimal.digits);
	}
	decimal.scale += zeros;
	return decimal;
}

enum error json_int64(const struct json *json, uint32_t node, int64_t *out)
{
	if (json_type(json, node) != JSON_NUMBER)
		return ERROR_SYNTAX;
	struct span text = json_raw(json, node);
	const bool is_negative = text.at[0] == '-';
	if (is_negative) {
		text.at++;
		text.len--;
	}
	struct decimal decimal = read_decimal(text);
	if (decimal.digits == 0 && !decimal.over) {
		*out = 0;
		return OK;
	}
	if (decimal.scale < 0)
		return ERROR_SYNTAX;
	multiply_by_ten(&decimal, decimal.scale);
	const uint64_t max = is_negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
	if (decimal.over || decimal.digits > max)
		return ERROR_RANGE;
	*out = (int64_t)(is_negative ? 0 - decimal.digits : decimal.digits);
	return OK;
}
