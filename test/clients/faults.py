"""What upstreams and clients do wrong, one test a fault, by its number in the list that docs/upstreams.md keeps. Needs no model: the upstream is faulty.py.

Usage: faults.py [NUMBER...]"""
import asyncio
import datetime
import email.utils
import glob
import inspect
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

from faulty import ROLE, Faulty, answer, answering, chunk, event, refusing, sequence, usage
from penstock import Checks, PROGRAM, Penstock, SLOWNESS, ask, chat

checks = Checks()
TESTS = []


def fault(number, what):
    def add(function):
        TESTS.append((number, what, function))
        return function
    return add


class House:
    """A Penstock in front of some upstreams."""

    def __init__(self, *upstreams, upstream="", route="", pool="", top="", environment=None):
        urls = ", ".join(json.dumps(u if isinstance(u, str) else u.url) for u in upstreams)
        self.penstock = Penstock(f"""
{top}
pools:
  up:
    upstream: {{kind: openai, urls: [{urls}], model: fake{', ' + upstream if upstream else ''}}}
    {pool}
routes:
  assistant: {{tiers: up, {route or 'timeouts: {connect: 300ms, first_token: 10s, idle: 10s, total: 60s}'}}}
""", environment)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        status = self.penstock.stop()
        if kind is None:
            checks.check(f"   ... and it ends well", status == 0, f"{status}\n{self.penstock.last_log[-2000:]}")

    async def ask(self, stream=True, **fields):
        return await ask(self.penstock.port, chat("hi", stream=stream, **fields))

    async def is_whole_again(self, name, **fields):
        """Nothing is held any more, and the next request is answered."""
        good = await self.ask(**fields)
        idle = await asyncio.to_thread(self.penstock.wait, lambda: self.penstock.metric("penstock_in_flight_requests") == 0 and
                                       self.penstock.metric("penstock_requests_open") == 0, 5)
        checks.check(f"{name}: the next request is answered, nothing is held", is_good(good) and idle,
                     f"{good.status} {good.body[-300:]}")

    def failures(self, why=None):
        return self.penstock.metric('penstock_attempt_failures_total{replica="' if why is None else "penstock_attempt_failures_total") \
            if why is None else sum(self.penstock.metric(f'penstock_attempt_failures_total{{replica="up/{i}",failure="{why}"}}') for i in range(4))

    def outcome(self, name):
        return self.penstock.metric(f'penstock_requests_total{{route="assistant",outcome="{name}"}}')


def is_good(answer_, tokens=5):
    return answer_.status == 200 and answer_.complete and answer_.events[-1:] == ["[DONE]"] and answer_.error is None and \
        answer_.text == "".join(f"w{i} " for i in range(tokens))


def is_cut(answer_):
    """Ends in an error event, and nothing says that it is complete."""
    return answer_.status == 200 and answer_.complete and "[DONE]" not in answer_.events and answer_.error is not None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# ---- before an answer ----

@fault(1, "refuses the connection")
async def _(name):
    closed = f"http://127.0.0.1:{free_port()}"
    async with Faulty() as good:
        with House(closed, good) as house:
            for i in range(4):
                result = await house.ask()
                checks.check(f"{name}: failed over within 100 ms ({i})", is_good(result) and result.total_s < 0.1 * SLOWNESS, f"{result.total_s}")
    with House(closed) as house:
        result = await house.ask(stream=False)
        checks.check(f"{name}: alone, a 502 in JSON after two attempts", result.status == 502 and
                     json.loads(result.body)["error"]["code"] == "upstream_failed" and house.failures("connect") == 2,
                     f"{result.status} {result.body} {house.failures('connect')}")
        checks.check(f"{name}: the client is told not to try again", result.headers.get("x-should-retry") == "false", result.headers)


@fault(2, "never accepts (its backlog is full)")
async def _(name):
    hole = socket.socket()
    hole.bind(("127.0.0.1", 0))
    hole.listen(0)
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(hole.getsockname())
        fillers.append(filler)
    async with Faulty() as good:
        with House(f"http://127.0.0.1:{hole.getsockname()[1]}", good) as house:
            results = [await house.ask() for _ in range(4)]
            checks.check(f"{name}: the connect clock (300 ms) fails it over", all(is_good(r) and r.total_s < 1 * SLOWNESS for r in results),
                         [r.total_s for r in results])
    for filler in fillers:
        filler.close()
    hole.close()


