"""Pools of engines behind URLs: where they are (TCP, IPv6, a Unix socket, TLS), what goes to them and comes back, and what each kind is asked. Over the faulty
upstream of faulty.py, which here behaves."""
import asyncio
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile

from faulty import ROLE, Faulty, answer, chunk, event, usage
from penstock import Checks, Penstock, ask, chat

checks = Checks()
FOLDER = tempfile.mkdtemp(prefix="penstock-pools-")


def config(url, upstream="kind: openai, model: fake", route="{tiers: up}", pool=""):
    return f"""
pools:
  up:
    upstream: {{urls: ["{url}"], {upstream}}}
    {pool}
routes:
  assistant: {route}
"""


def is_good(result):
    return result.status == 200 and result.complete and (result.text == "w0 w1 w2 w3 w4 " if b"data: " in result.body else b"w0 w1" in result.body)


class At(Faulty):
    """One that listens elsewhere."""

    def __init__(self, **where):
        super().__init__()
        self.where = where

    async def __aenter__(self):
        if "path" in self.where:
            self.server = await asyncio.start_unix_server(self.serve, limit=1 << 24, **self.where)
        else:
            self.server = await asyncio.start_server(self.serve, port=0, limit=1 << 24, **self.where)
            self.port = self.server.sockets[0].getsockname()[1]
        return self


async def places():
    async with At(path=os.path.join(FOLDER, "engine.sock")) as upstream:
        penstock = Penstock(config(f"unix:{FOLDER}/engine.sock"))
        result = await ask(penstock.port, chat("hi", stream=True))
        checks.check("a Unix socket", is_good(result) and upstream.sessions[0].headers["host"] == "localhost", result.body[-200:])
        penstock.stop()
        checks.check("somebody else's socket is left where it is", os.path.exists(f"{FOLDER}/engine.sock"))
    if socket.has_ipv6:
        async with At(host="::1") as upstream:
            penstock = Penstock(config(f"http://[::1]:{upstream.port}/base/v1"))
            result = await ask(penstock.port, chat("hi"))
            checks.check("IPv6, and a base path", is_good(result) and upstream.sessions[0].path == "/base/v1/chat/completions" and
                         upstream.sessions[0].headers["host"] == f"[::1]:{upstream.port}", result.body)
            penstock.stop()
    async with Faulty() as upstream:
        penstock = Penstock(config(f"http://localhost:{upstream.port}"))
        checks.check("localhost by its name", is_good(await ask(penstock.port, chat("hi"))))
        penstock.stop()


def make_certificate(name, host):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={host}",
                    "-addext", f"subjectAltName=DNS:{host},IP:127.0.0.1", "-keyout", f"{FOLDER}/{name}.key", "-out", f"{FOLDER}/{name}.pem"],
                   check=True, capture_output=True)


