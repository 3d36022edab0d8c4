"""What a route promises, and what is done for it: rates and shares of tenants, trimmed conversations, answers that are checked before they are given, the
ladder under a load that is too much, costs, and replicas that come and go. Over the scripted engine and the faulty upstream, so it needs a test build."""
import asyncio
import json
import os
import subprocess
import tempfile
import time

from faulty import ROLE, Faulty, chunk, event, usage
from penstock import PROGRAM, SLOWNESS, Checks, Penstock, ask, chat

checks = Checks()
STATE = tempfile.mkdtemp(prefix="penstock-promise-")


def upstream_config(url, route, keys="", upstream=""):
    return f"""
state: {STATE}
{keys}
pools:
  up:
    upstream: {{urls: ["{url}"], kind: openai, model: fake{upstream}}}
    price: {{input: 1, output: 3, per: 1k}}
routes:
  assistant: {route}
"""


def new_key(name):
    """A key and its line for `keys:`."""
    config = os.path.join(STATE, "key.yaml")
    with open(config, "w") as file:
        file.write(f"state: {STATE}\npools: {{a: {{engine: {{model: m}}}}}}\nroutes: {{a: {{tiers: a}}}}\n")
    text = subprocess.run([PROGRAM, "key", "new", "--config", config, "--name", name], capture_output=True, text=True, check=True).stdout
    secret = next(word for word in text.split() if word.startswith("psk-"))
    digest = next(word for word in text.replace('"', " ").split() if word.startswith("hmac-sha256:"))
    return secret, digest