@fault(3, "accepts and never answers")
async def _(name):
    async def silent(session):
        await session.left(30)
    route = "timeouts: {first_token: 500ms}"
    async with Faulty(silent) as bad, Faulty() as good:
        with House(bad, good, route=route) as house:
            results = [await house.ask() for _ in range(3)]
            checks.check(f"{name}: the first-token clock fails it over", all(is_good(r) and r.total_s < 1.5 * SLOWNESS for r in results),
                         [r.total_s for r in results])
            checks.check(f"{name}: a silent one is asked once a request", len(bad.sessions) <= 3 and all(s.gone_at for s in bad.sessions), len(bad.sessions))
        with House(bad, route=route) as house:
            asked = len(bad.sessions)
            result = await house.ask()
            checks.check(f"{name}: alone, a 504 after one attempt", result.status == 504 and len(bad.sessions) == asked + 1, f"{result.status} {result.body}")


@fault(4, "resets the connection before its answer, once")
async def _(name):
    async def reset(session):
        session.reset()
    async with Faulty(sequence(reset, answer)) as upstream:
        with House(upstream) as house:
            result = await house.ask()
            checks.check(f"{name}: one retry answers it", is_good(result) and len(upstream.sessions) == 2 and house.failures("reset") == 1,
                         f"{result.status} {len(upstream.sessions)}")


@fault(5, "resets a kept connection when it is used again")
async def _(name):
    async def reset_when_reused(session):
        if upstream.sessions[0].connection == session.connection and len(upstream.sessions) > 1:
            session.reset()
        else:
            await answer(session)
    async with Faulty(reset_when_reused) as upstream:
        with House(upstream) as house:
            first = await house.ask()
            second = await house.ask()
            checks.check(f"{name}: a fresh connection answers, and nobody sees it", is_good(first) and is_good(second) and
                         len(upstream.sessions) == 3 and house.failures("reset") == 0, f"{len(upstream.sessions)}")


@fault(6, "answers 500 once")
async def _(name):
    for stream in (True, False):
        async with Faulty(sequence(refusing(500), answer)) as upstream:
            with House(upstream) as house:
                result = await house.ask(stream=stream)
                checks.check(f"{name}: the same target answers the second time (stream={stream})", result.status == 200 and
                             len(upstream.sessions) == 2 and house.failures("server") == 1, f"{result.status} {len(upstream.sessions)}")


@fault(7, "answers 503 for ever")
async def _(name):
    async with Faulty(refusing(503)) as bad, Faulty() as good:
        with House(bad, good) as house:
            results = [await house.ask() for _ in range(30)]
            checks.check(f"{name}: all are served by the other one", all(is_good(r) for r in results))
            checks.check(f"{name}: the bad one gets few requests", len(bad.sessions) <= 6, len(bad.sessions))
    async with Faulty(refusing(503)) as bad:
        with House(bad, pool="queue: {wait: 1s}") as house:
            results = [await house.ask(stream=False) for _ in range(3)]
            checks.check(f"{name}: alone, 503 with at most two attempts a request", all(r.status == 503 for r in results) and len(bad.sessions) <= 6,
                         f"{[r.status for r in results]} {len(bad.sessions)}")
            began = time.monotonic()
            late = await house.ask(stream=False)
            checks.check(f"{name}: the open circuit refuses at once, with Retry-After", late.status == 503 and "retry-after" in late.headers and
                         time.monotonic() - began < 0.5 * SLOWNESS, f"{late.status} {late.headers} {time.monotonic() - began}")
            checks.check(f"{name}: the circuit is shown", house.penstock.metric('penstock_replica_circuit_open{replica="up/0"}') == 1)


@fault(8, "answers 503 for a while and recovers")
async def _(name):
    until = [time.monotonic() + 8]

    async def ill(session):
        await (session.refuse(503) if time.monotonic() < until[0] else answer(session))
    async with Faulty(ill) as upstream, Faulty() as good:
        with House(upstream, good) as house:
            until[0] = time.monotonic() + 8
            began = time.monotonic()
            results = []
            while time.monotonic() - began < 24:
                results += await asyncio.gather(*(house.ask() for _ in range(3)))
                if time.monotonic() > until[0] and any(s.at > until[0] for s in upstream.sessions):
                    break
                await asyncio.sleep(0.2)
            probes = [s.at for s in upstream.sessions if s.at < until[0]][6:]
            checks.check(f"{name}: all are served meanwhile", all(is_good(r) for r in results), [r.status for r in results if not is_good(r)])
            checks.check(f"{name}: at most one probe in five seconds", all(b - a > 4.9 for a, b in zip(probes, probes[1:])), probes)
            checks.check(f"{name}: it is back soon", any(s.at > until[0] for s in upstream.sessions), time.monotonic() - until[0])


