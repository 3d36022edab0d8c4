"""Many clients at once, and those that cost more than they send: streams, slow and half-sent requests, stalled readers, small requests that make much work,
file descriptors that run out. Each must cost little itself, and the others nothing. Needs no model: the upstream is faulty.py.

Usage: load.py [NAME...], of the parts at the end"""
import asyncio
import json
import os
import re
import resource
import socket
import sys
import time
import zlib

from faulty import ROLE, Faulty, answering, chunk, event
from penstock import ROOT, Checks, Penstock, SLOWNESS, ask, chat

sys.path.insert(0, os.path.join(ROOT, "bench", "tools"))
from servers import TOOLS, PeakMemory, Stub, cpu_ns, end_all, file_limit, load, rss_kib  # noqa: E402

checks = Checks()
PARTS = []
HAS_TOOLS = all(os.path.exists(os.path.join(TOOLS, name)) for name in ("stub", "load"))
# Those that the gateway keeps of finished requests (TRACE_RECORDS).
RECORDS = 2048
# A sanitizer's allocator keeps what is freed and pads what is not: there the bounds on memory say only that nothing is lost for good.
MEMORY_SLACK = 8 if SLOWNESS > 1 else 1
WHOLE = {"id": "1", "object": "chat.completion", "created": 1, "model": "fake",
         "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
         "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}}


def part(function):
    PARTS.append(function)
    return function


def say(text):
    print(f"      {text}", flush=True)


class House:
    """A Penstock in front of one upstream (or of more, each with a route of its name), and what it costs."""

    def __init__(self, *upstreams, top="", timeouts="first_token: 10s, idle: 20s, total: 60s", **more):
        pools = {"assistant": upstreams, **{name: [upstream] for name, upstream in more.items()}}
        text = top + "\npools:\n"
        for name, members in pools.items():
            urls = ", ".join(json.dumps(f"http://127.0.0.1:{u.port}") for u in members)
            text += f"  {name}:\n    upstream: {{kind: openai, urls: [{urls}], model: fake, concurrency: 4096, keep_alive: 300ms}}\n" \
                    "    queue: {requests: 4096, wait: 10s}\n"
        text += "routes:\n" + "".join(f"  {name}: {{tiers: {name}, timeouts: {{{timeouts}}}}}\n" for name in pools)
        self.penstock = Penstock(text)
        self.pid = self.penstock.process.pid
        self.port = self.stream_port = self.penstock.port
        self.key = None  # for the load client

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        status = self.penstock.stop()
        if kind is None:
            checks.check("   ... and it ends well", status == 0, f"{status}\n{self.penstock.last_log[-2000:]}")

    def cpu_ns(self):
        return cpu_ns(self.pid)

    def rss_kib(self):
        return rss_kib(self.pid)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def is_idle(self):
        return self.penstock.metric("penstock_in_flight_requests") == 0 and self.penstock.metric("penstock_requests_open") == 0

    async def ask(self, **fields):
        return await ask(self.port, chat("hi", **fields))

    async def warm(self):
        """After a first request: how many descriptors are open at rest."""
        await self.ask()
        await asyncio.sleep(0.5)  # the connection to the upstream is kept for 300 ms
        return self.descriptors()

    async def share_of_core(self, seconds):
        """What it computes while nothing is asked of it."""
        cpu, began = self.cpu_ns(), time.monotonic()
        await asyncio.sleep(seconds)
        return (self.cpu_ns() - cpu) / 1e9 / (time.monotonic() - began)

    async def settles(self, what, descriptors):
        """Nothing is open any more."""
        wait = self.penstock.wait
        idle = await asyncio.to_thread(wait, self.is_idle, 5 * SLOWNESS)
        # The question after the metrics has a connection of its own.
        closed = await asyncio.to_thread(wait, lambda: self.descriptors() <= descriptors, 5 * SLOWNESS)
        checks.check(f"{what}: no request is open afterwards, descriptors are back to {descriptors}", idle and closed, f"idle {idle}, {self.descriptors()}")


async def whole(session):
    await session.whole(200, WHOLE)


async def connect(port, receive_buffer=None):
    handle = socket.socket()
    handle.setblocking(False)
    if receive_buffer:
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    await asyncio.get_running_loop().sock_connect(handle, ("127.0.0.1", port))
    return handle


async def connect_many(port, count, send):
    """So many connections, each with these bytes on them."""
    handles = []
    for _ in range(count):
        handles.append(await connect(port))
        await asyncio.get_running_loop().sock_sendall(handles[-1], send)
    return handles


def close_all(handles):
    for handle in handles:
        handle.close()


def is_small(what, kib, most):
    """Memory is bounded."""
    checks.check(f"{what} takes {kib:.1f} KiB of memory (at most {most * MEMORY_SLACK})", kib <= most * MEMORY_SLACK)


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


# ---- streams ----

def plain_stream(tokens):
    """What a client gets of faulty.answer, byte for byte."""
    return b"".join([event(ROLE), *(event(chunk(f"w{i} ")) for i in range(tokens)), event(chunk(finish="stop")), event("[DONE]")])


async def streams_of_tools(house, count):
    """How many were good, what was wrong with the others, KiB of memory each."""
    def run(mode, **more):
        return asyncio.to_thread(load, house, mode, model="assistant", **more)

    def run_streams(streams):
        return run("stream", streams=streams, ramp=1000 // SLOWNESS, events=20, event_bytes=200)
    # The records of the last requests have memory of their own: it is there before.
    await run("json", connections=8, requests=RECORDS)
    await run_streams(20)
    with PeakMemory(house) as memory:
        report = await run_streams(count)
    latency, cpu_us = report["relay_us"], report["cpu_ns"] / 1e3 / max(1, report["events"])
    say(f"relay latency p50 {latency['p50']:.0f} us, p99 {latency['p99']:.0f} us, {cpu_us:.1f} us of CPU an event")
    return report["complete"], report["faults"], memory.growth_kib / count


async def streams_of_python(house, count):
    wanted = plain_stream(20)

    async def one(i):
        await asyncio.sleep(i / 500 * SLOWNESS)
        return await house.ask(stream=True)
    for _ in range(RECORDS // 50):
        await asyncio.gather(*(house.ask() for _ in range(50)))
    await asyncio.gather(*(one(i) for i in range(20)))
    with PeakMemory(house) as memory:
        answers = await asyncio.gather(*(one(i) for i in range(count)))
    good = sum(a.status == 200 and a.complete and a.body == wanted for a in answers)
    return good, next((a.body for a in answers if a.body != wanted), b"")[-200:], memory.growth_kib / count


@part
async def streams():
    """500 streams of 20 events at once"""
    count = 500

    async def run(upstream):
        with House(upstream) as house:
            descriptors = await house.warm()
            good, faults, each = await (streams_of_tools if HAS_TOOLS else streams_of_python)(house, count)
            checks.check(f"{good} of {count} streams are complete and byte-identical to what was sent", good == count, faults)
            is_small("each", each, 16)
            await house.settles("500 streams", descriptors)
    if HAS_TOOLS:
        stub = Stub(events=20, event_bytes=200, gap_ms=100)
        try:
            await run(stub)
        finally:
            stub.stop()
    else:
        say("bench/tools are not built: the streams are made in Python")
        async with Faulty(answering(tokens=20, gap_s=0.2 * SLOWNESS)) as upstream:
            await run(upstream)


# ---- slow ones ----

async def drip(port, begin, drop):
    """Sends a request's beginning, then a byte each 100 ms, until it is answered: status, seconds, and was the connection closed then?"""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(begin)
    began = time.monotonic()
    answered = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
    try:
        while not (await asyncio.wait([answered], timeout=0.1))[0]:
            writer.write(drop)
        took = time.monotonic() - began
        status = int(answered.result().split()[1])
        closed = (await asyncio.wait_for(reader.read(), 5)).endswith(b"}")
        return status, took, closed
    except (OSError, asyncio.IncompleteReadError) as error:
        return repr(error), time.monotonic() - began, True
    finally:
        writer.close()


SLOW_HEAD = b"P", b"O"
SLOW_BODY = b'POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{"model"', b" "


@part
async def slow():
    """Heads and bodies that come byte by byte"""
    async with Faulty(whole) as upstream:
        with House(upstream, top="limits: {head_time: 1s, body_time: 1s}") as house:
            descriptors = await house.warm()
            over = asyncio.Event()
            probes = []

            async def probe():
                while not over.is_set():
                    probes.append(await house.ask())
                    await asyncio.sleep(max(0, 0.1 - probes[-1].total_s))
            probing = asyncio.create_task(probe())

            async def repeatedly(begin, drop):
                return [await drip(house.port, begin, drop) for _ in range(2)]
            slow_ones = await asyncio.gather(*(repeatedly(*what) for what in (SLOW_HEAD, SLOW_BODY) for _ in range(200)))
            over.set()
            await probing
            for what, some in (("heads", slow_ones[:200]), ("bodies", slow_ones[200:])):
                results = [result for two in some for result in two]
                took = [seconds for _, seconds, _ in results]
                say(f"slow {what}: cut after {min(took):.2f} to {max(took):.2f} s")
                checks.check(f"2 x 200 slow {what}: 408 after the second that they have, and closed", all(
                    status == 408 and 0.9 < seconds < 1 + 0.6 * SLOWNESS and closed for status, seconds, closed in results),
                    [result for result in results if result[0] != 408 or not result[2]][:3])
            good = [p.total_s for p in probes if p.status == 200 and p.complete]
            say(f"{len(probes)} probes meanwhile: p50 {percentile(good, 0.5) * 1e3:.1f} ms, p99 {percentile(good, 0.99) * 1e3:.1f} ms (this script's own time in it)")
            checks.check("every probe meanwhile is answered", len(good) == len(probes) >= 10, [p.status for p in probes])
            checks.check("nothing of the slow ones reaches the upstream", len(upstream.sessions) == len(probes) + 1, f"{len(upstream.sessions)} {len(probes)}")
            await house.settles("slow requests", descriptors)


HALVES = {
    "half-sent heads": b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-half: " + b"h" * 100,
    "half-sent chunk sizes": b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
                             b'8\r\n{"model"\r\n5;extension=' + b"c" * 200,
}


@part
async def half_sent():
    """Requests that stop in the middle"""
    async with Faulty(whole) as upstream:
        with House(upstream) as house:
            descriptors = await house.warm()
            handles = []
            for what, begin in HALVES.items():
                before = house.rss_kib()
                handles += await connect_many(house.port, 1000, begin)
                await asyncio.to_thread(house.penstock.wait, lambda: house.penstock.metric("penstock_requests_open") == len(handles))
                is_small(f"1,000 {what}: each", (house.rss_kib() - before) / 1000, 16)
            share = await house.share_of_core(3)
            checks.check(f"2,000 half-sent requests cost {share * 100:.2f} % of a core (less than 2)", share < 0.02)
            probe = await house.ask()
            checks.check("a whole one beside them is answered", probe.status == 200 and probe.complete, probe.status)
            close_all(handles)
            await house.settles("half-sent requests", descriptors)
            checks.check("nothing of them reaches the upstream", len(upstream.sessions) == 2, len(upstream.sessions))


@part
async def half_answered():
    """Upstreams that stop in the middle, or dawdle, before the first token"""
    async def half_head(session):
        await session.send(b"HTTP/1.1 200 OK\r\ncontent-ty")
        await session.left(20)

    def dawdling(begin):
        async def plan(session):
            await session.send(begin)
            gone = asyncio.ensure_future(session.left(20))
            while not (await asyncio.wait([gone], timeout=0.02))[0]:
                session.writer.write(b"x")
        return plan

    async def half_size(session):
        await session.start_stream()
        await session.send(b"10;extension=" + b"x" * 100)
        await session.left(20)
    plans = {"half a head": (100, half_head), "half a chunk size": (100, half_size),
             "a head by the byte": (20, dawdling(b"HTTP/1.1 200 OK\r\nx-slow: ")),
             "a chunk size by the byte": (20, dawdling(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n10;x="))}
    for what, (count, plan) in plans.items():
        most = (2 if count > 20 else 10) * SLOWNESS  # percent of a core
        async with Faulty(plan) as upstream:
            with House(upstream, timeouts="first_token: 1500ms") as house:
                asked = [asyncio.create_task(house.ask(stream=True)) for _ in range(count)]
                while len(upstream.sessions) < count and not any(a.done() for a in asked):
                    await asyncio.sleep(0.01)
                share = await house.share_of_core(0.8)
                answers = await asyncio.gather(*asked)
                took = [a.total_s for a in answers]
                checks.check(f"{count} upstreams that send {what}: {share * 100:.2f} % of a core (less than {most})", share * 100 < most)
                checks.check(f"{what}: 504 when the first token is due (1.5 s; {min(took):.2f} to {max(took):.2f})", all(
                    a.status == 504 and 1.4 < a.total_s < 1.5 + 0.6 * SLOWNESS for a in answers), [a.status for a in answers if a.status != 504][:5])
                await asyncio.sleep(0.1 * SLOWNESS)
                checks.check(f"{what}: those connections are closed", all(s.gone_at for s in upstream.sessions), sum(not s.gone_at for s in upstream.sessions))


# ---- readers that stop ----

async def own_lateness(is_over):
    """Seconds that this script's loop was late at most: upstream and clients share it."""
    worst = 0
    while not is_over[0]:
        due = time.monotonic() + 0.02
        await asyncio.sleep(0.02)
        worst = max(worst, time.monotonic() - due)
    return worst


@part
async def stalled():
    """Clients that stop reading"""
    count, blocks = (50, 192) if SLOWNESS == 1 else (20, 192)
    block = event(chunk("x" * 3900)) * 16
    begin, end = event(ROLE), event(chunk(finish="stop")) + event("[DONE]")
    sent = [0]

    async def flood(session):
        session.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        await session.start_stream()
        await session.piece(begin)
        for _ in range(blocks):
            await session.piece(block)
            sent[0] += len(block)
        await session.piece(end)
        await session.end_stream()
    body = json.dumps(chat("hi", stream=True)).encode()
    request = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    wanted = begin + block * blocks + end
    wanted_sum, total = zlib.crc32(wanted), len(wanted)
    del wanted

    async def read_on(handle):
        """Size and checksum of the answer's payload."""
        reader, writer = await asyncio.open_connection(sock=handle, limit=1 << 18)
        size = checksum = 0
        await reader.readuntil(b"\r\n\r\n")
        while piece := int(await reader.readline(), 16):
            data = await reader.readexactly(piece + 2)
            checksum = zlib.crc32(memoryview(data)[:piece], checksum)
            size += piece
        writer.close()
        return size, checksum

    async with Faulty(flood) as upstream, Faulty(answering(tokens=100000, gap_s=0.02)) as steady:
        with House(upstream, steady=steady) as house:
            descriptors = await house.warm()
            gaps, last = [], [None]
            is_over = [False]

            def on_data(_):
                now = time.monotonic()
                if last[0]:
                    gaps.append(now - last[0])
                last[0] = now
                return not is_over[0]
            lateness = asyncio.create_task(own_lateness(is_over))
            beside = asyncio.create_task(ask(house.port, {**chat("hi", stream=True), "model": "steady"}, on_data=on_data))
            await asyncio.sleep(0.3)
            before = house.rss_kib()
            sent[0] = 0
            handles = []
            for _ in range(count):
                handles.append(await connect(house.port, 65536))
                await asyncio.get_running_loop().sock_sendall(handles[-1], request)
            settled = -1
            deadline = time.monotonic() + 10 * SLOWNESS
            while settled != sent[0] and time.monotonic() < deadline:
                settled = sent[0]
                await asyncio.sleep(0.7)
            grown = (house.rss_kib() - before) / count
            await asyncio.sleep(1)
            each = sent[0] / count
            checks.check(f"the upstream of {count} stalled readers is paused, {each / 1e6:.1f} of {total / 1e6:.1f} MB each on their way", sent[0] == settled and
                         each < 0.9 * total, f"{settled} {sent[0]}")
            is_small("a stalled reader", grown, 256)
            results = await asyncio.gather(*(read_on(handle) for handle in handles))
            checks.check("each goes on where it stood, to the end, byte for byte", all(r == (total, wanted_sum) for r in results),
                         [r for r in results if r[0] != total][:3])
            is_over[0] = True
            await beside
            own = await lateness
            checks.check(f"a stream beside them has no gap over {max(gaps) * 1e3:.0f} ms (at most a second, on a machine that others use, and the {own * 1e3:.0f} ms that this script itself was late)",
                         len(gaps) > 50 and max(gaps) < SLOWNESS + own, len(gaps))
            await house.settles("stalled readers", descriptors)


# ---- small causes ----

def chat_body(more="", content='"hi"'):
    return f'{{"model": "assistant", "messages": [{{"role": "user", "content": {content}}}]{more}}}'.encode()


def padded(size):
    """An ordinary request of so many bytes."""
    return chat_body(content='"' + "a" * max(1, size - len(chat_body(content='""'))) + '"')


def head_of(body, headers=()):
    lines = ["POST /v1/chat/completions HTTP/1.1", "host: x", "content-type: application/json", *headers]
    return "\r\n".join(lines).encode() + (b"" if body is None else b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


def small_causes():
    kib, mib = 1024, 1 << 20
    deep = "[" * 60 + "]" * 60
    members = ",".join(f'"m{i}":{i % 10}' for i in range(100000))
    yield "1 KB of nested JSON, refused", head_of(chat_body(',"x":' + "[" * 450 + "]" * 450))
    yield "1 KB of nested JSON", head_of(chat_body(',"x":[' + ",".join([deep] * 7) + "]"))
    yield "32 KB in 95 headers", head_of(chat_body(), [f"x-{i}: " + "v" * 325 for i in range(95)])
    yield "32 KB in 5,000 headers, refused", head_of(chat_body(), ["a: b"] * 5000)
    yield "8 MB of arrays 60 deep", head_of(chat_body(',"x":[' + ",".join([deep] * (8 * mib // 121 - 1)) + "]"))
    yield "8 MB of empty arrays", head_of(chat_body(',"x":[' + ",".join(["[]"] * (8 * mib // 3 - 50)) + "]"))
    yield "8 MB of escaped quotes", head_of(chat_body(content='"' + '\\"' * (4 * mib - 60) + '"'))
    yield "8 MB of escaped letters", head_of(chat_body(content='"' + "\\u0041" * (8 * mib // 6 - 20) + '"'))
    yield "8 MB of blanks", head_of(chat_body(" " * (8 * mib - 100)))
    yield "a seed of 1 MB", head_of(chat_body(',"seed":' + "7" * mib))
    yield "a temperature of 1 MB", head_of(chat_body(',"temperature":0.' + "3" * mib))
    yield "1 MB of huge numbers", head_of(chat_body(',"x":[' + ",".join(["9e307"] * (mib // 6)) + "]"))
    yield "100,000 members in one object", head_of(chat_body(f',"x":{{{members}}}'))
    yield "100,000 fields", head_of(chat_body("," + members))
    yield "600,000 fields", head_of(chat_body("," + ",".join(f'"m{i}":{i % 10}' for i in range(600000))))
    yield "100,000 times the model", head_of(chat_body(',"model":"assistant"' * 100000))
    yield "100,000 messages", head_of(b'{"model":"assistant","messages":[' + b",".join([b'{"role":"user","content":""}'] * 100000) + b"]}")
    yield "100,000 messages that are none", head_of(b'{"model":"assistant","messages":[' + b",".join([b"{}"] * 100000) + b"]}")
    yield "100,000 stop words", head_of(chat_body(',"stop":[' + ",".join(['"a"'] * 100000) + "]"))
    body = padded(64 * kib)
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    yield "64 KB in chunks of a byte", head_of(None, ["transfer-encoding: chunked"]) + b"\r\n\r\n" + chunks


async def exchange(port, request):
    """Sends it whole, whatever is answered meanwhile; the status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        length = re.search(rb"content-length: (\d+)", head)
        await reader.readexactly(int(length.group(1)))
        return int(head.split()[1])
    except (OSError, asyncio.IncompleteReadError):
        return "cut"
    finally:
        writer.close()


def reset_peak(pid):
    with open(f"/proc/{pid}/clear_refs", "w") as file:
        file.write("5")


def peak_kib(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))


async def cost_of(house, request, times):
    """CPU ms each, and the last status."""
    before = house.cpu_ns()
    for _ in range(times):
        status = await exchange(house.port, request)
    return (house.cpu_ns() - before) / 1e6 / times, status


@part
async def amplification():
    """Requests that might make much of little"""
    results = []
    async with Faulty(whole) as upstream:
        for what, request in small_causes():
            # A fresh one each: what the one before left in the allocator would hide growth.
            with House(upstream) as house:
                plain = head_of(padded(len(request) - 100))
                times = 40 if len(request) < 100000 else 2
                await cost_of(house, head_of(padded(2000)), 5)
                reset_peak(house.pid)
                before = house.rss_kib()
                status = await exchange(house.port, request)
                grown = max(0, peak_kib(house.pid) - before) * 1024
                ordinary, ordinary_status = await cost_of(house, plain, times)
                cpu, _ = await cost_of(house, request, times)
                if ordinary_status != 200:
                    checks.check(f"an ordinary request of {len(plain)} bytes is answered", False, ordinary_status)
                results.append((cpu / ordinary, grown / len(request), what))
                checks.check(f"{what} ({status}): {cpu:.2f} ms of CPU, an ordinary request of that size {ordinary:.2f}; {grown >> 10} KiB of memory for "
                             f"{len(request) >> 10}", cpu < 100 * ordinary and grown <= 100 * len(request) * MEMORY_SLACK and status != "cut")
    say(f"the worst: {max(results)[0]:.1f} x the CPU of an ordinary request ({max(results)[2]}), "
        f"{max(r[1] for r in results):.1f} x its size in memory ({max(results, key=lambda r: r[1])[2]})")


# ---- file descriptors ----

@part
async def descriptors():
    """File descriptors run out, for the connections to the upstream"""
    async with Faulty(whole) as upstream:
        with House(upstream) as house:
            body = head_of(chat_body())
            clients = []
            for _ in range(30):
                clients.append(await asyncio.open_connection("127.0.0.1", house.port))

            async def once(client):
                client[1].write(body)
                head = (await asyncio.wait_for(client[0].readuntil(b"\r\n\r\n"), 20)).lower()
                data = await client[0].readexactly(int(re.search(rb"content-length: (\d+)", head).group(1)))
                return int(head.split()[1]), json.loads(data), head
            first = await asyncio.gather(*(once(c) for c in clients))
            checks.check("30 kept connections are answered", all(status == 200 for status, _, _ in first))
            await asyncio.sleep(0.6)  # those to the upstream are closed meanwhile
            used = [int(name) for name in os.listdir(f"/proc/{house.pid}/fd")]
            hard = resource.prlimit(house.pid, resource.RLIMIT_NOFILE)[1]
            at_rest = house.descriptors()
            resource.prlimit(house.pid, resource.RLIMIT_NOFILE, (next(i for i in range(len(used) + 1) if i not in used), hard))
            asked = len(upstream.sessions)
            began = time.monotonic()
            cpu = house.cpu_ns()
            during = [result for _ in range(2) for result in await asyncio.gather(*(once(c) for c in clients))]
            spent, took = (house.cpu_ns() - cpu) / 1e9, time.monotonic() - began
            codes = {(status, data["error"]["code"]) for status, data, _ in during}
            say(f"answers: {codes}, {spent * 1e3:.0f} ms of CPU in {took:.1f} s")
            checks.check("without descriptors each request gets a clean 502 or 503, the connection goes on", all(status in (502, 503) for status, _ in codes) and
                         len(upstream.sessions) == asked, f"{codes} {len(upstream.sessions) - asked}")
            # One that can't even be accepted waits.
            waiting = asyncio.create_task(exchange(house.port, body))
            share = await house.share_of_core(1)
            checks.check(f"nothing spins: {share * 100:.1f} % of a core", share < 0.05 * SLOWNESS and not waiting.done(), waiting.done())
            resource.prlimit(house.pid, resource.RLIMIT_NOFILE, (hard, hard))
            began = time.monotonic()
            late = await once(clients[0])
            while late[0] != 200 and time.monotonic() - began < 20:
                await asyncio.sleep(0.1)
                late = await once(clients[0])
            say(f"answered again after {time.monotonic() - began:.1f} s; the one that waited: {await waiting}")
            checks.check("with descriptors again, requests are answered again", late[0] == 200 and time.monotonic() - began < 12, late)
            for _, writer in clients:
                writer.close()
            await house.settles("descriptors", at_rest - 30)


async def main():
    if file_limit() < 5000:
        print("load.py: 5,000 open files are needed (ulimit -n)", file=sys.stderr)
    wanted = set(sys.argv[1:])
    try:
        for function in PARTS:
            if wanted and function.__name__ not in wanted:
                continue
            print(f"-- {function.__doc__}", flush=True)
            began = time.monotonic()
            try:
                await asyncio.wait_for(function(), 40 * SLOWNESS)
            except Exception as error:
                checks.check(f"{function.__doc__}: the test runs to its end", False, repr(error))
            say(f"{time.monotonic() - began:.1f} s")
    finally:
        end_all()
    checks.end()


if __name__ == "__main__":
    asyncio.run(main())
