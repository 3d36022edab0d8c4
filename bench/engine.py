"""The engine under load: Penstock's whole path against llama-server, default and tuned, on the same model file, threads and cores.

Each scenario starts each server anew, one at a time, in an order that turns every round; figures are medians over the rounds. Prompts are random
token ids, so that no cache helps unless the scenario is about one; answers are greedy, and have the length asked for because the tokens that end
one are forbidden. A request that fails counts as failed and is shown. Needs the package xllamacpp (bench/run engine brings it)."""
import argparse
import asyncio
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "test", "clients"))
from penstock import Penstock  # noqa: E402

CACHE = os.environ.get("PENSTOCK_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "penstock")
# What engine.weights: auto runs, by its path.
MODEL = os.path.join(CACHE, "models/smollm2-135m-instruct.q8_0.gguf")
PEER = """
import json, sys, time, xllamacpp
settings = json.loads(sys.argv[1])
p = xllamacpp.CommonParams()
p.model.path = settings["model"]
p.hostnames = ["127.0.0.1"]
p.port = settings["port"]
p.n_ctx = settings["context"]
p.n_parallel = settings["parallel"]
p.kv_unified = settings["unified"]
if settings["batch"]:
    p.n_batch = p.n_ubatch = settings["batch"]
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = 1
began = time.perf_counter()  # not the interpreter's start
server = xllamacpp.Server(p)
print(began, flush=True)
sys.stdin.read()
"""
CONFIG = """
pools:
  small:
    engine: {model: %(model)s, context: %(context)d, sequences: %(sequences)d, short_context: %(short)d, threads: 1, chat_template: chatml}
    queue: {requests: 1000, wait: 600s}
routes:
  assistant: {tiers: [small], timeouts: {first_token: 10m, idle: 10m, total: 20m}}
"""
# As many cells as the peers have: 16,384.
OURS = {"context": 4096, "sequences": 16, "short": 768}
# 20 requests at once: nobody waits for a place.
OURS_OF = {4: {"context": 1024, "sequences": 20, "short": 768}, 5: {"context": 2048, "sequences": 4, "short": 0}}
DEFAULT = {"parallel": 4, "context": 16384, "unified": True, "batch": 0}
TUNED = [{"parallel": 16, "context": 16384, "unified": unified, "batch": batch} for unified, batch in
         ((False, 128), (False, 64), (False, 0), (True, 128), (True, 64))]
# scenario: (figure, unit, goals: which peer, at most so many times its figure)
GOALS = {
    1: [("first token, alone", "ms", [("default", 1.0)]), ("gap p50, alone", "ms", [("default", 1.0)])],
    2: [("gap p99 beside four 2,000-token prompts", "ms", [("default", 1 / 200), ("tuned", 1 / 15)]),
        ("first token of those prompts", "s", [("tuned", None)])],
    4: [("first token p50 of 8 short behind 12 long prompts", "s", [("tuned", 1 / 40)]), ("time of all 20", "s", [("tuned", 1.0)])],
    5: [("completed of 4 x (600 + 400) in 2,048 cells", "", [])],
    6: [("time of 32 x (200 + 100), 16 at once", "s", [("tuned", 0.95)])],
    7: [("time of 32 behind one 400-token prefix", "s", [("tuned", 0.6)]), ("prompt tokens computed of 14,080", "", [])],
    8: [("process start to first token", "s", [("default", 1.0)])],
    9: [("memory after 6 and 7", "MB", [("default", 0.7)])],
}


# ---- servers ----

class Peer:
    def __init__(self, settings, model, cores):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        text = json.dumps({**settings, "model": model, "port": self.port})
        self.process = subprocess.Popen([sys.executable, "-c", PEER, text], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True, preexec_fn=lambda: os.sched_setaffinity(0, cores))
        self.began = float(self.process.stdout.readline())

    def pids(self):
        return [self.process.pid]

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Ours:
    def __init__(self, settings, model, cores):
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cores)  # the gateway and its worker inherit it
        self.began = time.perf_counter()
        try:
            self.penstock = Penstock(CONFIG % {**settings, "model": model})
        finally:
            os.sched_setaffinity(0, before)
        self.port = self.penstock.port

    def pids(self):
        return [self.penstock.process.pid] + self.penstock.workers()

    def stop(self):
        self.penstock.stop()


def memory_mb(server):
    total = 0
    for pid in server.pids():
        with open(f"/proc/{pid}/status") as file:
            total += next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
    return total / 1024


# ---- the client ----