@fault(9, "answers 429 with Retry-After: 2")
async def _(name):
    async with Faulty(sequence(refusing(429, retry_after=2), answer)) as upstream:
        with House(upstream) as house:
            result = await house.ask()
            gap = upstream.sessions[1].at - upstream.sessions[0].at if len(upstream.sessions) > 1 else 0
            checks.check(f"{name}: alone, it is asked again no sooner", is_good(result) and gap >= 2, f"{result.status} {gap}")
    async with Faulty(refusing(429, retry_after=2)) as bad, Faulty() as good:
        with House(bad, good) as house:
            began = time.monotonic()
            results = await asyncio.gather(*(house.ask() for _ in range(10)))
            results += await asyncio.gather(*(house.ask() for _ in range(10)))
            quick = time.monotonic() - began < 1.5
            checks.check(f"{name}: the other one serves, this one is left alone", all(is_good(r) for r in results) and len(bad.sessions) <= 5 and quick,
                         f"{len(bad.sessions)}")


@fault(10, "answers 429 without a header for ever")
async def _(name):
    async with Faulty(refusing(429, "Rate limit reached")) as bad:
        with House(bad) as house:
            began = time.monotonic()
            result = await house.ask(stream=False)
            took = time.monotonic() - began
            checks.check(f"{name}: at most 4 attempts, further apart each time, then 429 with its words", result.status == 429 and
                         len(bad.sessions) <= 4 and b"Rate limit reached" in result.body and took < 12, f"{result.status} {len(bad.sessions)} {took}")
    async with Faulty(refusing(429)) as bad, Faulty() as good:
        with House(bad, good) as house:
            results = [await house.ask() for _ in range(4)]
            checks.check(f"{name}: it fails over", all(is_good(r) and r.total_s < 0.5 * SLOWNESS for r in results), [r.total_s for r in results])


@fault(11, "answers 529 everywhere for three seconds")
async def _(name):
    until = [0]

    async def overloaded(session):
        await (session.refuse(529, "Overloaded") if time.monotonic() < until[0] else answer(session))
    async with Faulty(overloaded) as a, Faulty(overloaded) as b:
        with House(a, b, pool="queue: {wait: 2s}") as house:
            until[0] = time.monotonic() + 3
            early = await asyncio.gather(*(house.ask(stream=False) for _ in range(8)))
            checks.check(f"{name}: refused as busy, not as a quota", all(r.status == 503 for r in early if r.status != 200),
                         [r.status for r in early])
            began = time.monotonic()
            result = await house.ask()
            while not is_good(result) and time.monotonic() - began < 15:
                await asyncio.sleep(0.3)
                result = await house.ask()
            checks.check(f"{name}: served again within 15 s", is_good(result), time.monotonic() - began)


@fault(12, "answers 400: the context is too long, the content is filtered")
async def _(name):
    for code in ("context_length_exceeded", "content_filter"):
        async with Faulty(refusing(400, f"This is {code}.", code)) as upstream:
            with House(upstream) as house:
                result = await house.ask()
                checks.check(f"{name}: one attempt, its own words ({code})", result.status == 400 and len(upstream.sessions) == 1 and
                             json.loads(result.body)["error"]["code"] == code and f"This is {code}." in result.body.decode(), result.body)
                checks.check(f"{name}: it does not count against the upstream ({code})", house.failures("server") == 0)


@fault(13, "first token after eleven seconds")
async def _(name):
    async with Faulty(answering(delay_s=11)) as upstream:
        with House(upstream, route="timeouts: {first_token: 20s}") as house:
            result = await house.ask()
            checks.check(f"{name}: keep-alives reach the client, the answer is complete", is_good(result) and b": keep-alive\n\n" in result.body, result.body[:200])


# ---- in the middle of an answer ----

def stream_then(tokens, end):
    async def plan(session):
        await session.start_stream()
        await session.piece(event(ROLE))
        for i in range(tokens):
            await session.piece(event(chunk(f"w{i} ")))
        await end(session)
    return plan


@fault(14, "closes after 40 of 60 tokens")
async def _(name):
    async def cut(session):
        session.cut()
    async with Faulty(stream_then(40, cut)) as upstream:
        with House(upstream) as house:
            result = await house.ask()
            checks.check(f"{name}: an error event, no [DONE]", is_cut(result) and result.text.split()[-1] == "w39", result.body[-200:])
            checks.check(f"{name}: 40 tokens are counted, the account as unknown", house.outcome("upstream_cut") == 1 and
                         house.penstock.metric("penstock_output_tokens_total") == 40 and house.penstock.metric("penstock_usage_unknown_total") == 1,
                         house.penstock.metric("penstock_output_tokens_total"))
            checks.check(f"{name}: content was out: no second attempt", len(upstream.sessions) == 1)


