"""The real engine when things go wrong: a client leaves in the middle of a long prompt (measured at the engine, by its pushed load report); the
worker is killed under 20 streams."""
import asyncio
import json
import os
import signal
import sys
import time

from penstock import Checks, Penstock, ask, chat, has_model

CONFIG = """
pools:
  small:
    engine: {model: smollm2-135m-instruct, context: 8192, chat_template: chatml}
routes:
  assistant: {tiers: [small], timeouts: {first_token: 10m}}
"""
# A load report leaves at most every 50 ms, and a look at /metrics takes its time.
LIMIT_S = 0.1 + 0.05 + 0.05


async def leave(penstock, words):
    reader, writer = await asyncio.open_connection("127.0.0.1", penstock.port)
    body = json.dumps(chat("word " * words, stream=True, max_tokens=500)).encode()
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()
    busy = await asyncio.to_thread(penstock.wait, lambda: penstock.metric("penstock_engine_running_requests") == 1, 10)
    await asyncio.sleep(0.3)  # well inside a step of 512 tokens
    writer.close()
    return busy, time.monotonic()


def time_to_free_s(penstock, words):
    busy, left = asyncio.run(leave(penstock, words))
    idle = penstock.wait(lambda: penstock.metric("penstock_engine_running_requests") == 0, 10)
    return time.monotonic() - left if busy and idle else float("inf")


async def kill_under_streams(penstock):
    """Kills the worker once 20 streams have begun or their requests wait for a place."""
    calls = [asyncio.create_task(ask(penstock.port, chat(f"Count to {i + 100}.", stream=True, max_tokens=400,
                                                         logit_bias={"0": -100, "2": -100}))) for i in range(20)]
    await asyncio.to_thread(penstock.wait, lambda: penstock.metric("penstock_time_to_first_token_seconds_count") >= 20, 60)
    os.kill(penstock.workers()[0], signal.SIGKILL)
    return await asyncio.wait_for(asyncio.gather(*calls), 60)


def worker_is_killed(checks, penstock):
    killed = asyncio.run(kill_under_streams(penstock))
    checks.check("20 streams end with an error event", sum(a.error is not None for a in killed) == 20, [a.status for a in killed])
    checks.check("none looks complete", all(a.complete and "[DONE]" not in a.events for a in killed))
    after = asyncio.run(ask(penstock.port, chat("What is the capital of France?", stream=True, max_tokens=20, temperature=0)))
    checks.check("the restarted worker answers", after.status == 200 and "Paris" in after.text, (after.status, after.headers.get("retry-after"), after.body[-500:]))


def main():
    if not has_model():
        print("the model is not in the cache: skipped\n0 passed, 0 failed, 1 skipped")
        sys.exit(0)
    checks = Checks()
    penstock = Penstock(CONFIG)
    try:
        for words in (2000, 4000):
            times_s = [time_to_free_s(penstock, words) for _ in range(3)]
            print(f"free {', '.join(f'{took_s * 1000:.0f}' for took_s in times_s)} ms after the client left a prompt of {words} words")
            # Other work on the machine only ever adds: the best of three is the nearest to ours.
            checks.check(f"a prompt of {words} words is dropped at once", min(times_s) <= LIMIT_S, times_s)
        streams = Penstock(CONFIG.replace("context: 8192", "context: 16384, sequences: 20"))
        try:
            worker_is_killed(checks, streams)
        finally:
            streams.stop()
    finally:
        checks.check("it stops cleanly", penstock.stop() == 0)
    checks.end()


main()