async def ask(port, tokens, output):
    """One streamed completion: times of its tokens from the intended start, and what the server says of its prompt."""
    answer = {"times": [], "error": None, "cached": 0, "prompt": len(tokens)}
    body = json.dumps({"model": "assistant", "prompt": tokens, "max_tokens": output, "temperature": 0, "stream": True,
                       "stream_options": {"include_usage": True}, "logit_bias": {"0": -100, "2": -100}}).encode()
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    writer.write(b"POST /v1/completions HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    done = False
    while not done and answer["error"] is None:
        line = await reader.readline()
        if not line or (line.startswith(b"HTTP/1.1") and b" 200 " not in line):
            answer["error"] = line.decode() or "cut"
        done = line.startswith(b"data: [DONE]")
        if not done and line.startswith(b"data: "):
            take_event(answer, json.loads(line[6:]), time.perf_counter() - began)
        elif line.startswith(b"error: "):
            answer["error"] = line.decode()
    writer.close()
    answer["total"] = time.perf_counter() - began
    if answer["error"] is None and len(answer["times"]) < output:
        answer["error"] = f"{len(answer['times'])} tokens instead of {output}"
    return answer


def take_event(answer, event, at):
    if "error" in event:
        answer["error"] = str(event["error"])
    elif event.get("choices") and not (event["choices"][0].get("finish_reason") and not event["choices"][0].get("text")):
        answer["times"].append(at)
    usage = event.get("usage") or {}
    answer["cached"] = max(answer["cached"], (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)


def failures(answers):
    wrong = [answer["error"] for answer in answers if answer["error"]]
    if wrong:
        print(f"    {len(wrong)} of {len(answers)} failed: {wrong[0][:120]!r}", flush=True)
    return len(wrong)


def gaps(answer):
    return [later - earlier for earlier, later in zip(answer["times"], answer["times"][1:])]


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("inf")


def first(answer):
    return answer["times"][0] if answer["times"] else float("inf")


class Prompts:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def tokens(self, count):
        return [self.random.randrange(300, 40000) for _ in range(count)]


# ---- scenarios: each returns its figures, in the order of GOALS ----

async def alone(server, prompts):
    answers = [await ask(server.port, prompts.tokens(20), 100) for _ in range(6)]
    failures(answers)
    answers = answers[1:]  # the first one warms both up
    return [1e3 * statistics.median(first(answer) for answer in answers), 1e3 * statistics.median(gap for answer in answers for gap in gaps(answer))]


async def gaps_beside_long_prompts(server, prompts):
    """The stream goes on until the long prompts are done; its gaps from the first one's arrival on count."""
    port, arrivals = server.port, []
    body = json.dumps({"model": "assistant", "prompt": prompts.tokens(20), "max_tokens": 3500, "temperature": 0, "stream": True,
                       "logit_bias": {"0": -100, "2": -100}}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    writer.write(b"POST /v1/completions HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    async def read():
        while True:
            line = await reader.readline()
            if not line:
                return
            if line.startswith(b"data: {"):
                arrivals.append(time.perf_counter())

    reading = asyncio.create_task(read())
    await asyncio.sleep(1)
    began = time.perf_counter()
    long = [await ask(port, prompts.tokens(2000), 8) for _ in range(4)]
    ended = time.perf_counter()
    reading.cancel()
    writer.close()
    failures(long)
    # A gap that has not ended yet counts as far as it goes.
    counted = [later - earlier for earlier, later in zip(arrivals, arrivals[1:] + [ended]) if began <= later <= ended]
    return [1e3 * percentile(counted, 0.99), statistics.mean(first(answer) for answer in long)]


async def short_behind_long(server, prompts):
    began = time.perf_counter()
    long = [asyncio.create_task(ask(server.port, prompts.tokens(600), 100)) for _ in range(12)]
    await asyncio.sleep(0.2)
    short = await asyncio.gather(*[ask(server.port, prompts.tokens(20), 8) for _ in range(8)])
    answers = short + await asyncio.gather(*long)
    took = time.perf_counter() - began
    failures(answers)
    return [percentile([first(answer) for answer in short], 0.5), took]


async def too_few_cells(server, prompts):
    answers = await asyncio.gather(*[ask(server.port, prompts.tokens(600), 400) for _ in range(4)])
    return [4 - failures(answers)]


async def at_most(count, calls):
    """Runs the calls, so many at once."""
    gate = asyncio.Semaphore(count)

    async def one(call):
        async with gate:
            return await call()

    began = time.perf_counter()
    answers = await asyncio.gather(*[one(call) for call in calls])
    failures(answers)
    return time.perf_counter() - began, answers


async def throughput(server, prompts):
    calls = [lambda tokens=prompts.tokens(200): ask(server.port, tokens, 100) for _ in range(32)]
    return [(await at_most(16, calls))[0]]


async def common_prefix(server, prompts):
    prefix, questions = prompts.tokens(400), [prompts.tokens(40) for _ in range(8)]
    calls = [lambda tokens=prefix + questions[i % 8]: ask(server.port, tokens, 16) for i in range(32)]
    took, answers = await at_most(8, calls)
    return [took, sum(answer["prompt"] - answer["cached"] for answer in answers)]


async def cold_start(server, prompts):
    answer = await ask(server.port, prompts.tokens(20), 1)
    failures([answer])
    return [time.perf_counter() - server.began]


async def memory(server, prompts):
    await throughput(server, prompts)
    await common_prefix(server, prompts)
    return [memory_mb(server)]


SCENARIOS = {1: alone, 2: gaps_beside_long_prompts, 4: short_behind_long, 5: too_few_cells, 6: throughput, 7: common_prefix, 8: cold_start,
             9: memory}


# ---- rounds ----

def measure(number, side, settings, arguments, seed):
    server = (Ours if side == "penstock" else Peer)(settings, arguments.model, arguments.cores)
    try:
        figures = asyncio.run(SCENARIOS[number](server, Prompts(seed)))
    finally:
        server.stop()
    print(f"  {number} {side:8} " + ", ".join(f"{name} {value:.4g} {unit}" for (name, unit, _), value in zip(GOALS[number], figures)), flush=True)
    return figures


def tuned_settings(number, arguments):
    """The best of the tuned ones, by one run each; where every cell counts they would be another server."""
    if number == 5:
        return {**TUNED[0], "parallel": 4, "context": 2048, "unified": True}
    # A sixteenth of the cells holds no prompt of 2,000 tokens.
    usable = [settings for settings in TUNED if number != 2 or settings["unified"]]
    if arguments.quick:
        return usable[0]
    return min(usable, key=lambda settings: measure(number, f"b{settings['batch']}{'u' if settings['unified'] else ''}", settings, arguments, 99)[0])


def run_scenario(number, arguments):
    sides = {"default": {**DEFAULT, **({"context": 2048} if number == 5 else {})}, "tuned": tuned_settings(number, arguments),
             "penstock": {**OURS, **OURS_OF.get(number, {})}}
    results = {side: [] for side in sides}
    for turn in range(arguments.rounds):
        order = list(sides) if turn % 2 == 0 else list(reversed(sides))
        for side in order:
            results[side].append(measure(number, side, sides[side], arguments, 7 * number + turn))
    return {side: [statistics.median(values) for values in zip(*rounds)] for side, rounds in results.items()}


def verdicts(goals, row, cores):
    texts = []
    for peer, most in goals:
        if most is None:
            most = 1.1 if cores > 1 else 2.1
        ratio = row["penstock"] / row[peer]
        goal = f"1/{1 / most:.0f}" if most < 0.5 else f"{most:g}"
        texts.append(f"{ratio:.3g} of {peer} (goal {goal}: {'met' if ratio <= most else 'not met'})")
    return "; ".join(texts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", type=int, nargs="+", choices=sorted(SCENARIOS), default=sorted(SCENARIOS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=lambda text: {int(core) for core in text.split(",")}, default={0}, help="of the servers: 0 or 0,1")
    parser.add_argument("--model", default=MODEL, help="a GGUF file, for both")
    parser.add_argument("--quick", action="store_true", help="tuned is 16 slots with batches of 128, without looking for the best of five")
    arguments = parser.parse_args()
    table = ["| what | llama-server | tuned | Penstock | ratio |", "|---|---|---|---|---|"]
    for number in arguments.scenario:
        print(f"scenario {number}", flush=True)
        medians = run_scenario(number, arguments)
        for at, (name, unit, goals) in enumerate(GOALS[number]):
            row = {side: values[at] for side, values in medians.items()}
            cells = " | ".join(f"{row[side]:.4g} {unit}".strip() for side in ("default", "tuned", "penstock"))
            table.append(f"| {name} | {cells} | {verdicts(goals, row, len(arguments.cores))} |")
            print(table[-1], flush=True)
    print("\n" + "\n".join(table))


if __name__ == "__main__":
    main()