@fault(15, "resets in the middle of an event")
async def _(name):
    async def torn(session):
        await session.piece(b'data: {"choices":[{"index":0,"delta":{"content":"to')
        await asyncio.sleep(0.05)
        session.reset()
    async with Faulty(stream_then(3, torn)) as upstream:
        with House(upstream) as house:
            result = await house.ask()
            checks.check(f"{name}: the torn event is withheld, an error event comes", is_cut(result) and result.text == "w0 w1 w2 ", result.body[-200:])


@fault(16, "falls silent in the middle")
async def _(name):
    async def silent(session):
        await session.left(30)
    async with Faulty(stream_then(3, silent)) as upstream:
        with House(upstream, route="timeouts: {idle: 1s}") as house:
            result = await house.ask()
            checks.check(f"{name}: the idle clock ends it with an error event", is_cut(result) and 1 <= result.total_s < 2 * SLOWNESS and
                         result.error["code"] == "idle_timeout", f"{result.total_s} {result.body[-200:]}")
            await asyncio.sleep(0.1)
            checks.check(f"{name}: the upstream is closed", upstream.sessions[0].gone_at is not None)


@fault(17, "sends an event that is not JSON")
async def _(name):
    async def garbage(session):
        await session.piece(b"data: {\"choices\":[{\"delta\":{\"content\":\"x\n\n")
        await session.piece(event("[DONE]"))
        await session.end_stream()
    async with Faulty(stream_then(9, garbage)) as upstream:
        with House(upstream) as house:
            result = await house.ask()
            checks.check(f"{name}: an error event in its place", is_cut(result) and len(result.text.split()) == 9, result.body[-200:])
    async with Faulty(sequence(stream_then(0, garbage), answer)) as upstream:
        with House(upstream) as house:
            checks.check(f"{name}: before any content, another attempt", is_good(await house.ask()) and house.failures("broken") == 1)


@fault(18, "ends without [DONE]")
async def _(name):
    async def finished(session):
        await session.piece(event(chunk(finish="stop")))
        await session.end_stream()

    async def unfinished(session):
        await session.end_stream()
    async with Faulty(stream_then(5, finished)) as upstream:
        with House(upstream) as house:
            result = await house.ask()
            checks.check(f"{name}: its finish_reason was there: complete, [DONE] is added", is_good(result), result.body[-200:])
    async with Faulty(stream_then(5, unfinished)) as upstream:
        with House(upstream) as house:
            result = await house.ask()
            checks.check(f"{name}: without one: an error event, within 8 s", is_cut(result) and result.total_s < 8, result.body[-200:])


@fault(19, "says in the second event of a 200 that it failed")
async def _(name):
    async def fails(session):
        await session.piece(event({"error": {"message": "CUDA out of memory", "type": "server_error"}}))
        await session.end_stream()
    async with Faulty(stream_then(0, fails)) as bad, Faulty() as good:
        with House(bad, good) as house:
            results = [await house.ask() for _ in range(4)]
            checks.check(f"{name}: no content was out: it fails over", all(is_good(r) for r in results), [r.body[-100:] for r in results])
    async with Faulty(stream_then(3, fails)) as upstream:
        with House(upstream) as house:
            result = await house.ask()
            checks.check(f"{name}: content was out: an error event with its words", is_cut(result) and "CUDA out of memory" in result.error["message"],
                         result.body[-200:])
    async with Faulty(stream_then(0, fails)) as upstream:
        with House(upstream) as house:
            result = await house.ask()
            checks.check(f"{name}: nobody else: a 502 with its words", result.status == 502 and b"CUDA out of memory" in result.body, result.body[-200:])


@fault(20, "answers 200 with a page in HTML")
async def _(name):
    page = b"<html><body>502 Bad Gateway</body></html>"

    async def as_events(session):
        await session.whole(200, page, "text/event-stream")

    async def as_page(session):
        await session.whole(200, page, "text/html")
    for plan in (as_events, as_page):
        for stream in (True, False):
            async with Faulty(plan) as upstream:
                with House(upstream) as house:
                    result = await house.ask(stream=stream)
                    checks.check(f"{name}: a 502, nothing of the page ({plan.__name__}, stream={stream})", result.status == 502 and b"<html" not in result.body,
                                 f"{result.status} {result.body[:200]}")


