"""Predicted against actual time to first token, on the real model: what admission says against what happens.

Three loads in turn: one request at a time with prompts of several sizes, then 12 at once, then 40 at once over 16 sequences, so that some wait. Each
prediction was made when the request came and stands in its access log line; a ratio over 1 promised more time than was needed. There is no peer: the
last line is the median ratio of all. Run it with bench/run prediction."""
import argparse
import asyncio
import json
import os
import random
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "test", "clients"))
from penstock import ROOT, Penstock, ask, chat  # noqa: E402

CONFIG = """
pools:
  small:
    engine: {model: smollm2-135m-instruct, context: 16384, sequences: 16, chat_template: chatml}
    queue: {wait: 5m}
routes:
  assistant: {tiers: [small], timeouts: {first_token: 10m}}
"""
SIZES_WORDS = [5, 20, 60, 150]
# Enough for the step model and the route's sizes to have been learned.
WARM_UP = 20


def prompts(count, seed):
    words = open(os.path.join(ROOT, "LICENSE")).read().split()
    seeded = random.Random(seed)
    for _ in range(count):
        size = seeded.choice(SIZES_WORDS)
        start = seeded.randrange(len(words) - size)
        yield chat(" ".join(words[start:start + size]), stream=True, max_tokens=seeded.choice([4, 12, 24]))


async def one_by_one(port, count):
    for body in prompts(count, 1):
        await ask(port, body)


async def at_once(port, count, seed):
    await asyncio.gather(*[ask(port, body) for body in prompts(count, seed)])


def rows(penstock, skip):
    lines = [json.loads(line) for line in penstock.log_text().splitlines() if '"request"' in line]
    return [line for line in lines if "first_token_ms" in line][skip:]


def report(name, lines):
    ratios = sorted(line["predicted_first_token_ms"] / line["first_token_ms"] for line in lines)
    tenths = statistics.quantiles(ratios, n=10)
    kept = sum(ratio >= 1 for ratio in ratios)
    print(f"{name:14} predicted / actual: median {statistics.median(ratios):.2f}   10 % .. 90 % {tenths[0]:.2f} .. {tenths[8]:.2f}   "
          f"no later than promised {kept} of {len(ratios)}")
    return ratios


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=60, help="of the first load")
    arguments = parser.parse_args()
    penstock = Penstock(CONFIG)
    try:
        asyncio.run(one_by_one(penstock.port, WARM_UP))
        seen = WARM_UP
        ratios = []
        for name, count, load in (("one by one", arguments.requests, lambda: one_by_one(penstock.port, arguments.requests)),
                                  ("12 at once", 12, lambda: at_once(penstock.port, 12, 2)),
                                  ("40 at once", 40, lambda: at_once(penstock.port, 40, 3))):
            asyncio.run(load())
            if not penstock.wait(lambda: len(rows(penstock, 0)) >= seen + count, 10):
                raise RuntimeError(f"{name}: some requests were refused or not logged")
            ratios += report(name, rows(penstock, seen))
            seen += count
        print(f"ratio {statistics.median(ratios):.2f}")
    finally:
        penstock.stop()


main()
