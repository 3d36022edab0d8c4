"""upstream.kind: anthropic. Penstock between clients of OpenAI's chat completions and a fake of Anthropic's Messages API, on top of faulty.py: what is sent, and
what comes of answers, streams, tools, errors and cuts. With the openai package at hand (python with it as the interpreter) that is a client, too.

Usage: anthropic.py"""
import asyncio
import json

from faulty import Faulty, sequence
from penstock import Checks, Penstock, ask, chat

try:
    import openai
    from openai.types.chat import ChatCompletion, ChatCompletionChunk
except ImportError:
    openai = None

checks = Checks()
WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Weather of a city", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}


# ---- the other side ----

def event(kind, **fields):
    return b"event: " + kind.encode() + b"\ndata: " + json.dumps({"type": kind, **fields}, ensure_ascii=False).encode() + b"\n\n"


def start(**usage):
    usage = {"input_tokens": 5, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 100, "output_tokens": 1, **usage}
    return event("message_start", message={"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "claude-fake",
                                           "stop_reason": None, "stop_sequence": None, "usage": usage})


def block(index, kind, *deltas, **fields):
    out = event("content_block_start", index=index, content_block={"type": kind, **fields})
    for delta in deltas:
        out += event("content_block_delta", index=index, delta=delta)
    return out + event("content_block_stop", index=index)


def text(*parts, index=0):
    return block(index, "text", *({"type": "text_delta", "text": part} for part in parts), text="")


def tool(index, call, name, *parts):
    return block(index, "tool_use", *({"type": "input_json_delta", "partial_json": part} for part in parts), id=call, name=name, input={})