STREAMS = {
    "as OpenAI sends it": event(ROLE) + event(chunk("h\u00e9llo \U0001f600")) + event(chunk(" w\u00f6rld")) + event(chunk(finish="stop")) + event("[DONE]"),
    "CRLF": (event(ROLE) + event(chunk("a")) + event(chunk("b", "stop")) + event("[DONE]")).replace(b"\n", b"\r\n"),
    "comments and ids": b": ping\n\nid: 7\nevent: message\n" + event(chunk("a")) + b": ping\n\n" + event(chunk("b", "stop")) + event("[DONE]"),
    "no blank behind the colon": event(chunk("a")).replace(b"data: ", b"data:") + event(chunk("b", "stop")) + event("[DONE]"),
    "usage in the last chunk": event(chunk("a")) + event(chunk("b", "stop", usage={"prompt_tokens": 0, "completion_tokens": 2, "total_tokens": 2})) + event("[DONE]"),
}


@fault(21, "sends a stream in any pieces")
async def _(name):
    """Every split of every stream in two, and each byte for itself, give the client the same bytes."""
    for what, stream in STREAMS.items():
        splits = [None] + list(range(1, len(stream))) + ["bytes"]
        todo = list(splits)

        async def plan(session):
            split = int(session.headers["x-split"])
            await session.start_stream()
            if split == -1:
                for i in range(len(stream)):
                    await session.piece(stream[i:i + 1])
            elif split == 0:
                await session.piece(stream)
            else:
                await session.piece(stream[:split])
                await asyncio.sleep(0)
                await session.piece(stream[split:])
            await session.end_stream()
        async with Faulty(plan) as upstream:
            with House(upstream, upstream="concurrency: 64, forward_headers: [x-split]") as house:
                bodies = set()

                async def one(split):
                    number = {None: 0, "bytes": -1}.get(split, split)
                    result = await ask(house.penstock.port, chat("hi", stream=True), headers={"x-split": number})
                    bodies.add(result.body if result.complete else b"incomplete")
                while todo:
                    await asyncio.gather(*(one(todo.pop()) for _ in range(min(16, len(todo)))))
                checks.check(f"{name}: {what}: {len(splits)} splits, one result", len(bodies) == 1 and list(bodies)[0].endswith(stream[-15:]),
                             f"{len(bodies)} {list(bodies)[:2]}")
                wanted = 2 * len(splits)
                tokens = house.penstock.metric("penstock_output_tokens_total")
                checks.check(f"{name}: {what}: the same tokens each time", tokens == wanted or what.startswith("as OpenAI") and tokens == wanted, f"{tokens} {wanted}")


@fault(22, "sends a line without end; a million tiny events")
async def _(name):
    async def endless(session):
        await session.start_stream()
        await session.piece(event(chunk("a")))
        await session.piece(b"data: ")
        block = b"x" * 65536
        for _ in range(1024):
            await session.piece(block)
        await session.left(5)

    async def tiny(session):
        await session.start_stream()
        block = event(chunk("a")) * 500
        for _ in range(400):
            await session.piece(block)
        await session.piece(event(chunk(finish="stop")) + event("[DONE]"))
        await session.end_stream()

    async def comments(session):
        await session.start_stream()
        block = b": x\n\n" * 10000
        for _ in range(100):
            await session.piece(block)
        await session.piece(event(chunk("a")) + event(chunk(finish="stop")) + event("[DONE]"))
        await session.end_stream()
    async with Faulty(endless) as upstream:
        with House(upstream) as house:
            before = house.penstock.memory_kib()
            result = await house.ask()
            grown = house.penstock.memory_kib() - before
            checks.check(f"{name}: 64 MiB of one line: an error event, memory stays bounded", is_cut(result) and grown < 48 * 1024 * SLOWNESS, f"{grown} KiB")
    for plan, what in ((tiny, "200,000 events"), (comments, "1,000,000 comments")):
        async with Faulty(plan) as upstream:
            with House(upstream) as house:
                before = house.penstock.memory_kib()
                result = await house.ask()
                grown = house.penstock.memory_kib() - before
                checks.check(f"{name}: {what}: complete, memory stays bounded", result.complete and result.error is None and result.events[-1] == "[DONE]" and
                             grown < 16 * 1024 * SLOWNESS, f"{grown} KiB {result.body[-100:]}")


