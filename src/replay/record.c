#include "replay/record.h"

static const struct {
	const char *name;
	const char *text;
	enum outcome_kind kind;
} outcomes[] = {
#define OUTCOME(name, kind, text) { #name, text, OUTCOME_KIND_##kind },
#include "replay/outcomes.def"
#undef OUTCOME
};

const char *outcome_text(enum replay_outcome outcome)
{
	return outcomes[outcome].text;
}

const char *outcome_name(enum replay_outcome outcome)
{
	return outcomes[outcome].name;
}

enum outcome_kind outcome_kind(enum replay_outcome outcome)
{
	return outcomes[outcome].kind;
}
