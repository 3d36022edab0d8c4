// The only C++ file: llama-common's chat functions behind chat.h. Prebuilt library and headers are of one pinned version (the set-up
// checks both), which is what makes sharing C++ types with it safe.
#include "engine/chat.h"

#include <chat.h>
#include <common.h>
#include <log.h>
#include <llama.h>

#include <exception>
#include <list>
#include <mutex>
#include <random>
#include <regex>
#include <set>
#include <string>
#include <vector>

// Compiled grammars, the latest first: a schema is asked for again and again, and compiling a large one takes longer than a step.
struct grammar_cache {
	static constexpr size_t count_max = 32;
	struct entry {
		std::string key;
		llama_sampler *sampler;
	};
	std::mutex lock;
	std::list<entry> entries;

	~grammar_cache()
	{
		for (const entry &known : entries)
			llama_sampler_free(known.sampler);
	}

	// A sampler of its own for the caller; NULL: not known.
	llama_sampler *take(const std::string &key)
	{
		const std::lock_guard<std::mutex> guard(lock);
		for (auto known = entries.begin(); known != entries.end(); ++known) {
			if (known->key != key)
				continue;
			entries.splice(entries.begin(), entries, known);
			return llama_sampler_clone(known->sampler);
		}
		return nullptr;
	}

	void keep(const std::string &key, const llama_sampler *sampler)
	{
		const std::lock_guard<std::mutex> guard(lock);
		entries.push_front({ key, llama_sampler_clone(sampler) });
		if (entries.size() > count_max) {
			llama_sampler_free(entries.back().sampler);
			entries.pop_back();
		}
	}
};

struct chat_templates {
	common_chat_templates_ptr templates;
	const llama_model *model;
	bool thinks; // answers may hold reasoning, which has to be parsed out
	grammar_cache grammars;
};

struct chat_prompt {
	common_chat_params params;
	common_chat_parser_params parser;
	std::set<llama_token> preserved;
	std::string output;
	common_chat_msg message;
	std::vector<std::string> tool_ids;
	size_t tools_named = 0;
	bool needs_parse = false;
	bool is_broken = false;
};

namespace
{

struct span span_of_string(const std::string &text)
{
	return { text.data(), text.size() };
}

std::string make_tool_id()
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	std::random_device random;
	std::string id = "call_";
	for (int i = 0; i < 24; i++)
		id += letters[random() % (sizeof(letters) - 1)];
	return id;
}

// Runs a function that may throw; what it says becomes the fault's text.
template <typename Function> enum error guarded(struct bytes *fault, enum error on_throw, Function function)
{
	try {
		return function();
	} catch (const std::bad_alloc &) {
		return ERROR_MEMORY;
	} catch (const std::exception &exception) {
		if (fault)
			bytes_append_text(fault, exception.what());
		return on_throw;
	}
}

// "developer" is OpenAI's newer word for system; templates know only the older one.
void rename_developer(common_json &messages)
{
	for (size_t i = 0; i < messages.size(); i++) {
		common_json &message = messages.at(i);
		if (message.at("role").get<std::string>() == "developer")
			message["role"] = "system";
	}
}

bool is_given(const common_json &body, const char *key)
{
	return body.contains(key) && !body.at(key).is_null();
}

std::string schema_of(const common_json &body)
{
	if (!is_given(body, "response_format"))
		return "";
	const common_json &format = body.at("response_format");
	const std::string type = format.at("type").get<std::string>();
	if (type == "json_object")
		return R"({"type":"object"})";
	if (type == "json_schema")
		return format.at("json_schema").at("schema").dump();
	return "";
}

