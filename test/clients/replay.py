"""penstock replay: what it sends, counts and says, against a gateway over the scripted engine and against upstreams that misbehave.

Needs a build with test hooks: PENSTOCK=build-test/penstock python3 test/clients/replay.py"""
import asyncio
import json
import os
import re
import signal
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from faulty import Faulty, answer, answering, refusing, sequence  # noqa: E402
from penstock import PROGRAM, ROOT, SANITIZER, SLOWNESS, Checks, Penstock  # noqa: E402

checks = Checks()
folder = tempfile.mkdtemp(prefix="penstock-replay-")

CONFIG = """
pools:
  fake:
    engine: {kind: scripted, model: none, context: 65536, sequences: %d, scripted: {first_token: 20ms, gap: 5ms, tokens: 12}}
    queue: {requests: %d, wait: 20s}
routes:
  assistant: {tiers: [fake]}
"""


class Ran:
    """A run that has ended."""

    def __init__(self, status, out, err, seconds, path):
        self.status, self.out, self.err, self.seconds = status, out, err, seconds
        self.report = json.load(open(path)) if os.path.exists(path) and os.path.getsize(path) else {}

    @property
    def outcomes(self):
        return {name: count for name, count in self.report.get("outcomes", {}).items() if count}

    def __str__(self):
        return f"exit {self.status}, {self.outcomes}, {self.report.get('why')}: {self.err[-600:]} {self.out[-300:]}"


async def replay(*arguments, interrupt_s=None, limit_s=120):
    """Runs it; the report is read from --json."""
    path = os.path.join(folder, "report.json")
    if os.path.exists(path):
        os.unlink(path)
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(PROGRAM, "replay", *arguments, "--json", path, stdout=asyncio.subprocess.PIPE,
                                                   stderr=asyncio.subprocess.PIPE)
    if interrupt_s:
        await asyncio.sleep(interrupt_s)
        process.send_signal(signal.SIGINT)
    try:
        out, err = await asyncio.wait_for(process.communicate(), limit_s)
    except asyncio.TimeoutError:
        process.kill()
        out, err = await process.communicate()
    if SANITIZER.search(err.decode()):
        Penstock.reports.append(err.decode())
    return Ran(process.returncode, out.decode(), err.decode(), time.monotonic() - began, path)


def models(session_models="fake"):
    async def plan(session):
        await session.whole(200, {"object": "list", "data": [{"id": session_models, "object": "model"}]})
    return plan


def upstream(plan=answer):
    return Faulty(plan, health=models())


# ---- a gateway ----

async def counts(penstock):
    """Everything that is sent is accounted for, on both sides."""
    target = f"http://127.0.0.1:{penstock.port}"
    requests, page = os.path.join(folder, "requests.jsonl"), os.path.join(folder, "page.html")
    ran = await replay("synthetic:rate=40,duration=5s,prompt=40-80,output=8,arrivals=constant,tenants=2", "--target", target, "--promise",
                       "ttft_p95=5s,e2e_p95=20s", "--warm-up", "1s", "--requests", requests, "--html", page,
                       "--admin", f"http://127.0.0.1:{penstock.admin_port}", "--quiet")
    report = ran.report
    checks.check("a run whose promise is kept exits 0", ran.status == 0 and report["promise"]["kept"], ran)
    checks.check("200 rows are read and sent, 40 of them as warm-up", report["trace"]["rows_read"] == report["sent"] == 200 and report["warm_up"] == 40, ran)
    checks.check("the outcomes add up to what is counted", sum(report["outcomes"].values()) == report["requests"] == 160, ran)
    checks.check("all are answered", report["outcomes"]["OK"] == 160, ran)
    checks.check("the gateway saw as many", penstock.metric("penstock_requests_total{") >= 200, penstock.metric("penstock_requests_total{"))
    ttft = report["ms"]["ttft"]
    checks.check("every answer has a first token, and its end seven gaps of 5 ms later", ttft["count"] == 160 and report["ms"]["e2e"]["p50"] >= 35 and
                 report["ms"]["tpot"]["p50"] >= 4.9, report["ms"])
    checks.check("tokens are the usage's", report["tokens"]["output_real"] == 160 * 8 and report["tokens"]["prompt_real"] > 0, report["tokens"])
    checks.check("the bytes of a token were learned in the warm-up", report["tokens"]["bytes_per_token"] != 4.4, report["tokens"])
    checks.check("both tenants are there", {group["name"] for group in report["groups"]} == {"tenant-1", "tenant-2"}, report["groups"])
    lines = [json.loads(line) for line in open(requests)]
    checks.check("a line for each request, in order", len(lines) == 200 and all(a["intended_ms"] <= b["intended_ms"] for a, b in zip(lines, lines[1:])))
    checks.check("times of a request are in order", all(line["intended_ms"] <= line["sent_ms"] <= line["first_token_ms"] <= line["end_ms"] for line in lines))
    html = open(page).read()
    checks.check("the page is whole, without a script or anything from elsewhere",
                 html.endswith("</html>\n") and html.count("<svg") >= 3 and not re.search(r"<script|<link|<img|@import|url\(|(src|href)=", html))
    checks.check("the page shows the gateway's queue", "in the gateway" in html)