async def tls():
    make_certificate("server", "localhost")
    make_certificate("other", "localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(f"{FOLDER}/server.pem", f"{FOLDER}/server.key")
    async with At(host="127.0.0.1", ssl=context) as upstream:
        penstock = Penstock(config(f"https://localhost:{upstream.port}", f"model: fake, ca: {FOLDER}/server.pem"))
        for stream in (True, False):
            result = await ask(penstock.port, chat("hi", stream=stream))
            checks.check(f"https, its certificate believed (stream={stream})", is_good(result), f"{result.status} {result.body[-200:]}")
        big = await ask(penstock.port, chat("x" * 1_000_000, stream=True))
        checks.check("https, a megabyte up", is_good(big) and len(upstream.sessions[-1].body) > 1_000_000, big.status)
        checks.check("https, one connection for all", upstream.connections == 1, upstream.connections)
        penstock.stop()
        penstock = Penstock(config(f"https://localhost:{upstream.port}", f"model: fake, ca: {FOLDER}/other.pem"))
        asked = len(upstream.sessions)
        result = await ask(penstock.port, chat("hi"))
        penstock.stop()
        checks.check("https, a certificate of nobody we know: 502, nothing sent", result.status == 502 and len(upstream.sessions) == asked, result.status)
        checks.check("https, the log says why", "certificate" in penstock.last_log, penstock.last_log[-500:])
        penstock = Penstock(config(f"https://127.0.0.1:{upstream.port}", f"model: fake, ca: {FOLDER}/server.pem"))
        checks.check("https, by an address that the certificate names", is_good(await ask(penstock.port, chat("hi"))))
        penstock.stop()
    result = subprocess.run([os.environ.get("PENSTOCK", "build/penstock"), "serve", "--config", "/dev/stdin"], text=True, capture_output=True, timeout=20,
                            input="listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n" + config("https://localhost:1", "model: fake, ca: /no/such.pem"))
    checks.check("https, authorities that are not there are said at the start", result.returncode == 1 and "/no/such.pem" in result.stderr, result.stderr)


async def bodies():
    """What is sent: the client's bytes but for the splices."""
    cases = [
        ('{"model":"assistant","messages":[]}', "{tiers: up}", '{"model":"fake","messages":[]}'),
        ('{"messages":[],"stream":true,"model":"assistant"}', "{tiers: up}",
         '{"messages":[],"stream":true,"model":"fake","stream_options":{"include_usage":true}}'),
        ('{"model":"assistant","stream":true,"messages":[],"stream_options":null}', "{tiers: up}",
         '{"model":"fake","stream":true,"messages":[],"stream_options":{"include_usage":true}}'),
        ('{"model":"assistant","stream":true,"messages":[],"stream_options":{}}', "{tiers: up}",
         '{"model":"fake","stream":true,"messages":[],"stream_options":{"include_usage":true}}'),
        ('{"model":"assistant","stream":true,"messages":[],"stream_options":{"include_usage":false, "x":1}}', "{tiers: up}",
         '{"model":"fake","stream":true,"messages":[],"stream_options":{"include_usage":true, "x":1}}'),
        ('{"model":"assistant","messages":[]}', "{tiers: up, shape: {max_output: 50}}", '{"model":"fake","messages":[],"max_completion_tokens":50}'),
        ('{"max_tokens": 70, "model":"assistant","messages":[]}', "{tiers: up, shape: {max_output: 50}}",
         '{"max_tokens": 50, "model":"fake","messages":[]}'),
        ('{"max_tokens": 20, "model":"assistant","messages":[]}', "{tiers: up, shape: {max_output: 50}}",
         '{"max_tokens": 20, "model":"fake","messages":[]}'),
        ('{"max_tokens":null,"model":"assistant","max_completion_tokens":90,"messages":[]}', "{tiers: up, shape: {max_output: 50}}",
         '{"max_tokens":50,"model":"fake","max_completion_tokens":50,"messages":[]}'),
        ('{"model":"assistant","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:x"}}]}],"audio":{"a":1.50},"n":9,"\\u00e9":[1e3]}',
         "{tiers: up}",
         '{"model":"fake","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:x"}}]}],"audio":{"a":1.50},"n":9,"\\u00e9":[1e3]}'),
    ]
    async with Faulty() as upstream:
        for body, route, wanted in cases:
            penstock = Penstock(config(upstream.url, route=route))
            await raw(penstock.port, body)
            got = upstream.sessions[-1].body.decode()
            checks.check(f"sent on: {body[:60]}", got == wanted, f"\n{got}\n{wanted}")
            penstock.stop()
        penstock = Penstock(config(upstream.url))
        asked = len(upstream.sessions)
        for body, what in (('{"model":"assistant","stream":"yes","messages":[]}', "stream"), ('{"model":"assistant","model":"assistant","messages":[]}', "model"),
                           ('{"model":"assistant","messages":[],"max_tokens":-1}', "max_tokens"), ('{"model":"assistant"', "JSON")):
            answer_ = await raw(penstock.port, body)
            checks.check(f"refused here: {body}", b"400" in answer_[:20] and what.encode() in answer_ and len(upstream.sessions) == asked, answer_[:300])
        penstock.stop()


async def raw(port, body, path="/v1/chat/completions"):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(body.encode())}\r\n\r\n{body}".encode())
    data = await reader.read(-1)
    writer.close()
    return data