// {"type":"function","function":{"name":..}} means: this one, required.
void take_tools(const common_json &body, common_chat_templates_inputs &inputs)
{
	if (!is_given(body, "tools"))
		return;
	common_json tools = body.at("tools");
	inputs.tool_choice = COMMON_CHAT_TOOL_CHOICE_AUTO;
	if (is_given(body, "tool_choice")) {
		const common_json &choice = body.at("tool_choice");
		if (choice.is_string()) {
			inputs.tool_choice = common_chat_tool_choice_parse_oaicompat(choice.get<std::string>());
		} else {
			const std::string wanted = choice.at("function").at("name").get<std::string>();
			common_json chosen = common_json::array();
			for (size_t i = 0; i < tools.size(); i++) {
				if (tools.at(i).at("function").at("name").get<std::string>() == wanted)
					chosen.push_back(tools.at(i));
			}
			if (chosen.empty())
				throw std::runtime_error("'tool_choice' names the function '" + wanted + "', which is not in 'tools'.");
			tools = chosen;
			inputs.tool_choice = COMMON_CHAT_TOOL_CHOICE_REQUIRED;
		}
	}
	inputs.tools = common_chat_tools_parse_oaicompat(tools);
	inputs.parallel_tool_calls = !is_given(body, "parallel_tool_calls") || body.at("parallel_tool_calls").get<bool>();
}

void take_reasoning_effort(const common_json &body, common_chat_templates_inputs &inputs)
{
	if (!is_given(body, "reasoning_effort"))
		return;
	const std::string effort = body.at("reasoning_effort").get<std::string>();
	if (effort == "none")
		inputs.enable_thinking = false;
	else
		inputs.chat_template_kwargs["reasoning_effort"] = common_json::make(effort).dump();
}

// "required" means a call, not an essay that may end in one: a small model would talk until its limit. Takes the optional
// free text before the calls out of the root rule; the parser can do without it.
void forbid_preamble(std::string &grammar)
{
	static const std::regex preamble("(^|\\n)(root ::= [^\\n]*?)until-[0-9]+\\? (?=tool-calls)");
	grammar = std::regex_replace(grammar, preamble, "$1$2");
}

// llama-common's grammar of the Hermes format repeats calls whatever parallel_tool_calls says: takes both repetitions out.
void forbid_second_call(std::string &grammar)
{
	static const std::regex calls("(^|\\n)(tool-calls ::= \\(tool-call space\\))\\+");
	static const std::regex in_call("(\\n|^)(tool-call ::= [^\\n]*?) \\(space \",\" space \\([^\\n]*?\\)\\)\\*");
	grammar = std::regex_replace(std::regex_replace(grammar, calls, "$1$2"), in_call, "$1$2");
}

common_chat_templates_inputs inputs_of(common_json &body)
{
	common_chat_templates_inputs inputs;
	rename_developer(body["messages"]);
	inputs.messages = common_chat_msgs_parse_oaicompat(body.at("messages"));
	inputs.json_schema = schema_of(body);
	inputs.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
	take_tools(body, inputs);
	take_reasoning_effort(body, inputs);
	return inputs;
}

void emit_delta(const common_chat_msg_diff &diff, struct chat_prompt *prompt,
                void (*emit)(void *owner, const struct chat_delta *delta), void *owner)
{
	struct chat_delta delta = {};
	if (!diff.reasoning_content_delta.empty()) {
		delta.kind = CHAT_DELTA_REASONING;
		delta.text = span_of_string(diff.reasoning_content_delta);
		emit(owner, &delta);
	}
	if (!diff.content_delta.empty()) {
		delta.kind = CHAT_DELTA_CONTENT;
		delta.text = span_of_string(diff.content_delta);
		emit(owner, &delta);
	}
	if (diff.tool_call_index == std::string::npos)
		return;
	delta.kind = CHAT_DELTA_TOOL;
	delta.tool_index = diff.tool_call_index;
	delta.text = span_of_string(diff.tool_call_delta.arguments);
	if (diff.tool_call_index >= prompt->tools_named) {
		const common_chat_tool_call &call = prompt->message.tool_calls.at(diff.tool_call_index);
		if (call.name.empty())
			return;
		prompt->tools_named = diff.tool_call_index + 1;
		delta.tool_id = span_of_string(call.id);
		delta.tool_name = span_of_string(call.name);
	}
	emit(owner, &delta);
}

} // namespace

