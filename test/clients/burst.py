"""200 chat requests at once against the built-in model: each completes, or is refused cleanly within 100 ms; nothing hangs or is cut, and
the memory comes back."""
import asyncio
import sys

from penstock import Checks, Penstock, ask, chat, has_model

REQUESTS = 200
CONFIG = """
pools:
  small:
    engine: {model: smollm2-135m-instruct, context: 8192, chat_template: chatml}
    queue: {requests: 120, wait: 60s}
routes:
  assistant: {tiers: [small]}
"""


async def burst(port, count, tokens):
    calls = [ask(port, chat(f"Name a fruit, number {i}.", stream=True, max_tokens=tokens)) for i in range(count)]
    return await asyncio.wait_for(asyncio.gather(*calls), 240)


def report(answers, checks):
    completed = [a for a in answers if a.status == 200]
    refused = [a for a in answers if a.status in (429, 503)]
    slowest = max((a.head_s for a in refused), default=0)
    print(f"{len(completed)} completed, {len(refused)} refused (slowest after {slowest * 1000:.0f} ms)")
    checks.check("every request completed or was refused", len(completed) + len(refused) == len(answers))
    checks.check("some completed", len(completed) > 0)
    checks.check("completed ones are whole", all(a.complete and a.events[-1] == "[DONE]" and not a.error for a in completed))
    checks.check("refusals have a Retry-After", all(int(a.headers.get("retry-after", 0)) >= 1 for a in refused))
    checks.check("refusals came within 100 ms", slowest <= 0.1, f"{slowest * 1000:.0f} ms")


def main():
    if not has_model():
        print("the model is not in the cache: skipped\n0 passed, 0 failed, 1 skipped")
        sys.exit(0)
    checks = Checks()
    penstock = Penstock(CONFIG)
    try:
        asyncio.run(burst(penstock.port, 8, 2))  # the first requests' buffers are not a leak
        for _ in range(3):  # the allocator keeps what a burst of this size needs, and how much of it is chance
            asyncio.run(burst(penstock.port, REQUESTS, 2))
        before = penstock.memory_kib()
        answers = asyncio.run(burst(penstock.port, REQUESTS, 12))
        report(answers, checks)
        checks.check("nothing is open afterwards", penstock.wait(lambda: penstock.metric("penstock_requests_open") == 0))
        after = penstock.memory_kib()
        checks.check("memory is back within 5 %", after <= before * 1.05, f"{before} KiB before, {after} after")
        print(f"gateway memory: {before} KiB before, {after} KiB after")
    finally:
        checks.check("it stops cleanly", penstock.stop() == 0)
    checks.end()


main()
