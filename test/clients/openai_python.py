"""The official openai package of PyPI, unchanged, against the real model: streaming, tools, JSON schema, errors, retries.

With PENSTOCK_URL against one that runs already, in front of what PENSTOCK_BEHIND names (chain.py): what is that engine's own business is left out."""
import asyncio
import json
import os
import sys

import openai
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from penstock import Checks, Penstock, ROOT, ask

WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Weather of a city", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
PERSON = {"type": "json_schema", "json_schema": {"name": "person", "schema": {
    "type": "object", "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
    "required": ["name", "age"], "additionalProperties": False}}}
BEHIND = os.environ.get("PENSTOCK_BEHIND")
CALM = {"temperature": 0} if BEHIND == "llama-server" else {}  # ours are calm by their config
IS_OURS = BEHIND != "llama-server"  # that one leaves out what the schema requires, and knows other fields
ASK = [{"role": "user", "content": "What is the capital of France?"}]


def whole(client, checks):
    raw = client.chat.completions.with_raw_response.create(model="assistant", messages=ASK, max_tokens=20, **CALM)
    body = json.loads(raw.text)
    ChatCompletion.model_validate(body)
    choice = body["choices"][0]
    checks.check("a whole answer names Paris", "Paris" in choice["message"]["content"], choice)
    checks.check("logprobs and refusal are present", not IS_OURS or choice["logprobs"] is None and choice["message"]["refusal"] is None
                 and "logprobs" in choice and "refusal" in choice["message"])
    checks.check("usage adds up", body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"])
    checks.check("the real model's name is in the body", "smollm2-135m-instruct" in body["model"] if BEHIND else body["model"] == "smollm2-135m-instruct", body["model"])
    checks.check("the tier and replica are named", raw.headers.get("x-penstock-tier") == "small"
                 and raw.headers.get("x-penstock-replica") == "small/0")


def streamed(client, checks):
    stream = client.chat.completions.create(model="assistant", messages=ASK, max_tokens=20, stream=True,
                                            stream_options={"include_usage": True}, **CALM)
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    checks.check("a stream names Paris", "Paris" in text, text)
    checks.check("its first delta has the role", chunks[0].choices[0].delta.role == "assistant")
    checks.check("it finishes with stop", [c.choices[0].finish_reason for c in chunks if c.choices][-1] in (("stop",) if IS_OURS else ("stop", "length")))
    checks.check("usage comes last", not chunks[-1].choices and chunks[-1].usage.completion_tokens > 0)
    without = list(client.chat.completions.create(model="assistant", messages=ASK, max_tokens=5, stream=True))
    checks.check("no usage where none was asked for", all(chunk.choices for chunk in without))


def chunks_on_the_wire(client, checks):
    """The bytes that we send, against the schema: what the client makes of them would hide what is missing."""
    answer = asyncio.run(ask(client.base_url.port, {"model": "assistant", "messages": ASK, "max_tokens": 20, "stream": True,
                                                    "stream_options": {"include_usage": True}}))
    chunks = [json.loads(event) for event in answer.events if event != "[DONE]"]
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    checks.check("every chunk has what the schema wants", len(chunks) > 3 and all(
        {"id", "object", "created", "model", "choices", "usage"} <= set(chunk) for chunk in chunks) and all(
        {"index", "delta", "logprobs", "finish_reason"} <= set(choice) for choice in choices), chunks[:1])
    checks.check("all chunks are of one answer", len({(chunk["id"], chunk["created"]) for chunk in chunks}) == 1)


def tools(client, checks):
    asked = dict(model="assistant", messages=[{"role": "user", "content": "What is the weather in Paris?"}], tools=[WEATHER],
                 tool_choice="required", parallel_tool_calls=False, temperature=0, max_tokens=80)
    message = client.chat.completions.create(**asked).choices[0]
    call = message.message.tool_calls[0]
    checks.check("a tool call comes back", message.finish_reason == "tool_calls" and call.function.name == "get_weather"
                 and "city" in json.loads(call.function.arguments), message)
    name, arguments, identifier = "", "", ""
    for chunk in client.chat.completions.create(**asked, stream=True):
        for delta in chunk.choices[0].delta.tool_calls or []:
            identifier += delta.id or ""
            name += delta.function.name or ""
            arguments += delta.function.arguments or ""
    checks.check("and streamed", name == "get_weather" and "city" in json.loads(arguments) and identifier.startswith("call_"),
                 (name, arguments))
    conversation = [*asked["messages"], {"role": "assistant", "content": None, "tool_calls": [call.model_dump()]},
                    {"role": "tool", "tool_call_id": call.id, "content": "Sunny, 20 degrees"}]
    answer = client.chat.completions.create(model="assistant", messages=conversation, tools=[WEATHER], tool_choice="none", max_tokens=12)
    checks.check("a tool's result can be sent back", answer.choices[0].message.content)


def formats(client, checks):
    answer = client.chat.completions.create(model="assistant", messages=[{"role": "user", "content": "Invent a person."}],
                                            response_format=PERSON, max_tokens=80)
    person = json.loads(answer.choices[0].message.content)
    checks.check("a JSON schema is kept", set(person) == {"name", "age"} and isinstance(person["age"], int), person)
    answer = client.chat.completions.create(model="assistant", messages=[{"role": "user", "content": "A JSON object with a colour."}],
                                            response_format={"type": "json_object"}, max_tokens=120)
    if answer.choices[0].finish_reason == "stop":
        json.loads(answer.choices[0].message.content)
    checks.check("json_object gives an object", answer.choices[0].message.content.lstrip().startswith("{"),
                 answer.choices[0].message.content)


def fields(client, checks):
    answer = client.chat.completions.create(model="assistant", messages=ASK, max_tokens=4, logprobs=True, top_logprobs=3, seed=7,
                                            frequency_penalty=0.1, presence_penalty=0.1, logit_bias={"5": -1}, user="u",
                                            metadata={"a": "b"}, store=False, service_tier="auto", stop=["zzz"])
    content = answer.choices[0].logprobs.content
    checks.check("logprobs with alternatives", len(content) == 4 and len(content[0].top_logprobs) == 3 and content[0].logprob <= 0)
    same = [client.chat.completions.create(model="assistant", messages=ASK, max_tokens=12, seed=11, temperature=1.5)
            .choices[0].message.content for _ in range(2)]
    checks.check("a seed repeats itself", same[0] == same[1], same)
    stopped = client.chat.completions.create(model="assistant", messages=ASK, max_tokens=20, temperature=0, stop=[" Paris"])
    checks.check("a stop string ends the answer before itself", stopped.choices[0].message.content == "The capital of France is",
                 stopped.choices[0].message.content)
    raw = client.completions.with_raw_response.create(model="assistant", prompt="Once upon a time", max_tokens=5, logprobs=1)
    Completion.model_validate(json.loads(raw.text))
    checks.check("completions answer", len(json.loads(raw.text)["choices"][0]["logprobs"]["tokens"]) == 5)
    text = "".join(chunk.choices[0].text for chunk in client.completions.create(model="assistant", prompt="One two", max_tokens=5, stream=True))
    checks.check("completions stream", len(text) > 0)
    checks.check("models are listed", [model.id for model in client.models.list()] == ["assistant"])


def few_fields(client, checks):
    """Those that llama-server knows, too."""
    stopped = client.chat.completions.create(model="assistant", messages=ASK, max_tokens=20, temperature=0, stop=[" Paris"])
    checks.check("a stop string ends the answer before itself", stopped.choices[0].message.content == "The capital of France is",
                 stopped.choices[0].message.content)
    text = "".join(chunk.choices[0].text for chunk in client.completions.create(model="assistant", prompt="One two", max_tokens=5, stream=True)
                   if chunk.choices)
    checks.check("completions stream", len(text) > 0)
    try:
        client.chat.completions.create(model="assistant", messages=[{"role": "user", "content": "word " * 9000}])
        checks.check("a prompt over the context is refused", False)
    except openai.BadRequestError as error:
        checks.check("a prompt over the context is refused, in its words", "context" in str(error), error)


def errors(client, checks):
    def refused(what, kind, param, **fields):
        try:
            client.chat.completions.create(**{"model": "assistant", "messages": ASK, "max_tokens": 4, **fields})
            checks.check(what, False, "was accepted")
        except kind as error:
            checks.check(what, error.param == param, error)
    refused("an unknown model is 404", openai.NotFoundError, "model", model="nope")
    refused("image parts are refused by name", openai.BadRequestError, "messages.[0].content.[0].type",
            messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}])
    refused("n above 8 is refused by name", openai.BadRequestError, "n", n=9)
    refused("audio is refused by name", openai.BadRequestError, "audio", audio={"voice": "alloy", "format": "wav"})
    refused("a prompt over the context is refused", openai.BadRequestError, "messages",
            messages=[{"role": "user", "content": "word " * 9000}])
    raw = client.chat.completions.with_raw_response.create(model="assistant", messages=ASK, max_tokens=2, extra_body={"foo": 1})
    if BEHIND:
        return  # they are passed on: to the front they are not unknown
    checks.check("unknown fields are named", raw.headers.get("x-penstock-ignored") == "foo", raw.headers)


PARTS = (whole, streamed, chunks_on_the_wire, tools, formats, fields, errors) if IS_OURS else (whole, streamed, formats, few_fields)


def behind(url):
    checks = Checks()
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60)
    for part in PARTS:
        try:
            part(client, checks)
        except Exception as error:
            checks.check(part.__name__, False, repr(error))
    checks.end()


def main():
    if "PENSTOCK_URL" in os.environ:
        return behind(os.environ["PENSTOCK_URL"])
    checks = Checks()
    with open(os.path.join(ROOT, "examples/quickstart.yaml")) as file:
        lines = [line for line in file if not line.startswith(("listen:", "admin:"))]
    penstock = Penstock("".join(lines))
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{penstock.port}/v1", api_key="none", max_retries=0, timeout=60)
    try:
        for part in PARTS:
            try:
                part(client, checks)
            except Exception as error:  # a part that breaks is a failed check, not the end of the run
                checks.check(part.__name__, False, repr(error))
    finally:
        checks.check("it stops cleanly", penstock.stop() == 0)
        if checks.failed:
            print(penstock.log_text())
    checks.end()


if __name__ == "__main__":
    sys.exit(main())