extern "C" enum error chat_templates_open(const struct llama_model *model, struct span override,
                                          struct chat_templates **out, struct bytes *fault)
{
	return guarded(fault, ERROR_MODEL, [&] {
		common_log_set_verbosity_thold(LOG_LEVEL_ERROR); // what it warns of is what we asked for
		auto templates = std::make_unique<chat_templates>();
		templates->templates =
			common_chat_templates_init(model, std::string(override.at ? override.at : "", override.len));
		templates->model = model;
		common_chat_templates_inputs probe;
		probe.messages.resize(1);
		probe.messages[0].role = "user";
		probe.messages[0].content = "Hello";
		templates->thinks = common_chat_templates_apply(templates->templates.get(), probe).supports_thinking;
		*out = templates.release();
		return OK;
	});
}

extern "C" void chat_templates_close(struct chat_templates **templates)
{
	delete *templates;
	*templates = nullptr;
}

extern "C" enum error chat_render(struct chat_templates *templates, struct span body, struct chat_prompt **out,
                                  struct bytes *fault)
{
	return guarded(fault, ERROR_SYNTAX, [&] {
		common_json json = common_json::parse(std::string(body.at, body.len));
		common_chat_templates_inputs inputs = inputs_of(json);
		auto prompt = std::make_unique<chat_prompt>();
		// Working out how a template writes tools and reasoning costs 4 ms a request; plain text in, plain text out needs none of it.
		inputs.force_pure_content = inputs.tools.empty() && inputs.json_schema.empty() && !templates->thinks;
		prompt->params = common_chat_templates_apply(templates->templates.get(), inputs);
		if (inputs.tool_choice == COMMON_CHAT_TOOL_CHOICE_REQUIRED && !inputs.tools.empty())
			forbid_preamble(prompt->params.grammar);
		if (!inputs.parallel_tool_calls && !inputs.tools.empty())
			forbid_second_call(prompt->params.grammar);
		prompt->parser = common_chat_parser_params(prompt->params);
		prompt->parser.reasoning_format = inputs.reasoning_format;
		prompt->parser.parse_tool_calls = !inputs.tools.empty() && inputs.tool_choice != COMMON_CHAT_TOOL_CHOICE_NONE;
		if (!prompt->params.parser.empty())
			prompt->parser.parser.load(prompt->params.parser);
		/* A grammar may allow fences around the JSON, which the parser takes off. */
		prompt->needs_parse =
			prompt->parser.parse_tool_calls || prompt->params.supports_thinking || !prompt->params.grammar.empty();
		const llama_vocab *vocab = llama_model_get_vocab(templates->model);
		for (const std::string &text : prompt->params.preserved_tokens) {
			const auto ids = common_tokenize(vocab, text, false, true);
			if (ids.size() == 1)
				prompt->preserved.insert(ids[0]);
		}
		*out = prompt.release();
		return OK;
	});
}

extern "C" void chat_prompt_free(struct chat_prompt **prompt)
{
	delete *prompt;
	*prompt = nullptr;
}

extern "C" struct span chat_prompt_text(const struct chat_prompt *prompt)
{
	return span_of_string(prompt->params.prompt);
}

extern "C" struct span chat_prompt_stop(const struct chat_prompt *prompt, size_t index)
{
	if (index >= prompt->params.additional_stops.size())
		return {};
	return span_of_string(prompt->params.additional_stops[index]);
}