@fault(23, "breaks HTTP")
async def _(name):
    bodies = {
        "10,000 headers": b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: y\r\n" % i for i in range(10000)) + b"content-length: 2\r\n\r\n{}",
        "a header of 1 MB": b"HTTP/1.1 200 OK\r\nx: " + b"y" * (1 << 20) + b"\r\ncontent-length: 2\r\n\r\n{}",
        "a bad chunk": b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n",
        "length and chunked": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "two lengths": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}x",
        "101": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
        "HTTP/2.0": b"HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        "not HTTP": b"hello\r\n\r\n",
        "a folded header": b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 2\r\n\r\n{}",
        "bare LF": b"HTTP/1.1 200 OK\ncontent-length: 2\n\n{}",
        "a redirect": b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
        "gzip": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}",
    }
    for what, data in bodies.items():
        async def plan(session, data=data):
            await session.send(data)
            if what not in ("a redirect", "gzip"):  # well-formed: these may be used again
                await session.left(2)
        async with Faulty(plan) as upstream:
            with House(upstream) as house:
                result = await house.ask(stream=False)
                keeps = what in ("a redirect", "gzip")
                reused = len({s.connection for s in upstream.sessions}) < len(upstream.sessions)
                checks.check(f"{name}: {what}: 502, the connection is not used again", result.status == 502 and (keeps or not reused), f"{result.status} {result.body[:100]}")


# ---- clients ----

async def raw_client(port, body, reset=False):
    """Sends a request and returns the socket, and what ends it."""
    handle = socket.create_connection(("127.0.0.1", port))
    payload = json.dumps(body).encode()
    handle.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(payload), payload))
    return handle


def leave(handle, with_reset):
    if with_reset:
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handle.close()


@fault(24, "the client leaves")
async def _(name):
    async def slow(session):
        await asyncio.sleep(0)
        await session.left(20)
    for with_reset in (False, True):
        word = "RST" if with_reset else "FIN"
        for plan, stream, what in ((slow, True, "before the first token"), (slow, False, "in a whole call"), (stream_then(3, slow), True, "in a stream")):
            async with Faulty(plan) as upstream:
                with House(upstream, upstream="concurrency: 1") as house:
                    first = await raw_client(house.penstock.port, chat("hi", stream=stream))
                    for _ in range(100):
                        if upstream.sessions:
                            break
                        await asyncio.sleep(0.01)
                    queued = await raw_client(house.penstock.port, chat("hi", stream=stream))
                    await asyncio.sleep(0.1)
                    leave(queued, with_reset)
                    await asyncio.sleep(0.05)
                    checks.check(f"{name} {what} ({word}): one that waits leaves the queue", house.penstock.metric("penstock_queue_requests") == 0)
                    left = time.monotonic()
                    leave(first, with_reset)
                    for _ in range(200):
                        if upstream.sessions[0].gone_at:
                            break
                        await asyncio.sleep(0.005)
                    gone = upstream.sessions[0].gone_at
                    checks.check(f"{name} {what} ({word}): the upstream is closed within 100 ms", gone is not None and gone - left < 0.1 * SLOWNESS,
                                 gone and gone - left)
                    checks.check(f"{name} {what} ({word}): the queued one was never sent", len(upstream.sessions) == 1)


@fault(25, "the client half-closes behind its request")
async def _(name):
    """Our policy, as nginx's: it can't be told from leaving, so it counts as that."""
    async def slow(session):
        await session.left(10)
    async with Faulty(slow) as upstream:
        with House(upstream) as house:
            client = await raw_client(house.penstock.port, chat("hi", stream=True))
            await asyncio.sleep(0.2)
            client.shutdown(socket.SHUT_WR)
            await asyncio.sleep(0.3)
            checks.check(f"{name}: it counts as gone, the upstream is closed", upstream.sessions and upstream.sessions[0].gone_at is not None)
            client.close()


@fault(27, "the client reads slowly")
async def _(name):
    sent = [0]

    async def flood(session):
        await session.start_stream()
        block = event(chunk("x" * 1000))
        for _ in range(16000):
            await session.piece(block)
            sent[0] += len(block)
        await session.piece(event(chunk(finish="stop")) + event("[DONE]"))
        await session.end_stream()
    async with Faulty(flood) as upstream:
        with House(upstream) as house:
            before = house.penstock.memory_kib()
            client = await raw_client(house.penstock.port, chat("hi", stream=True))
            await asyncio.sleep(1.5)
            first = sent[0]
            await asyncio.sleep(0.5)
            grown = house.penstock.memory_kib() - before
            checks.check(f"{name}: the upstream is paused, memory grows by at most 256 KiB", first == sent[0] and first < 12 << 20 and grown < 1024 * SLOWNESS,
                         f"{first} {sent[0]} {grown} KiB")
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            got = b""
            while b"[DONE]" not in got[-200:] + b"":
                data = await asyncio.wait_for(loop.sock_recv(client, 1 << 20), 10)
                if not data:
                    break
                got = got[-200:] + data
            checks.check(f"{name}: it goes on where it stood, to the end", b"[DONE]" in got[-200:])
            client.close()