async def refusals(penstock):
    """A full house refuses, and that is counted as it should be."""
    target = f"http://127.0.0.1:{penstock.port}"
    ran = await replay("synthetic:rate=60,duration=3s,prompt=40,output=12,arrivals=constant", "--target", target, "--promise", "ttft_p95=10s", "--quiet")
    report = ran.report
    refused = report["outcomes"]["REFUSED"]
    checks.check("refusals are counted, and miss the promise", refused > 10 and ran.status == 1 and not report["promise"]["kept"], ran)
    checks.check("answered and refused are all there is", refused + report["outcomes"]["OK"] == report["requests"] == 180, ran)
    checks.check("attainment counts refusals as misses", abs(report["promise"]["parts"][0]["attainment"] - report["outcomes"]["OK"] / 180) < 1e-6, ran)
    checks.check("the time to a refusal and its Retry-After are told", report["ms"]["refusal"]["count"] == refused and report["ms"]["retry_after"]["p50"] > 0, ran)


# ---- upstreams ----

async def retries():
    """Retry-After is honoured, and the clock goes on running."""
    plan = sequence(refusing(429, retry_after_ms="400"), answering())
    async with upstream(plan) as house:
        ran = await replay("synthetic:rate=1,duration=100ms,arrivals=constant", "--target", house.url, "--retries", "2", "--quiet")
        checks.check("a refused request is asked again", len(house.sessions) == 2 and ran.outcomes == {"OK": 1} and ran.report["retries"] == 1, ran)
        gap = house.sessions[1].at - house.sessions[0].at
        checks.check("not before Retry-After, and soon after it", 0.4 <= gap < 0.6 * SLOWNESS, gap)
        checks.check("its latency counts from the first intended send", ran.report["ms"]["ttft"]["max"] >= 400, ran.report["ms"]["ttft"])
        checks.check("the second body is the first one's", house.sessions[0].body == house.sessions[1].body)
    async with upstream(refusing(503, retry_after_ms="50", x_should_retry="false")) as house:
        ran = await replay("synthetic:rate=1,duration=100ms,arrivals=constant", "--target", house.url, "--retries", "2", "--quiet")
        checks.check("x-should-retry: false is obeyed", len(house.sessions) == 1 and ran.outcomes == {"REFUSED": 1} and ran.status == 1, ran)
    async with upstream(refusing(400)) as house:
        ran = await replay("synthetic:rate=1,duration=100ms,arrivals=constant", "--target", house.url, "--retries", "2", "--quiet")
        checks.check("our own fault isn't tried again", len(house.sessions) == 1 and ran.outcomes == {"CLIENT_FAULT": 1} and ran.status == 1, ran)