namespace
{

// What starts a lazy grammar.
struct grammar_triggers {
	std::vector<std::string> patterns;
	std::vector<llama_token> tokens;
};

grammar_triggers triggers_of(const common_chat_params &params, const llama_vocab *vocab)
{
	grammar_triggers triggers;
	for (const common_grammar_trigger &trigger : params.grammar_triggers) {
		switch (trigger.type) {
		case COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN:
			triggers.tokens.push_back(trigger.token);
			break;
		case COMMON_GRAMMAR_TRIGGER_TYPE_WORD: {
			const auto ids = common_tokenize(vocab, trigger.value, false, true);
			if (ids.size() == 1)
				triggers.tokens.push_back(ids[0]);
			else
				triggers.patterns.push_back(regex_escape(trigger.value));
			break;
		}
		case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN:
			triggers.patterns.push_back(trigger.value);
			break;
		case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN_FULL:
			triggers.patterns.push_back("^(?:" + trigger.value + ")$");
			break;
		}
	}
	return triggers;
}

llama_sampler *compile(const common_chat_params &params, const grammar_triggers &triggers, const llama_vocab *vocab)
{
	std::vector<const char *> patterns;
	for (const std::string &pattern : triggers.patterns)
		patterns.push_back(pattern.c_str());
	llama_sampler *sampler =
		params.grammar_lazy
			? llama_sampler_init_grammar_lazy_patterns(vocab, params.grammar.c_str(), "root", patterns.data(),
	                                                   patterns.size(), triggers.tokens.data(), triggers.tokens.size())
			: llama_sampler_init_grammar(vocab, params.grammar.c_str(), "root");
	if (!sampler)
		throw std::runtime_error("The JSON schema or tool format can't be turned into a grammar.");
	// The template may have written the beginning of the answer already.
	if (!params.grammar_lazy && !params.generation_prompt.empty()) {
		for (llama_token token : common_tokenize(vocab, params.generation_prompt, false, true))
			llama_sampler_accept(sampler, token);
	}
	return sampler;
}

// Everything that compile looks at; lengths keep one part from passing for another.
std::string key_of(const common_chat_params &params, const grammar_triggers &triggers)
{
	std::string key = params.grammar_lazy ? "lazy" : "now";
	const auto add = [&key](const std::string &part) { key += ":" + std::to_string(part.size()) + ":" + part; };
	add(params.grammar);
	add(params.generation_prompt);
	for (const std::string &pattern : triggers.patterns)
		add(pattern);
	for (llama_token token : triggers.tokens)
		key += "," + std::to_string(token);
	return key;
}

} // namespace

extern "C" enum error chat_prompt_grammar(struct chat_templates *templates, const struct chat_prompt *prompt,
                                          struct llama_sampler **out, struct bytes *fault)
{
	*out = nullptr;
	const common_chat_params &params = prompt->params;
	if (params.grammar.empty())
		return OK;
	return guarded(fault, ERROR_SYNTAX, [&] {
		const llama_vocab *vocab = llama_model_get_vocab(templates->model);
		const grammar_triggers triggers = triggers_of(params, vocab);
		const std::string key = key_of(params, triggers);
		*out = templates->grammars.take(key);
		if (*out)
			return OK;
		*out = compile(params, triggers, vocab);
		templates->grammars.keep(key, *out);
		return OK;
	});
}

extern "C" bool chat_prompt_keeps_token(const struct chat_prompt *prompt, int32_t token)
{
	return prompt->preserved.count(token) != 0;
}

extern "C" bool chat_prompt_needs_parse(const struct chat_prompt *prompt)
{
	return prompt->needs_parse;
}

extern "C" enum error chat_parse(struct chat_prompt *prompt, struct span added, bool is_final,
                                 void (*emit)(void *owner, const struct chat_delta *delta), void *owner)
{
	struct chat_delta plain = {};
	plain.kind = CHAT_DELTA_CONTENT;
	plain.text = added;
	if (prompt->is_broken || !prompt->needs_parse) {
		if (added.len)
			emit(owner, &plain);
		return OK;
	}
	enum error error = guarded(nullptr, ERROR_SYNTAX, [&] {
		prompt->output.append(added.at ? added.at : "", added.len);
		const common_chat_msg before = prompt->message;
		common_chat_msg now = common_chat_parse(prompt->output, !is_final, prompt->parser);
		if (now.empty())
			return OK;
		now.set_tool_call_ids(prompt->tool_ids, make_tool_id);
		prompt->message = now;
		for (const common_chat_msg_diff &diff : common_chat_msg_diff::compute_diffs(before, now))
			emit_delta(diff, prompt, emit, owner);
		return OK;
	});
	if (error == ERROR_SYNTAX) {
		prompt->is_broken = true;
		if (added.len)
			emit(owner, &plain);
	}
	return error;
}