@fault(29, "the engine loads its model while others wait")
async def _(name):
    ready = [False]

    async def health(session):
        if session.path != "/health":
            await session.refuse(404)
        else:
            await session.whole(200 if ready[0] else 503, {"status": "ok" if ready[0] else "loading"})
    async with Faulty(answer, health) as upstream:
        with House(upstream, upstream="poll: 1s", pool="queue: {requests: 20, wait: 20s}") as house:
            pass
        house = House.__new__(House)
        house.penstock = Penstock(f"""
pools:
  up:
    upstream: {{kind: llama-server, urls: ["{upstream.url}"], model: fake}}
    queue: {{requests: 20, wait: 20s}}
routes:
  assistant: {{tiers: up}}
""")
        with house:
            await asyncio.to_thread(house.penstock.wait, lambda: json.loads(house.penstock.admin("/readyz")[1])["replicas"]["up/0"]["state"] == "loading", 10)
            waiting = [asyncio.create_task(house.ask()) for _ in range(60)]
            await asyncio.sleep(1)
            refused = [w.result() for w in waiting if w.done()]
            checks.check(f"{name}: 20 wait, the others are refused at once with Retry-After", len(refused) == 40 and
                         all(r.status in (429, 503) and "retry-after" in r.headers for r in refused), [r.status for r in refused])
            checks.check(f"{name}: nothing was sent", len(upstream.sessions) == 0)
            ready[0] = True
            results = await asyncio.gather(*waiting)
            checks.check(f"{name}: those that waited are answered when it is there", sum(is_good(r) for r in results) == 20, [r.status for r in results])


@fault(38, "file descriptors run out")
async def _(name):
    import resource
    async with Faulty(answering(gap_s=0.2)) as upstream:
        with House(upstream) as house:
            pid = house.penstock.process.pid
            used = len(os.listdir(f"/proc/{pid}/fd"))
            hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 20, hard))
            clients = []
            for _ in range(60):
                clients.append(await raw_client(house.penstock.port, chat("hi", stream=True)))
            await asyncio.sleep(0.3)

            def cpu():
                with open(f"/proc/{pid}/stat") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
                return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            began = cpu()
            await asyncio.sleep(1)
            spent = cpu() - began
            checks.check(f"{name}: it does not spin", spent < 0.3 * SLOWNESS, f"{spent} s of CPU in a second")
            for client in clients:
                client.close()
            await asyncio.sleep(0.5)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(1024, hard), hard))
            await house.is_whole_again(name)