async def freeze():
    """Coordinated omission: an upstream that stands still for a second shows, as nobody waits for it before sending on."""
    began = None

    async def plan(session):
        nonlocal began
        now = time.monotonic()
        began = began or now
        if 1.5 <= now - began < 2.5:
            await asyncio.sleep(began + 2.5 - now)
        await answer(session)
    async with upstream(plan) as house:
        ran = await replay("synthetic:rate=50,duration=5s,prompt=20,output=5,arrivals=constant", "--target", house.url, "--quiet")
        ms = ran.report["ms"]["ttft"]
        checks.check("a frozen second stands in p99, p90 and max", 850 < ms["p99"] < 1500 * SLOWNESS and ms["p90"] > 400 and ms["max"] >= 950, ms)
        checks.check("and not in p50", ms["p50"] < 200 * SLOWNESS, ms)
        sent = [session.at for session in house.sessions]
        widest = max(b - a for a, b in zip(sent, sent[1:]))
        checks.check("requests went on being sent meanwhile", len(sent) == 250 and widest < 0.3 * SLOWNESS, widest)


async def hopeless():
    """More comes in than is served: the run ends early and says why."""
    lock = asyncio.Lock()

    async def plan(session):
        async with lock:
            await answer(session, delay_s=0.35)
    async with upstream(plan) as house:
        ran = await replay("synthetic:rate=8,duration=90s,prompt=20,output=5", "--target", house.url, "--stop-when", "hopeless", "--quiet")
        checks.check("a hopeless run stops early with exit 1", ran.status == 1 and ran.report["stop"] == "hopeless" and 29 < ran.seconds < 60, ran)
        checks.check("and says why", "more comes in than is served" in ran.report["why"] and "STOPPED EARLY" in ran.out, ran)