def end(reason="end_turn", tokens=12):
    return event("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage={"output_tokens": tokens}) + event("message_stop")


PING = event("ping")
TEXT = start() + PING + text("Hello", " w\u00f6rld", " \U0001f600 \"quoted\"\n") + end()
TEXT_SAID = "Hello w\u00f6rld \U0001f600 \"quoted\"\n"
TOOLS = (start() + text("Let me see.") + tool(1, "toolu_1", "get_weather", "", '{"city":', ' "Paris"}') + PING +
         tool(2, "toolu_2", "get_weather", '{"city": "R', 'ome"}') + tool(3, "toolu_3", "now") + end("tool_use", 40))
THINKING = (start() + block(0, "thinking", {"type": "thinking_delta", "thinking": "Hm, "}, {"type": "thinking_delta", "thinking": "yes."},
                            {"type": "signature_delta", "signature": "abc"}, thinking="", signature="") +
            block(1, "redacted_thinking", data="xyz") + text("42", index=2) + end())
WHOLE = {"id": "msg_2", "type": "message", "role": "assistant", "model": "claude-fake", "stop_reason": "tool_use", "stop_sequence": None,
         "content": [{"type": "thinking", "thinking": "Hm.", "signature": "s"}, {"type": "text", "text": "Two "}, {"type": "text", "text": "texts"},
                     {"type": "tool_use", "id": "toolu_9", "name": "get_weather", "input": {"city": "K\u00f6ln"}}],
         "usage": {"input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 7, "output_tokens": 0}}
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "req_1"}


def streaming(data, *, then=None, cuts=False):
    async def plan(session):
        await session.start_stream()
        await session.piece(data)
        if then:
            await then(session)
        elif cuts:
            session.cut()
        else:
            await session.end_stream()
    return plan


def whole(status, body, **headers):
    async def plan(session):
        await session.whole(status, body, **headers)
    return plan


# ---- this side ----

class House:
    """A Penstock in front of it."""

    def __init__(self, upstream, more="", route=""):
        self.penstock = Penstock(f"""
pools:
  up: {{upstream: {{kind: anthropic, urls: "{upstream.url}/base", model: claude-fake, key: sekret{', ' + more if more else ''}}}}}
routes:
  assistant: {{tiers: up{', ' + route if route else ''}}}
""")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        status = self.penstock.stop()
        if kind is None:
            checks.check("   ... and it ends well", status == 0, f"{status}\n{self.penstock.last_log[-2000:]}")

    async def ask(self, stream=True, body=None, path="/v1/chat/completions", headers=None, **fields):
        return await ask(self.penstock.port, body or chat("hi", stream=stream, **fields), path, headers)

    def metric(self, name, labels=""):
        return self.penstock.metric(f"penstock_{name}{labels}")


def chunks(answer):
    return [json.loads(event) for event in answer.events if event != "[DONE]"]


def deltas(answer):
    return [choice["delta"] for chunk in chunks(answer) for choice in chunk["choices"]]


def calls(answer):
    """The calls of a stream, put together as clients do it."""
    out = {}
    for delta in deltas(answer):
        for part in delta.get("tool_calls", []):
            call = out.setdefault(part["index"], {"id": None, "name": None, "arguments": ""})
            call["id"] = part.get("id") or call["id"]
            call["name"] = part["function"].get("name") or call["name"]
            call["arguments"] += part["function"]["arguments"]
    return out


def finish(answer):
    return [choice["finish_reason"] for chunk in chunks(answer) for choice in chunk["choices"]][-1]


def is_whole(answer):
    return answer.status == 200 and answer.complete and answer.error is None and answer.events[-1:] == ["[DONE]"]


def is_cut(answer):
    return answer.status == 200 and answer.complete and "[DONE]" not in answer.events and answer.error is not None


async def what_is_sent():
    asked = {"model": "assistant", "max_completion_tokens": 50, "temperature": 1.5, "stop": "END", "user": "u1", "seed": 7, "parallel_tool_calls": False,
             "tools": [WEATHER], "tool_choice": "required", "messages": [
                 {"role": "system", "content": "Be brief."}, {"role": "user", "content": [
                     {"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}}]},
                 {"role": "assistant", "content": None, "tool_calls": [
                     {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{\"city\": \"Paris\"}"}}]},
                 {"role": "tool", "tool_call_id": "c1", "content": "18 degrees"}, {"role": "user", "content": "And?"}]}
    wanted = {"model": "claude-fake", "max_tokens": 50, "system": "Be brief.", "temperature": 1, "stop_sequences": ["END"], "metadata": {"user_id": "u1"},
              "tools": [{"name": "get_weather", "description": "Weather of a city", "input_schema": WEATHER["function"]["parameters"]}],
              "tool_choice": {"type": "any", "disable_parallel_tool_use": True}, "messages": [
                  {"role": "user", "content": [{"type": "text", "text": "What?"}, {"type": "image", "source": {
                      "type": "base64", "media_type": "image/png", "data": "iVBORw=="}}]},
                  {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "get_weather", "input": {"city": "Paris"}}]},
                  {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "18 degrees"}, {"type": "text", "text": "And?"}]}]}
    async with Faulty(whole(200, WHOLE)) as upstream:
        with House(upstream, "forward_headers: [anthropic-beta]", "shape: {max_output: 64}") as house:
            result = await house.ask(body=asked, headers={"anthropic-beta": "b1", "authorization": "Bearer client"})
            session = upstream.sessions[0]
            checks.check("the request is translated", result.status == 200 and session.json == wanted, session.body)
            checks.check("its path and headers", session.path == "/base/v1/messages" and session.headers.get("x-api-key") == "sekret" and
                         session.headers.get("anthropic-version") == "2023-06-01" and session.headers.get("anthropic-beta") == "b1" and
                         session.headers.get("content-type") == "application/json" and "authorization" not in session.headers,
                         f"{session.path} {session.headers}")
            checks.check("what is left out is named", result.headers.get("x-penstock-ignored") == "seed", result.headers)
            await house.ask(stream=False, max_tokens=100)
            checks.check("the route's cap holds", upstream.sessions[1].json["max_tokens"] == 64, upstream.sessions[1].body)


async def what_is_refused():
    async with Faulty(streaming(TEXT)) as upstream:
        with House(upstream) as house:
            for field, fields in {"n": {"n": 2}, "logprobs": {"logprobs": True}, "logit_bias": {"logit_bias": {"5": 1}},
                                  "response_format": {"response_format": {"type": "json_object"}}, "audio": {"audio": {"voice": "alloy"}},
                                  "presence_penalty": {"presence_penalty": 0.5}, "frequency_penalty": {"frequency_penalty": -1}}.items():
                result = await house.ask(stream=False, **fields)
                error = json.loads(result.body)["error"]
                checks.check(f"{field} is a 400 that names it", result.status == 400 and error["param"] == field and
                             error["type"] == "invalid_request_error", result.body)
            for path, more in (("/v1/completions", {"prompt": "x"}), ("/v1/embeddings", {"input": "x"})):
                result = await house.ask(body={"model": "assistant", **more}, path=path)
                checks.check(f"{path} is a 400", result.status == 400 and json.loads(result.body)["error"]["param"] == "model", result.body)
            result = await house.ask(body={"model": "assistant", "messages": [{"role": "user", "content": [{"type": "input_audio"}]}]})
            checks.check("a part that it can't read is named", json.loads(result.body)["error"]["param"] == "messages.[0].content.[0].type", result.body)
            checks.check("nothing of it was sent", not upstream.sessions)


async def streams():
    async with Faulty(streaming(TEXT)) as upstream:
        with House(upstream) as house:
            result = await house.ask(stream_options={"include_usage": True})
            checks.check("a text streams", is_whole(result) and result.text == TEXT_SAID and finish(result) == "stop", result.body)
            checks.check("the role comes first", deltas(result)[0] == {"role": "assistant", "content": ""}, result.body)
            checks.check("usage comes last, where it was asked for", chunks(result)[-1]["usage"] == {
                "prompt_tokens": 108, "completion_tokens": 12, "total_tokens": 120, "prompt_tokens_details": {"cached_tokens": 100}} and
                chunks(result)[-1]["choices"] == [], result.body)
            checks.check("all chunks are of one answer", {(c["id"], c["model"], c["object"]) for c in chunks(result)} ==
                         {("msg_1", "claude-fake", "chat.completion.chunk")})
            without = await house.ask()
            checks.check("and nowhere else", is_whole(without) and all(c["choices"] and "usage" not in c for c in chunks(without)), without.body)
            checks.check("tokens are counted", house.metric("prompt_tokens_total") == 216 and house.metric("cached_tokens_total") == 200 and
                         house.metric("output_tokens_total") == 24 and house.metric("usage_unknown_total") == 0, house.metric("prompt_tokens_total"))
    async with Faulty(streaming(TOOLS)) as upstream:
        with House(upstream) as house:
            result = await house.ask(tools=[WEATHER])
            found = calls(result)
            checks.check("parallel tools stream", is_whole(result) and finish(result) == "tool_calls" and result.text == "Let me see." and
                         [(c["id"], c["name"], json.loads(c["arguments"])) for c in found.values()] == [
                             ("toolu_1", "get_weather", {"city": "Paris"}), ("toolu_2", "get_weather", {"city": "Rome"}), ("toolu_3", "now", {})] and
                         list(found) == [0, 1, 2], result.body)
    async with Faulty(streaming(THINKING)) as upstream:
        with House(upstream) as house:
            result = await house.ask()
            thought = "".join(delta.get("reasoning_content") or "" for delta in deltas(result))
            checks.check("thinking streams beside the text", is_whole(result) and thought == "Hm, yes." and result.text == "42", result.body)
    silent = start(cache_read_input_tokens=0, input_tokens=0, cache_creation_input_tokens=0) + end("max_tokens", 0)
    async with Faulty(streaming(silent)) as upstream:
        with House(upstream) as house:
            result = await house.ask(stream_options={"include_usage": True})
            checks.check("an answer without a word, and zeros that are zeros", is_whole(result) and finish(result) == "length" and
                         chunks(result)[-1]["usage"]["total_tokens"] == 0, result.body)


async def splits():
    """Every split of a stream in two, and each byte for itself, give the client the same bytes."""
    for what, stream in (("text", TEXT), ("tools", TOOLS)):
        todo = [0, -1] + list(range(1, len(stream)))
        total = len(todo)

        async def plan(session):
            split = int(session.headers["x-split"])
            await session.start_stream()
            pieces = [stream[i:i + 1] for i in range(len(stream))] if split == -1 else [stream[:split], stream[split:]]
            for piece in pieces:
                if piece:
                    await session.piece(piece)
                    await asyncio.sleep(0)
            await session.end_stream()
        async with Faulty(plan) as upstream:
            with House(upstream, "concurrency: 64, forward_headers: [x-split]") as house:
                bodies = set()

                async def one(split):
                    result = await house.ask(headers={"x-split": split}, tools=[WEATHER])
                    bodies.add("\n".join(part.split('"created":')[0] + part.split('"model":')[-1] for part in result.events)
                               if is_whole(result) else b"incomplete")
                while todo:
                    await asyncio.gather(*(one(todo.pop()) for _ in range(min(16, len(todo)))))
                checks.check(f"{what}: {total} splits, one result", len(bodies) == 1, f"{len(bodies)} {list(bodies)[:2]}")


async def whole_answers():
    async with Faulty(whole(200, WHOLE)) as upstream:
        with House(upstream) as house:
            result = await house.ask(stream=False)
            body = json.loads(result.body)
            choice = body["choices"][0]
            checks.check("a whole answer", result.status == 200 and body["object"] == "chat.completion" and body["id"] == "msg_2" and
                         choice["message"]["content"] == "Two texts" and choice["message"]["reasoning_content"] == "Hm." and
                         choice["finish_reason"] == "tool_calls" and result.headers["content-type"] == "application/json", result.body)
            checks.check("its call", [(c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in choice["message"]["tool_calls"]] ==
                         [("toolu_9", "get_weather", {"city": "K\u00f6ln"})], result.body)
            checks.check("its usage, zeros included", body["usage"] == {"prompt_tokens": 7, "completion_tokens": 0, "total_tokens": 7,
                                                                       "prompt_tokens_details": {"cached_tokens": 7}}, body["usage"])
            checks.check("its tokens are counted", house.metric("prompt_tokens_total") == 7 and house.metric("output_tokens_total") == 0 and
                         house.metric("usage_unknown_total") == 0)


async def errors():
    for status, kind, message, code in ((400, "invalid_request_error", "messages: odd", None), (404, "not_found_error", "model: claude-fake", None),
                                        (413, "request_too_large", "Too large", None),
                                        (400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum", "context_length_exceeded")):
        refusal = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
        for stream in (True, False):
            async with Faulty(whole(status, refusal)) as upstream:
                with House(upstream) as house:
                    result = await house.ask(stream=stream)
                    checks.check(f"a {status} ({message}, stream={stream}) in OpenAI's shape, after one attempt", result.status == status and
                                 json.loads(result.body) == {"error": {"message": message, "type": kind, "param": None, "code": code}} and
                                 len(upstream.sessions) == 1, f"{result.status} {result.body}")
    async with Faulty(whole(405, b"<html>no</html>", content_type="text/html")) as upstream:
        with House(upstream) as house:
            result = await house.ask(stream=False)
            checks.check("a page that refuses is no page here", result.status == 405 and "405" in json.loads(result.body)["error"]["message"], result.body)
    async with Faulty(sequence(whole(529, OVERLOADED), streaming(TEXT))) as upstream:
        with House(upstream) as house:
            result = await house.ask()
            checks.check("a 529 is tried again", is_whole(result) and len(upstream.sessions) == 2, f"{result.status} {result.body}")
    async with Faulty(whole(529, OVERLOADED)) as upstream:
        with House(upstream) as house:
            result = await house.ask(stream=False)
            checks.check("529 for ever is a 503 with its words", result.status == 503 and "Overloaded" in json.loads(result.body)["error"]["message"],
                         f"{result.status} {result.body}")


async def failures():
    failed = event("error", **{key: value for key, value in OVERLOADED.items() if key != "type"})
    async with Faulty(sequence(streaming(start() + PING + failed), streaming(TEXT))) as upstream:
        with House(upstream) as house:
            result = await house.ask()
            checks.check("an overloaded_error before content is tried again", is_whole(result) and result.text == TEXT_SAID and len(upstream.sessions) == 2 and
                         house.metric("attempt_failures_total", '{replica="up/0",failure="busy"}') == 1, result.body)
    begun = start() + event("content_block_start", index=0, content_block={"type": "text", "text": ""}) + event(
        "content_block_delta", index=0, delta={"type": "text_delta", "text": "Hel"})
    async with Faulty(streaming(begun + PING + failed)) as upstream:
        with House(upstream) as house:
            result = await house.ask()
            checks.check("after content it ends the stream, in its words", is_cut(result) and result.text == "Hel" and
                         "Overloaded" in result.error["message"] and len(upstream.sessions) == 1, result.body)
    finished = begun + event("content_block_stop", index=0) + event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2})
    for what, data, cuts in (("cut", begun, True), ("ended", begun, False), ("ended before message_stop", finished, False)):
        async with Faulty(streaming(data, cuts=cuts)) as upstream:
            with House(upstream) as house:
                result = await house.ask()
                checks.check(f"a stream that is {what} is never complete", is_cut(result) and result.text == "Hel" and
                             all(choice["finish_reason"] is None for c in chunks(result) if "choices" in c for choice in c["choices"]), result.body)
    for what, data in (("no JSON", b"data: {\n\n"), ("content before message_start", text("x")), ("OpenAI's chunks", b'data: {"choices":[]}\n\n')):
        async with Faulty(sequence(streaming(data), streaming(TEXT))) as upstream:
            with House(upstream) as house:
                result = await house.ask()
                checks.check(f"{what}: another attempt", is_whole(result) and len(upstream.sessions) == 2, result.body)
    odd = start() + event("surprise", index=0) + block(0, "server_tool_use", {"type": "input_json_delta", "partial_json": "{}"}, id="s", name="web", input={}) + \
        block(1, "text", {"type": "citations_delta", "citation": {}}, {"type": "text_delta", "text": "ok"}, text="") + end()
    async with Faulty(streaming(odd)) as upstream:
        with House(upstream) as house:
            result = await house.ask()
            checks.check("unknown events, blocks and deltas are skipped", is_whole(result) and result.text == "ok" and not calls(result), result.body)


async def pings():
    async def pinging(session):
        for _ in range(4):
            await asyncio.sleep(0.4)
            await session.piece(PING)
        await session.piece(event("content_block_delta", index=0, delta={"type": "text_delta", "text": "lo"}) + end())
        await session.end_stream()
    begun = start() + event("content_block_start", index=0, content_block={"type": "text", "text": ""}) + event(
        "content_block_delta", index=0, delta={"type": "text_delta", "text": "Hel"})
    async with Faulty(streaming(begun, then=pinging)) as upstream:
        with House(upstream, route="timeouts: {idle: 1s}") as house:
            result = await house.ask()
            checks.check("pings keep a stream alive, and the client awake", result.complete and result.error is None and result.text == "Hello" and
                         result.body.count(b": ping\n\n") == 4, result.body)


def with_package(house, stream):
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{house.penstock.port}/v1", api_key="none", max_retries=0, timeout=30)
    fields = {"model": "assistant", "messages": [{"role": "user", "content": "hi"}], "tools": [WEATHER]}
    if not stream:
        answer = client.chat.completions.create(**fields)
        checks.check("openai: a whole answer", isinstance(answer, ChatCompletion) and answer.choices[0].message.content == "Two texts" and
                     answer.choices[0].message.tool_calls[0].function.name == "get_weather" and answer.usage.prompt_tokens == 7, answer)
        return
    with client.chat.completions.stream(**fields, stream_options={"include_usage": True}) as events:
        last = events.get_final_completion()
    checks.check("openai: parallel tools stream", last.choices[0].finish_reason == "tool_calls" and
                 [json.loads(c.function.arguments) for c in last.choices[0].message.tool_calls] == [{"city": "Paris"}, {"city": "Rome"}, {}] and
                 last.usage.prompt_tokens == 108, last)
    for part in client.chat.completions.create(**fields, stream=True):
        ChatCompletionChunk.model_validate(part.model_dump(), strict=True)


async def package():
    async with Faulty(whole(200, WHOLE)) as upstream:
        with House(upstream) as house:
            await asyncio.to_thread(with_package, house, False)
    async with Faulty(streaming(TOOLS)) as upstream:
        with House(upstream) as house:
            await asyncio.to_thread(with_package, house, True)
    async with Faulty(whole(404, {"type": "error", "error": {"type": "not_found_error", "message": "model: claude-fake"}})) as upstream:
        with House(upstream) as house:
            def refused():
                client = openai.OpenAI(base_url=f"http://127.0.0.1:{house.penstock.port}/v1", api_key="none", max_retries=0)
                try:
                    client.chat.completions.create(model="assistant", messages=[{"role": "user", "content": "hi"}])
                except openai.NotFoundError as error:
                    return error
            error = await asyncio.to_thread(refused)
            checks.check("openai: an error is its own", error is not None and error.type == "not_found_error", error)


async def main():
    parts = [what_is_sent, what_is_refused, streams, splits, whole_answers, errors, failures, pings]
    for part in parts + ([package] if openai else []):
        try:
            await part()
        except Exception as error:  # a part that breaks is a failed check, not the end of the run
            checks.check(part.__name__, False, repr(error))
    checks.end()


if __name__ == "__main__":
    asyncio.run(main())