def fake_clock(path):
    """The environment in which the wall clock is off by what that file says ("+3600"), the monotonic one is not; None where libfaketime is not there."""
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1") + glob.glob("/usr/lib/faketime/libfaketimeMT.so.1")
    if not found:
        return None
    linked = subprocess.run(["ldd", PROGRAM], capture_output=True, text=True).stdout
    sanitizers = re.findall(r"=> (\S*lib[at]san\S*)", linked)  # these insist on being first
    return {"LD_PRELOAD": " ".join(sanitizers + found[:1]), "FAKETIME_TIMESTAMP_FILE": path, "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@fault(40, "the clock jumps an hour on, and two hours back")
async def _(name):
    async def by_name(session):
        content = session.json["messages"][0]["content"]
        if content == "silent":
            await session.left(10)
        elif content == "falls silent":
            await stream_then(3, lambda session: session.left(10))(session)
        elif content == "go on":
            await answer(session, tokens=30, gap_s=0.1)
        else:
            await answer(session)
    folder = tempfile.mkdtemp(prefix="penstock-test-")
    clock = os.path.join(folder, "clock")

    def jump(seconds):
        with open(clock + ".new", "w") as file:
            file.write(f"{seconds:+d}\n")
        os.replace(clock + ".new", clock)
    jump(0)
    environment = fake_clock(clock)
    if environment is None:
        checks.skip(f"{name}: libfaketime is not installed (Debian's package faketime)")
        shutil.rmtree(folder)
        return
    async with Faulty(by_name) as upstream:
        with House(upstream, upstream="concurrency: 3", pool="queue: {requests: 0}", route="timeouts: {first_token: 2s, idle: 2s, total: 30s}",
                   environment=environment) as house:
            port = house.penstock.port
            running = []
            for content in ("go on", "silent", "falls silent"):
                running.append(asyncio.create_task(ask(port, chat(content, stream=True))))
                await asyncio.sleep(0.15)
            refused = []
            for seconds in (3600, -3600):
                jump(seconds)
                result = await house.ask()
                date = email.utils.parsedate_to_datetime(result.headers["date"]).timestamp()
                refused.append((result.status, int(result.headers.get("retry-after", 0)), round((date - time.time() - seconds) / 60)))
                await asyncio.sleep(0.5)
            going, silent, fallen = await asyncio.gather(*running)
            checks.check(f"{name}: the stream under it goes on to its end", is_good(going, 30) and 2.9 < going.total_s < 3.5 * SLOWNESS,
                         f"{going.total_s} {going.body[-200:]}")
            checks.check(f"{name}: the first token is awaited for its two seconds", silent.status == 504 and 1.9 < silent.total_s < 2.6 * SLOWNESS,
                         f"{silent.status} {silent.total_s}")
            checks.check(f"{name}: the next one, too", fallen.status == 200 and fallen.error and fallen.error["code"] == "idle_timeout" and
                         1.9 < fallen.total_s < 2.6 * SLOWNESS, f"{fallen.error} {fallen.total_s}")
            checks.check(f"{name}: Retry-After stays small, Date follows the clock", all(status in (429, 503) and 1 <= wait <= 60 and off == 0
                                                                                        for status, wait, off in refused), refused)
            await house.is_whole_again(name)
            await asyncio.to_thread(house.penstock.wait, lambda: house.penstock.log_text().count('"request":') >= 7, 5)
            lines = [json.loads(line) for line in house.penstock.log_text().splitlines() if line.startswith("{")]
            requests = [line for line in lines if "request" in line]
            spans = [ms for line in requests for ms in (line["total_ms"], line.get("first_token_ms", 0), *line["stages_ms"].values())]
            checks.check(f"{name}: six lines in the access log, no duration below zero or over four seconds", len(requests) == 6 and
                         all(0 <= ms < 4000 * SLOWNESS for ms in spans), requests)
            off = sorted((datetime.datetime.fromisoformat(line["time"].replace("Z", "+00:00")).timestamp() - time.time()) / 3600 for line in requests)
            checks.check(f"{name}: its times follow the clock", -1.1 < off[0] < -0.9 and 0.9 < off[-1] < 1.1, off)
            measured = house.penstock.metric("penstock_request_duration_seconds_sum")
            checks.check(f"{name}: nor is any in the metrics", 7 < measured < 30 * SLOWNESS, measured)
    shutil.rmtree(folder)


# ---- repeats, identity, headers ----

@fault("headers", "what goes up and what does not")
async def _(name):
    async with Faulty() as upstream:
        with House(upstream, upstream="key: sesame, forward_headers: [x-team]") as house:
            body = '{"model": "assistant", "messages": [{"role":"user","content":"hi"}], "temperature": 0.70, "seed": 12345678901234567890, "stream" : true, "x_own":{"a":1.0}}'
            handle = socket.create_connection(("127.0.0.1", house.penstock.port))
            handle.sendall(("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer mine\r\ncookie: a=b\r\nx-team: blue\r\nx-other: 1\r\n"
                            f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n{body}").encode())
            await asyncio.to_thread(lambda: [None for _ in iter(lambda: handle.recv(65536), b"")])
            handle.close()
            session = upstream.sessions[0]
            checks.check(f"{name}: our key, its host, no header of the client but those named", session.headers.get("authorization") == "Bearer sesame" and
                         session.headers.get("x-team") == "blue" and not {"cookie", "x-other", "connection"} & set(session.headers), session.headers)
            checks.check(f"{name}: the body is the client's but for the model and the usage", session.body.decode() == body.replace('"assistant"', '"fake"')[:-1] +
                         ',"stream_options":{"include_usage":true}}', session.body)


async def main():
    wanted = set(sys.argv[1:])
    tests = [t for t in TESTS if not wanted or str(t[0]) in wanted]

    async def run(number, what, function):
        try:
            await asyncio.wait_for(function(f"fault {number}: {what}"), 60 * SLOWNESS)
        except Exception as error:
            checks.check(f"fault {number}: {what}: the test runs to its end", False, repr(error))
    # Most of their time is waiting: a few at once.
    gate = asyncio.Semaphore(3)

    async def gated(test):
        async with gate:
            await run(*test)
    # Those with a stopwatch go alone.
    alone = [test for test in tests if test[0] in (1, 24)]
    for test in alone:
        await run(*test)
    await asyncio.gather(*(gated(test) for test in tests if test not in alone))
    checks.end()


if __name__ == "__main__":
    asyncio.run(main())