async def endings():
    """Each way to end is counted under its own name."""
    async def cut(session):
        await session.start_stream()
        await session.piece(b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n')
        session.cut()

    async def unfinished(session):
        await session.start_stream()
        await session.piece(b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n')
        await session.end_stream()

    async def fault(session):
        await session.start_stream()
        await session.piece(b'data: {"error":{"message":"no"}}\n\n')
        await session.end_stream()

    async def reset(session):
        session.reset()

    async def rubbish(session):
        await session.send(b"HELLO\r\n\r\n")
        session.cut()

    async def silent(session):
        await session.left(20)
    plans = {"CUT": cut, "EVENT_FAULT": fault, "RESET": reset, "PROTOCOL": rubbish, "SERVER_FAULT": refusing(500), "TIMEOUT": silent}
    for outcome, plan in plans.items():
        async with upstream(plan) as house:
            ran = await replay("synthetic:rate=5,duration=400ms,arrivals=constant", "--target", house.url, "--timeout", "1s", "--quiet")
            checks.check(f"{outcome}: counted so, exit 1", ran.outcomes == {outcome: 2} and ran.status == 1, ran)
    async with upstream(unfinished) as house:
        ran = await replay("synthetic:rate=5,duration=400ms,arrivals=constant", "--target", house.url, "--quiet")
        checks.check("a stream without [DONE] is cut, whatever its framing says", ran.outcomes == {"CUT": 2}, ran)
    async with upstream() as house:
        port = house.port
    ran = await replay("synthetic:rate=5,duration=400ms,arrivals=constant", "--target", f"http://127.0.0.1:{port}", "--model", "m", "--quiet")
    checks.check("nobody there: no connection", ran.outcomes == {"CONNECT": 2} and ran.status == 1, ran)


async def clients():
    """Clients that hang up, sessions that wait, guards, signals."""
    async def gone(session):
        await session.start_stream()
        for _ in range(8):
            await session.piece(b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n')
            await asyncio.sleep(0.02)
        await session.left(5)
    async with upstream(gone) as house:
        ran = await replay("synthetic:rate=20,duration=500ms,output=8,arrivals=constant", "--target", house.url, "--cancel", "1", "--quiet")
        await asyncio.sleep(0.3)
        checks.check("--cancel 1: all hang up, and the upstream notices", ran.outcomes == {"HUNG_UP": 10} and len(house.sessions) == 10, ran)

    async with upstream(answering(delay_s=0.3)) as house:
        spec = "synthetic:rate=2,duration=500ms,arrivals=constant,turns=3,gap=50ms"
        ran = await replay(spec, "--target", house.url, "--sessions", "closed", "--quiet")
        sent = [session.at for session in house.sessions]
        checks.check("a closed session waits for each answer", len(sent) == 3 and all(b - a >= 0.3 for a, b in zip(sent, sent[1:])), sent)
        checks.check("its slip is dispatch delay, not our lateness",
                     ran.report["ms"]["dispatch_delay"]["max"] > 400 and ran.report["validity"] != "invalid", ran.report["ms"]["dispatch_delay"])
        checks.check("a session's requests say whose they are", len({session.json["user"] for session in house.sessions}) == 1)
        ran = await replay(spec, "--target", house.url, "--quiet")
        sent = [session.at for session in house.sessions[3:]]
        checks.check("an open one doesn't wait", len(sent) == 3 and all(b - a < 0.25 for a, b in zip(sent, sent[1:])), sent)

    async with upstream(answering(delay_s=3)) as house:
        ran = await replay("synthetic:rate=20,duration=3s,arrivals=constant", "--target", house.url, "--in-flight-max", "5", "--quiet")
        checks.check("the guard fails the run", ran.status == 1 and ran.report["stop"] == "guard" and ran.seconds < 2.5 * SLOWNESS, ran)
        ran = await replay("synthetic:rate=5,duration=60s,arrivals=constant", "--target", house.url, "--quiet", interrupt_s=1.5 * SLOWNESS)
        checks.check("an interrupted run reports what it has", ran.status == 1 and ran.report["stop"] == "interrupted" and ran.seconds < 10, ran)


async def shapes():
    """What a request looks like: keys by tenant, classes, whole answers, many at once from the first moment."""
    keys = os.path.join(folder, "keys")
    with open(keys, "w") as file:
        file.write("# two tenants\ntenant-1 = key-one\ntenant-2=key-two\n")
    async with upstream() as house:
        ran = await replay("synthetic:rate=40,duration=500ms,tenants=2,arrivals=constant", "--target", house.url, "--keys", keys, "--class", "batch", "--no-stream", "--quiet")
        seen = {session.headers["authorization"] for session in house.sessions}
        checks.check("each tenant sends its key", seen == {"Bearer key-one", "Bearer key-two"}, seen)
        checks.check("--class is a header", {session.headers["x-penstock-class"] for session in house.sessions} == {"batch"})
        ms = ran.report["ms"]
        checks.check("a whole answer has its first token at its end", ran.outcomes == {"OK": 20} and ms["ttft"]["max"] == ms["e2e"]["max"] and
                     not any(session.json.get("stream") for session in house.sessions), ran)
        ran = await replay("synthetic:rate=40,duration=500ms,arrivals=constant", "--target", house.url, "--keys", "tenant-1", "--quiet")
        checks.check("a list of keys that is none is refused", ran.status == 2 and "--keys" in ran.err, ran)

    async def silent(session):
        await session.left(20)
    async with Faulty(silent, health=silent) as house:
        ran = await replay("synthetic:rate=3000,duration=1s", "--target", house.url, "--model", "m", "--in-flight-max", "300", "--quiet")
        checks.check("an upstream that says nothing doesn't hold up a steep start for long", ran.report["stop"] == "guard" and ran.seconds < 5 * SLOWNESS, ran)


async def traces():
    """The samples in examples/traces, one of each format."""
    samples = os.path.join(ROOT, "examples", "traces")
    async with upstream() as house, Faulty(answer, health=models()) as store:
        for name, rows, *more in (("azure-conv.csv", 50, "--speed", "20"), ("mooncake-conversation.jsonl", 40, "--speed", "20", "--prompt-max", "2000"),
                                  ("rates-deepseek-r1.csv", None, "--to", "2h", "--scale", "0.05", "--speed", "2000", "--limit", "200")):
            before = len(house.sessions)
            ran = await replay(os.path.join(samples, name), "--target", house.url, "--output", "5", "--quiet", *more)
            trace = ran.report.get("trace", {})
            told = trace.get("rows_read", -1) == trace.get("to_send", 0) + sum(trace.get("dropped", {}).values())
            checks.check(f"{name}: all is sent and answered", ran.status == 0 and told and list(ran.outcomes) == ["OK"] and
                         (rows is None or trace["to_send"] == rows) and len(house.sessions) - before == trace["to_send"], ran)
        rag = os.path.join(samples, "ragpulse.jsonl")
        ran = await replay(rag, "--target", house.url, "--speed", "2000", "--quiet")
        checks.check("without a URL the retrieval calls are left out, and that is said", "Left out: the retrieval calls" in ran.out, ran)
        for how, method in (("get,before", "GET"), ("post,beside", "POST")):
            store.questions.clear()
            store.sessions.clear()
            ran = await replay(rag, "--target", house.url, "--speed", "2000", "--retrieval-url", store.url + "/search", "--retrieval", how, "--quiet")
            calls = len(store.questions) if method == "GET" else len(store.sessions)
            checks.check(f"{how}: a retrieval call for each request with passages, timed", calls == ran.report["ms"]["retrieval"]["count"] > 20 and
                         list(ran.outcomes) == ["OK"], ran)
        starts = [session.json["messages"][0]["content"] for session in house.sessions[-40:]]
        checks.check("prompts share what their ids share", len({text[:200] for text in starts}) < 10 and len(set(starts)) == 40)


async def usage():
    """What is wrong is said with what to do about it."""
    async with upstream() as house:
        target = ("--target", house.url)
        for arguments, words in ((("x", "--speed"), "needs a number"), (("x", "--speed", "0"), "a number over 0"), (("x", "--nonsense", "1"), "no option --nonsense"),
                                 ((), "which trace"), (("/nonexistent/trace.csv", *target), "can't be opened"),
                                 (("synthetic:rate=-1", *target), "rate can't be"), (("synthetic:rate=5", *target, "--promise", "fast"), "ttft_p95=800ms"),
                                 (("synthetic:rate=5", "--target", "localhost"), "http://host:port"), (("synthetic:rate=5", *target, "--sessions", "half"), "open or closed"),
                                 (("synthetic:rate=5", *target, "--from", "2h"), "no request of it is left"), ((__file__, *target), "--format"),
                                 (("synthetic:rate=5", *target, "--html", "/nonexistent/page.html"), "can't be written"),
                                 (("synthetic:rate=5", "--target", "http://127.0.0.1:1"), "is it running"), (("synthetic:rate=5", *target, "--warm-up", "5"), "a time such as")):
            ran = await replay(*arguments)
            checks.check(f"{' '.join(arguments)[:60]}: exit 2, and \"{words}\"", ran.status == 2 and words in ran.err and "--help" in ran.err, ran)
    ran = await replay("--help")
    checks.check("--help shows examples, options and formats", ran.status == 0 and "Examples:" in ran.out and "--promise" in ran.out and "mooncake" in ran.out, ran)


async def main():
    for config, part in ((CONFIG % (32, 256), counts), (CONFIG % (1, 3), refusals)):
        penstock = Penstock(config)
        try:
            await part(penstock)
        finally:
            checks.check("the gateway ends in order", await asyncio.to_thread(penstock.stop) == 0)
    for part in (usage, retries, freeze, endings, clients, shapes, traces, hopeless):
        await part()


asyncio.run(main())
checks.end()
