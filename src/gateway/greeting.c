/* What somebody who has just started Penstock wants to type next. */
#include <stdio.h>

#include "gateway/gateway_parts.h"

void greeting_print(const struct gateway *gateway)
{
	struct bytes at = { 0 };
	struct bytes admin = { 0 };
	const char *model = gateway->config->routes[0].name;
	const struct address *address = listener_address(gateway->listeners[0]);
	bool is_unix = address->kind == ADDRESS_UNIX;
	const char *scheme = gateway->tls ? "https://" : "http://";
	address_write(&at, address);
	address_write(&admin, listener_address(gateway->admin_listeners[0]));
	printf("ready: %s%s, admin %s\n", is_unix ? "" : scheme, bytes_text(&at), bytes_text(&admin));
	if (!is_unix) {
		printf("\n  curl -N %s%s/v1/chat/completions -H 'content-type: application/json' \\\n"
		       "    -d '{\"model\": \"%s\", \"stream\": true, \"messages\": [{\"role\": \"user\", \"content\": \"What "
		       "is the capital of "
		       "France?\"}]}'\n\n"
		       "  # pip install openai\n"
		       "  from openai import OpenAI\n"
		       "  client = OpenAI(base_url=\"%s%s/v1\", api_key=\"%s\")\n"
		       "  for chunk in client.chat.completions.create(model=\"%s\", stream=True,\n"
		       "          messages=[{\"role\": \"user\", \"content\": \"What is the capital of France?\"}]):\n"
		       "      print(chunk.choices[0].delta.content or \"\", end=\"\", flush=True)\n\n",
		       scheme, bytes_text(&at), model, scheme, bytes_text(&at),
		       gateway->config->key_count ? "YOUR KEY" : "none", model);
	}
	fflush(stdout);
	bytes_fini(&at);
	bytes_fini(&admin);
}
