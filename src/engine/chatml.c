/* Jinja, with every line break written out: the template decides to the byte what the model reads. */
#include "engine/chatml.h"

static const char source[] =
	"{%- if tools %}"
	"{{- '<|im_start|>system\\n' }}"
	"{%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}"
	"{{- 'You can call functions. Their signatures, as JSON, are inside <tools></tools>:\\n<tools>' }}"
	"{%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}"
	"{{- '\\n</tools>\\n\\nTo call a function, answer with its name and arguments as JSON inside "
	"<tool_call></tool_call>:\\n"
	"<tool_call>\\n{\"name\": <function-name>, \"arguments\": <arguments-object>}\\n</tool_call><|im_end|>\\n' }}"
	"{%- elif messages[0].role == 'system' %}"
	"{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}"
	"{%- endif %}"
	"{%- for message in messages %}"
	"{%- if message.role == 'assistant' %}"
	"{{- '<|im_start|>assistant' }}"
	"{%- if message.content %}{{- '\\n' + message.content }}{%- endif %}"
	"{%- for tool_call in message.tool_calls %}"
	"{%- if tool_call.function is defined %}{%- set tool_call = tool_call.function %}{%- endif %}"
	"{{- '\\n<tool_call>\\n{\"name\": \"' }}{{- tool_call.name }}{{- '\", \"arguments\": ' }}"
	"{{- tool_call.arguments | tojson }}{{- '}\\n</tool_call>' }}"
	"{%- endfor %}"
	"{{- '<|im_end|>\\n' }}"
	"{%- elif message.role == 'tool' %}"
	"{%- if loop.index0 == 0 or messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}"
	"{{- '\\n<tool_response>\\n' }}{{- message.content }}{{- '\\n</tool_response>' }}"
	"{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\\n' }}{%- endif %}"
	"{%- elif message.role == 'user' or (message.role == 'system' and not loop.first) %}"
	"{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
	"{%- endif %}"
	"{%- endfor %}"
	"{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";

struct span chatml_template(void)
{
	return (struct span){ source, sizeof(source) - 1 };
}