def saying(*words):
    """An upstream that answers so, streamed or whole as asked for."""
    async def plan(session):
        if not session.json.get("stream"):
            await session.whole(200, {"id": "1", "object": "chat.completion", "created": 1, "model": "fake", "choices": [
                {"index": 0, "message": {"role": "assistant", "content": "".join(words)}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}})
            return
        await session.start_stream()
        for data in [ROLE, *map(chunk, words), chunk(finish="stop"), usage(1000, 500), "[DONE]"]:
            await session.piece(event(data))
        await session.end_stream()
    return plan


async def rates():
    (one, one_hash), (other, other_hash) = new_key("one"), new_key("other")
    keys = f"""keys:
  - {{name: one, hash: "{one_hash}", limits: {{requests: 3, concurrency: 2}}}}
  - {{name: other, hash: "{other_hash}"}}"""
    async with Faulty(saying("fine")) as upstream:
        penstock = Penstock(upstream_config(upstream.url, "{tiers: up, promise: {kind: latency, ttft_p95: 5s}}", keys))
        answers = [await ask(penstock.port, chat("hi"), headers={"authorization": f"Bearer {one}"}) for _ in range(4)]
        checks.check("a minute's worth of requests, then no more", [a.status for a in answers] == [200, 200, 200, 429], [a.status for a in answers])
        wait_ms = int(answers[3].headers.get("retry-after-ms", 0))
        checks.check("the wait is exact: a third of a minute", 18000 <= wait_ms <= 20000, wait_ms)
        checks.check("it is the rate that is named", json.loads(answers[3].body)["error"]["code"] == "rate_limit_exceeded", answers[3].body)
        checks.check("nothing of it went upstream", len(upstream.sessions) == 3)
        answer = await ask(penstock.port, chat("hi"), headers={"authorization": f"Bearer {other}"})
        checks.check("another key is not touched by that", answer.status == 200)
        counted = penstock.metric('penstock_promise_requests_total{route="assistant",indicator="refuse"}')
        checks.check("what is over its rate is not held against the promise", counted == 4, counted)
        penstock.stop()


async def concurrency():
    secret, digest = new_key("few")
    keys = f'keys:\n  - {{name: few, hash: "{digest}", limits: {{concurrency: 2}}}}'
    release = asyncio.Event()

    async def holding(session):
        await release.wait()
        await saying("fine")(session)
    async with Faulty(holding) as upstream:
        penstock = Penstock(upstream_config(upstream.url, "{tiers: up}", keys))
        headers = {"authorization": f"Bearer {secret}"}
        held = [asyncio.create_task(ask(penstock.port, chat("hi"), headers=headers)) for _ in range(2)]
        while len(upstream.sessions) < 2:
            await asyncio.sleep(0.01)
        third = await ask(penstock.port, chat("hi"), headers=headers)
        checks.check("a third request of a key that may have two", third.status == 429 and b"concurrency_limit" in third.body, third.body)
        release.set()
        checks.check("the two are answered", [a.status for a in await asyncio.gather(*held)] == [200, 200])
        checks.check("and then it may again", (await ask(penstock.port, chat("hi"), headers=headers)).status == 200)
        penstock.stop()


async def trimming():
    long = "x" * 4000
    messages = [{"role": "system", "content": "be kind"}]
    for i in range(6):
        messages += [{"role": "user", "content": f"q{i} {long}"},
                     {"role": "assistant", "content": None, "tool_calls": [{"id": f"c{i}", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                     {"role": "tool", "tool_call_id": f"c{i}", "content": "42"},
                     {"role": "assistant", "content": f"a{i}"}]
    messages.append({"role": "user", "content": "and now?"})
    async with Faulty(saying("fine")) as upstream:
        penstock = Penstock(upstream_config(upstream.url, "{tiers: up, shape: {max_prompt: 3000, trim: oldest_turns}}"))
        answer = await ask(penstock.port, {"model": "assistant", "messages": messages, "stream": True})
        sent = upstream.sessions[0].json["messages"]
        left_out = len(messages) - len(sent)
        checks.check("the header says how many are left out", answer.headers.get("x-penstock-trimmed") == str(left_out), answer.headers)
        checks.check("whole turns, the oldest, and as few as do", left_out == 16 and sent == messages[:1] + messages[1 + left_out:], left_out)
        checks.check("the system's words are there", sent[0]["role"] == "system")
        calls = {call["id"] for m in sent for call in m.get("tool_calls", [])}
        results = {m["tool_call_id"] for m in sent if m["role"] == "tool"}
        checks.check("no call without its result", calls == results and calls, (calls, results))
        short = await ask(penstock.port, chat("hi"))
        checks.check("a short one is left as it is", "x-penstock-trimmed" not in short.headers and upstream.sessions[1].json["messages"] == chat("hi")["messages"])
        one = await ask(penstock.port, chat("y" * 400000))
        checks.check("what can't be trimmed is refused", one.status == 400 and b"context_length_exceeded" in one.body, one.body)
        penstock.stop()


async def answer_checks():
    route = "{tiers: up, promise: {kind: quality, checks: [json, {regex: 'price'}], min_samples: 1}}"
    for stream in (True, False):
        how = "streamed" if stream else "whole"
        async with Faulty(saying('{"pri', 'ce": 4}')) as upstream:
            penstock = Penstock(upstream_config(upstream.url, route))
            good = await ask(penstock.port, chat("hi", stream=stream))
            text = good.text if stream else json.loads(good.body)["choices"][0]["message"]["content"]
            checks.check(f"an answer that passes is given as it is, {how}", good.status == 200 and good.complete and text == '{"price": 4}', good.body)
            upstream.plan = saying("the price ", "is 4")
            bad = await ask(penstock.port, chat("ho", stream=stream))
            checks.check(f"one that fails is not given, {how}", bad.status == 502 and b"the price" not in bad.body and b"check_failed" in bad.body, bad.body)
            checks.check(f"the check is named, {how}", b"'json'" in bad.body, bad.body)
            penstock.wait(lambda: json.loads(penstock.admin("/promises")[1])["promises"][0]["indicators"]["checks"]["requests"] == 2, 5)
            view = json.loads(penstock.admin("/promises")[1])["promises"][0]
            checks.check(f"half of two: broken, {how}", view["state"] == "broken" and view["indicators"]["checks"]["attainment"] == 0.5, view)
            penstock.stop()


async def costs():
    async with Faulty(saying("fine")) as upstream:
        route = "{tiers: up, promise: {kind: cost, ceiling: 2, min_samples: 2, ladder: [try_again]}}"
        penstock = Penstock(upstream_config(upstream.url, route))
        for _ in range(6):
            answer = await ask(penstock.port, chat("hi", stream=True))
        checks.check("under way nobody is on a rung", answer.headers.get("x-penstock-rung") == "none", answer.headers)
        # 1,000 prompt tokens at 1 a thousand, and 500 at 3.
        checks.check("what a request costs is measured", abs(penstock.metric("penstock_cost_total") - 6 * 2.5) < 1e-6, penstock.metric("penstock_cost_total"))
        known = penstock.wait(lambda: json.loads(penstock.admin("/promises")[1])["promises"][0]["state"] == "broken", 5)
        view = json.loads(penstock.admin("/promises")[1])["promises"][0]
        checks.check("the ceiling is broken", known and view["cost"]["unit"] == 2.5, view)
        on_rung = penstock.wait(lambda: penstock.metric("penstock_rung{") == 1, 10)
        refused = await ask(penstock.port, chat("hi"))
        checks.check("and the ladder stops it", on_rung and refused.status == 503 and refused.headers.get("x-penstock-rung") == "try-again", refused.headers)
        penstock.stop()


async def conversations():
    """Two tiers and a ladder between them: a conversation stays where it began."""
    async with Faulty(saying("big")) as large, Faulty(saying("small")) as small:
        config = f"""
pools:
  large: {{upstream: {{urls: ["{large.url}"], kind: openai}}, price: {{output: 6, per: 1k}}}}
  small: {{upstream: {{urls: ["{small.url}"], kind: openai}}, price: {{output: 1, per: 1k}}}}
routes:
  assistant: {{tiers: [small, large], promise: {{kind: cost, ceiling: 1, ladder: [{{tier: small}}]}}}}
"""
        penstock = Penstock(config)
        first = chat("hello there")
        for _ in range(6):
            answer = await ask(penstock.port, first)
        checks.check("the strongest tier answers first", answer.headers["x-penstock-tier"] == "large" and not small.sessions, answer.headers)
        penstock.wait(lambda: penstock.metric("penstock_rung{") == 1, 10)
        new = await ask(penstock.port, chat("somebody else"))
        checks.check("on the rung the cheaper tier does", new.headers["x-penstock-tier"] == "small" and new.headers["x-penstock-rung"] == "tier-small", new.headers)
        second = {"model": "assistant", "messages": first["messages"] + [{"role": "assistant", "content": "big"}, {"role": "user", "content": "go on"}]}
        kept = await ask(penstock.port, second)
        checks.check("a conversation keeps its tier", kept.headers["x-penstock-tier"] == "large", kept.headers)
        penstock.stop()


LADDER = """
pools:
  small:
    engine: {kind: scripted, model: none, context: 4096, sequences: 2, scripted: {first_token: 100ms, gap: 10ms, tokens: 40}}
routes:
  assistant:
    tiers: [small]
    promise: {kind: latency, ttft_p95: 600ms, min_samples: 20, ladder: [{max_output: 10}, try_again]}
"""


async def under_load(penstock, seconds, gap_s):
    """Open loop; returns the answers."""
    tasks = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        tasks.append(asyncio.create_task(ask(penstock.port, chat(f"hi {len(tasks)}", stream=True, max_tokens=40))))
        await asyncio.sleep(gap_s)
    return await asyncio.gather(*tasks)


async def ladder():
    penstock = Penstock(LADDER)
    await under_load(penstock, 3, 0.6)
    answers = await under_load(penstock, 24, 0.05)
    rungs = {a.headers.get("x-penstock-rung") for a in answers}
    checks.check("the ladder rises, rung by rung", {"none", "output-10", "try-again"} <= rungs, rungs)
    refused = [a for a in answers if a.status == 503]
    slowest = sorted(a.head_s for a in refused)[int(len(refused) * 0.99)] if refused else 9
    checks.check("refusals come at once", refused and slowest < 0.05 * SLOWNESS, f"{len(refused)}, p99 {slowest * 1000:.1f} ms")
    checks.check("each says when to come again", all(int(a.headers["retry-after-ms"]) >= 100 for a in refused))
    done = [a for a in answers if a.status == 200]
    checks.check("those let in are answered", done and all(a.complete and not a.error for a in done), len(done))
    short = [a for a in done if a.headers["x-penstock-rung"] == "output-10"]
    checks.check("answers are shorter on the first rung", short and all(len(a.text.split()) <= 11 for a in short), short and short[0].text)
    view = json.loads(penstock.admin("/promises")[1])["promises"][0]
    checks.check("too many were refused: the promise is broken, and says so", view["state"] == "broken" and view["indicators"]["refuse"]["attainment"] < 0.9, view)
    in_time = penstock.metric('penstock_promise_met_total{route="assistant",indicator="ttft"}')
    checks.check("nearly all of those let in were in time", in_time >= 0.85 * len(done), f"{in_time} of {len(done)}")
    for name in ("penstock_rung_moves_total", "penstock_ladder_pressure_ratio", "penstock_promise_target_seconds"):
        checks.check(f"{name} is told", penstock.metric(name) > 0)
    penstock.stop()


SCALE = """
pools:
  small:
    engine: {kind: scripted, model: none, context: 4096, sequences: 2, scripted: {first_token: 150ms, gap: 20ms, tokens: 30, load_time: 300ms}}
    replicas: {min: 1, max: 3}
routes:
  assistant: {tiers: [small], promise: {kind: latency, ttft_p95: 700ms, ladder: [try_again]}}
"""


async def scaling():
    penstock = Penstock(SCALE)
    pool = json.loads(penstock.admin("/scale")[1])["pools"][0]
    checks.check("it begins with as few as it may", pool["ready"] == 1 and pool["wanted"] == 1 and len(penstock.workers()) == 1, pool)
    load = asyncio.create_task(under_load(penstock, 25, 0.15))
    more = await asyncio.to_thread(penstock.wait, lambda: len(penstock.workers()) == 3, 24)
    pool = json.loads(penstock.admin("/scale")[1])["pools"][0]
    checks.check("under pressure the others are started", more, pool)
    answers = await load
    replicas = {a.headers.get("x-penstock-replica") for a in answers if a.status == 200}
    checks.check("and take requests when they are warm", len(replicas) >= 2, replicas)
    checks.check("nobody met a cold one", all(a.complete and not a.error for a in answers if a.status == 200))
    checks.check("cold starts are measured", penstock.metric("penstock_cold_start_seconds_count") >= 2 and penstock.metric("penstock_cold_start_p95_seconds") > 0.2)
    checks.check("the wish is a gauge", penstock.metric("penstock_replicas_wanted") == pool["wanted"])
    checks.check("it stops cleanly with all of them", penstock.stop() == 0)


async def bake():
    """Thresholds of alerts from a replay, and a gateway that takes them."""
    penstock = Penstock(LADDER)
    thresholds, report = os.path.join(STATE, "thresholds.yaml"), os.path.join(STATE, "report.json")
    done = await asyncio.to_thread(subprocess.run, [
        PROGRAM, "replay", "synthetic:rate=8,duration=6s,prompt=20,output=10", "--target", f"http://127.0.0.1:{penstock.port}", "--quiet", "--admin",
        f"http://127.0.0.1:{penstock.admin_port}", "--promise", "ttft_p95=600ms", "--bake-alerts", thresholds, "--json", report],
        capture_output=True, text=True, timeout=60)
    penstock.stop()
    text = open(thresholds).read()
    checks.check("a replay bakes thresholds, of the gateway's own waits, too", "queue_wait" in text and ("ttft" in text or "first_token" in text), text + done.stderr)
    checks.check("its report has what the gateway says", "The gateway says" in done.stdout and "a promise of latency" in done.stdout, done.stdout)
    checks.check("also for machines", json.load(open(report))["gateway"]["promises"][0]["kind"] == "latency")
    baked = Penstock(f"alerts: {{thresholds: {thresholds}}}\n" + LADDER)
    alerts = json.loads(baked.admin("/alerts?all=1")[1])
    checks.check("a gateway takes them", alerts is not None and baked.stop() == 0)


def main():
    for part in (rates, concurrency, trimming, answer_checks, costs, conversations, ladder, scaling, bake):
        asyncio.run(part())
    checks.end()


main()