async def usages():
    async def zero(session):
        await session.start_stream()
        await session.piece(event(ROLE) + event(chunk("a")) + event(chunk(finish="stop")) + event(usage(0, 0)) + event("[DONE]"))
        await session.end_stream()

    async def none(session):
        await answer(session, with_usage=False)

    async def embeddings(session):
        await session.whole(200, {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.1]}], "model": "fake",
                                  "usage": {"prompt_tokens": 9, "total_tokens": 9}})
    async with Faulty() as upstream:
        penstock = Penstock(config(upstream.url))
        told = await ask(penstock.port, chat("hi", stream=True, stream_options={"include_usage": True}))
        untold = await ask(penstock.port, chat("hi", stream=True))
        checks.check("usage reaches the client that asked for it", any('"usage"' in e for e in told.events), told.body[-300:])
        checks.check("and not the one that didn't", not any('"usage"' in e for e in untold.events) and is_good(untold), untold.body[-300:])
        checks.check("it is counted in both", penstock.metric("penstock_prompt_tokens_total") == 14 and penstock.metric("penstock_output_tokens_total") == 10)
        upstream.plan = zero
        await ask(penstock.port, chat("hi", stream=True))
        checks.check("an explicit 0 is 0", penstock.metric("penstock_output_tokens_total") == 10 and penstock.metric("penstock_usage_unknown_total") == 0)
        upstream.plan = none
        await ask(penstock.port, chat("hi", stream=True))
        checks.check("what is missing is unknown, and estimated from the events", penstock.metric("penstock_usage_unknown_total") == 1 and
                     penstock.metric("penstock_output_tokens_total") == 15, penstock.metric("penstock_output_tokens_total"))
        upstream.plan = embeddings
        result = await ask(penstock.port, {"model": "assistant", "input": ["a", "b"], "dimensions": 7}, "/v1/embeddings")
        checks.check("embeddings", result.status == 200 and upstream.sessions[-1].path == "/v1/embeddings" and
                     upstream.sessions[-1].json == {"model": "fake", "input": ["a", "b"], "dimensions": 7} and
                     penstock.metric("penstock_prompt_tokens_total") == 23, f"{result.status} {penstock.metric('penstock_prompt_tokens_total')}")
        status = penstock.stop()
        checks.check("it ends well", status == 0, penstock.last_log[-1000:])


METRICS = {
    "vllm": 'vllm:num_requests_running{m="x"} 3\nvllm:num_requests_waiting{m="x"} 2\n',
    "sglang": "sglang:num_running_reqs 3\nsglang:num_queue_reqs 2\n",
    "llama-server": "llamacpp:requests_processing 3\nllamacpp:requests_deferred 2\n",
}


async def kinds():
    for kind, text in METRICS.items():
        state = {"metrics": 200, "health": 200}

        async def health(session):
            word = session.path.strip("/")
            await session.whole(state.get(word, 404), text.encode() if word == "metrics" else b"{}", "text/plain")
        async with Faulty(answer, health) as upstream:
            penstock = Penstock(config(upstream.url, f"kind: {kind}, model: fake, key: k"))
            checks.check(f"{kind}: its metrics are read", await asyncio.to_thread(
                penstock.wait, lambda: penstock.metric('penstock_engine_running_requests{replica="up/0"}') == 3, 5))
            checks.check(f"{kind}: with the key", upstream.questions[0].headers.get("authorization") == "Bearer k")
            result = await ask(penstock.port, chat("hi", stream=True), headers={"x-request-id": "find-me"})
            checks.check(f"{kind}: it is told the request's id and trace", is_good(result) and upstream.sessions[0].headers.get("x-request-id") == "find-me" and
                         "traceparent" in upstream.sessions[0].headers, upstream.sessions[0].headers)
            state["metrics"] = 501
            asked = len(upstream.questions)
            checks.check(f"{kind}: without metrics its health is asked for", await asyncio.to_thread(
                penstock.wait, lambda: any(q.path == "/health" for q in upstream.questions[asked:]), 5))
            state["health"] = 503
            replica = lambda: json.loads(penstock.admin("/readyz")[1])["replicas"]["up/0"]["state"]
            checks.check(f"{kind}: 503 there is loading", await asyncio.to_thread(penstock.wait, lambda: replica() == "loading", 5))
            state["health"] = 200
            checks.check(f"{kind}: and then it is ready", await asyncio.to_thread(penstock.wait, lambda: replica() == "ready", 5))
            gaps = [b.at - a.at for a, b in zip(upstream.questions, upstream.questions[1:])]
            checks.check(f"{kind}: asked at most once a second", min(gaps) > 0.95, gaps)
            penstock.stop()
    async with Faulty() as upstream:
        penstock = Penstock(config(upstream.url))
        await ask(penstock.port, chat("hi"), headers={"x-request-id": "mine"})
        checks.check("openai: it is asked nothing, and told no id", not upstream.questions and "x-request-id" not in upstream.sessions[0].headers)
        penstock.stop()


async def main():
    await places()
    await tls()
    await bodies()
    await usages()
    await kinds()
    shutil.rmtree(FOLDER)
    checks.end()


if __name__ == "__main__":
    asyncio.run(main())
