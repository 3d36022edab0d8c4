"""The promise under load: a real trace at up to four times what the machine can do, a flash crowd, a flooding tenant; llama-server beside it.

Arrivals and sizes are those of the Azure conversation trace (CC-BY-4.0; ../shared, or the sample in examples/traces), thinned to the machine's rate and
shortened to its speed (--size). Every latency counts from the intended send (penstock replay). The server and its engine have one core, the load the other.

  overload     peak goodput, then twice and four times the load at which it is served; llama-server, whose queue has no bound, on the same requests
  crowd        ten times the load for a minute, clients who are refused ask again: when is the p95 as before?
  tenants      one of three tenants asks for twenty times its share: what becomes of the others
  predictions  time to first token and wait, as predicted on arrival, against what they were, with nobody refused

bench/run promise [PART ...] [--seconds N] [--size X] [--ttft MS]"""
import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

BENCH = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(BENCH)
sys.path[:0] = [BENCH, os.path.join(ROOT, "test", "clients")]
from penstock import PROGRAM, Penstock, has_model  # noqa: E402
from engine import MODEL, Peer  # noqa: E402

BEGIN_S = 300  # of the slice
ENGINE_CORE, LOAD_CORE = {0}, {1}
PARTS = ("overload", "crowd", "tenants", "predictions")
# So many requests at once; as many cells for the peer.
SEQUENCES = 16
CONFIG = """
{keys}
pools:
  small:
    engine: {{model: smollm2-135m-instruct, context: 8192, sequences: {sequences}, threads: 1, chat_template: chatml}}
    queue: {{requests: 1000, wait: {wait}}}
    price: {{hour: 0.05}}
routes:
  assistant:
    tiers: [small]
    timeouts: {{first_token: 10m, idle: 10m, total: 20m}}
    {promise}
"""


def trace():
    shared = os.environ.get("PENSTOCK_SHARED") or os.path.join(ROOT, "..", "shared")
    path = os.path.join(shared, "traces", "azure2023", "conv.csv.gz")
    return path if os.path.exists(path) else os.path.join(ROOT, "examples", "traces", "azure-conv.csv")


class Gateway:
    """Penstock and its worker on the engine's core."""

    def __init__(self, promise="", wait="60s", keys=""):
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, ENGINE_CORE)
        try:
            self.penstock = Penstock(CONFIG.format(promise=promise, wait=wait, keys=keys, sequences=SEQUENCES))
        finally:
            os.sched_setaffinity(0, before)
        self.url = f"http://127.0.0.1:{self.penstock.port}"
        self.admin = f"http://127.0.0.1:{self.penstock.admin_port}"

    def records(self):
        """The access log."""
        time.sleep(0.1)
        return [json.loads(line) for line in self.penstock.log_text().splitlines() if '"outcome"' in line]

    def stop(self):
        self.penstock.stop()


class Llama:
    """llama-server with as many slots and cells."""

    def __init__(self):
        settings = {"parallel": SEQUENCES, "context": 16384, "unified": False, "batch": 128}
        self.peer = Peer(settings, MODEL, ENGINE_CORE)
        self.url = f"http://127.0.0.1:{self.peer.port}"

    def stop(self):
        self.peer.stop()


class Run:
    """One run of penstock replay."""

    def __init__(self, url, spec, *options):
        with tempfile.TemporaryDirectory() as folder:
            report, requests = os.path.join(folder, "report"), os.path.join(folder, "requests")
            done = subprocess.run([PROGRAM, "replay", spec, "--target", url, "--model", "assistant", "--quiet", "--json", report,
                                   "--requests", requests, *map(str, options)], capture_output=True, text=True,
                                  preexec_fn=lambda: os.sched_setaffinity(0, LOAD_CORE), timeout=900)
            if not os.path.exists(requests):
                raise RuntimeError(f"replay: {done.stderr}")
            self.report = json.load(open(report))
            self.rows = [json.loads(line) for line in open(requests)]
        self.counted = [row for row in self.rows if row["counted"]]

    def share_in_time(self, ttft_ms, rows=None):
        rows = self.counted if rows is None else rows
        return sum(in_time(row, ttft_ms) for row in rows) / max(len(rows), 1)


def ttft(row):
    return row["first_token_ms"] - row["intended_ms"] if row["outcome"] == "OK" and "first_token_ms" in row else None


def in_time(row, ttft_ms):
    took = ttft(row)
    return took is not None and took <= ttft_ms


def percentile(values, share):
    values = sorted(values)
    return values[min(int(len(values) * share), len(values) - 1)] if values else float("nan")


def promise_of(arguments):
    return f"promise: {{kind: latency, ttft_p95: {arguments.ttft}ms, min_samples: 20, ladder: [{{max_output: 32}}, try_again]}}"


def trace_rps(seconds):
    """Of the slice: the trace drifts over minutes."""
    opener = gzip.open if trace().endswith(".gz") else open
    with opener(trace(), "rt") as file:
        times = [line.split(",")[0].split(" ")[1].split(":") for line in file if line[0].isdigit()]
    times = [int(hour) * 3600 + int(minute) * 60 + float(second) for hour, minute, second in times]
    return sum(BEGIN_S <= time - times[0] < BEGIN_S + seconds for time in times) / seconds


def slice_of(arguments, rps, seconds):
    """Options of replay for a slice of the trace at that rate."""
    return ["--from", f"{BEGIN_S}s", "--to", f"{BEGIN_S + seconds}s", "--scale", rps / trace_rps(seconds), "--size", arguments.size, "--warm-up", "15s",
            "--promise", f"ttft_p95={arguments.ttft}ms"]


def one_load(server, arguments, rps):
    run = Run(server.url, trace(), *slice_of(arguments, rps, arguments.seconds + 15))
    seconds = arguments.seconds
    answered = [row for row in run.counted if row["outcome"] == "OK"]
    refused = [row for row in run.counted if row["status"] in (429, 503)]
    good = [row for row in answered if in_time(row, arguments.ttft)]
    return {"offered": len(run.counted) / seconds, "answered": len(answered) / seconds, "goodput": len(good) / seconds,
            "in_time": len(good) / max(len(answered), 1), "ttft_p95": percentile([ttft(row) for row in answered], 0.95),
            "refused": len(refused) / max(len(run.counted), 1),
            "refusal_p99": percentile([row["end_ms"] - row["intended_ms"] for row in refused], 0.99)}


def show(name, load):
    print(f"  {name:30} {load['offered']:5.2f}/s offered, {load['answered']:5.2f} answered, goodput {load['goodput']:5.2f}, in time of those answered "
          f"{100 * load['in_time']:5.1f} %, TTFT p95 {load['ttft_p95']:7.0f} ms, refused {100 * load['refused']:4.1f} %, p99 of a refusal {load['refusal_p99']:5.1f} ms",
          flush=True)


def overload(arguments):
    print(f"overload: TTFT p95 <= {arguments.ttft} ms, {arguments.seconds} s each, sizes x {arguments.size}")
    loads = {}
    for rps in arguments.rates:
        gateway = Gateway(promise_of(arguments))
        loads[rps] = one_load(gateway, arguments, rps)
        show(f"Penstock, {rps:.2f}/s asked", loads[rps])
        gateway.stop()
    capacity = max(load["goodput"] for load in loads.values())
    for factor in (2, 4):
        gateway = Gateway(promise_of(arguments))
        loads[factor * capacity] = load = one_load(gateway, arguments, factor * capacity)
        show(f"Penstock, {factor} x {capacity:.2f}/s", load)
        gateway.stop()
        llama = Llama()
        peer = one_load(llama, arguments, factor * capacity)
        show(f"llama-server, {factor} x {capacity:.2f}/s", peer)
        llama.stop()
        best = max(one["goodput"] for one in loads.values())
        print(f"  goodput at {factor} x over the peak: {load['goodput'] / best:.3f} (goal: at least 0.9); llama-server's goodput "
              f"{peer['goodput']:.2f}/s; p99 of refusals {load['refusal_p99']:.1f} ms (goal: at most 50)", flush=True)
    return capacity


def crowd(arguments, capacity):
    base = 0.6 * capacity
    print(f"crowd: {base:.2f}/s, ten times that from second 60 to 120, refused clients ask again up to three times")
    gateway = Gateway(promise_of(arguments))
    spec = f"synthetic:rate={base},duration=240s,prompt=50-350,output=20-60,shape=step,factor=10,at=60s,for=60s"
    run = Run(gateway.url, spec, "--retries", 3, "--promise", f"ttft_p95={arguments.ttft}ms")
    gateway.stop()
    before = [row for row in run.rows if row["intended_ms"] < 60000]
    normal = percentile([ttft(row) for row in before if ttft(row) is not None], 0.95)
    print(f"  before: p95 {normal:.0f} ms, in time {100 * run.share_in_time(arguments.ttft, before):.1f} % of {len(before)}")
    peak = [row for row in run.rows if 60000 <= row["intended_ms"] < 120000]
    done = [row for row in peak if row["outcome"] == "OK" and row["retries"] == 0]
    print(f"  crowd: {len(peak)} asked, in time {100 * run.share_in_time(arguments.ttft, peak):.1f} %; of those let in at once "
          f"{100 * run.share_in_time(arguments.ttft, done):.1f} %")
    for begin in (0, 5, 10, 20, 40):
        after = [row for row in run.rows if 120000 + begin * 1000 <= row["intended_ms"] < 120000 + begin * 1000 + 20000]
        took = [ttft(row) for row in after if ttft(row) is not None]
        print(f"  {begin:2} to {begin + 20} s after it: p95 {percentile(took, 0.95):.0f} ms, in time {100 * run.share_in_time(arguments.ttft, after):.1f} % "
              f"of {len(after)}", flush=True)


def new_key(penstock_state, name):
    config = os.path.join(penstock_state, "key.yaml")
    with open(config, "w") as file:
        file.write(f"state: {penstock_state}\npools: {{a: {{engine: {{model: m}}}}}}\nroutes: {{a: {{tiers: a}}}}\n")
    words = subprocess.run([PROGRAM, "key", "new", "--config", config, "--name", name], capture_output=True, text=True, check=True).stdout
    secret = next(word for word in words.split() if word.startswith("psk-"))
    return secret, next(word for word in words.replace('"', " ").split() if word.startswith("hmac-sha256:"))


def tenants(arguments, capacity):
    share = capacity / 3
    print(f"tenants: two ask for {0.7 * share:.2f}/s each, beside a third that asks for as much, then for twenty times its share")
    with tempfile.TemporaryDirectory() as state:
        keys = {name: new_key(state, name) for name in ("one", "two", "flood")}
        lines = "".join(f'  - {{name: {name}, hash: "{digest}"}}\n' for name, (_, digest) in keys.items())
        results = {}
        for factor in (0.7, 20):
            gateway = Gateway(promise_of(arguments), keys=f"state: {state}\nkeys:\n{lines}")
            flood = subprocess.Popen([PROGRAM, "replay", f"synthetic:rate={factor * share},duration={arguments.seconds + 30}s,prompt=50-350,output=20-60",
                                      "--target", gateway.url, "--model", "assistant", "--quiet", "--seed", "5", "--key", keys["flood"][0]],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=lambda: os.sched_setaffinity(0, LOAD_CORE))
            time.sleep(5)
            spec = f"synthetic:rate={1.4 * share},duration={arguments.seconds}s,prompt=50-350,output=20-60,tenants=2"
            names = [f"{tenant}={keys[name][0]}" for tenant, name in zip(("tenant-1", "tenant-2"), ("one", "two"))]
            run = Run(gateway.url, spec, "--key", keys["one"][0], "--keys", ",".join(names))
            flood.wait()
            gateway.stop()
            results[factor] = run.share_in_time(arguments.ttft)
            print(f"  the third at {factor} x its share: the others in time {100 * results[factor]:.1f} % of {len(run.counted)}", flush=True)
    print(f"  the flood costs the others {100 * (results[0.7] - results[20]):.1f} points (goal: at most 2)")


def predictions(arguments, capacity):
    print("predictions: nobody is refused; as logged on arrival, against what was")
    for factor in (0.5, 0.8, 1.5):
        gateway = Gateway(wait="600s")
        Run(gateway.url, trace(), *slice_of(arguments, factor * capacity, min(arguments.seconds, 90) + 15))
        records = [row for row in gateway.records() if row["outcome"] == "completed" and "predicted_first_token_ms" in row][20:]
        gateway.stop()
        errors = [abs(row["first_token_ms"] - row["predicted_first_token_ms"]) / row["first_token_ms"] for row in records]
        waits = [(row["predicted_wait_ms"], row["stages_ms"].get("dispatch", 0)) for row in records]
        waits = [abs(told - was) / was for told, was in waits if was >= 250]
        print(f"  {factor} x capacity, {len(records)} requests: TTFT off by {100 * statistics.median(errors):.1f} % in the median, {100 * percentile(errors, 0.95):.0f} % at p95 "
              f"(goals: 10, 30)" + (f"; the wait, of {len(waits)} that waited: {100 * statistics.median(waits):.1f} %, {100 * percentile(waits, 0.9):.0f} % at p90 (goal: 25)"
                                    if waits else ""), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--seconds", type=int, default=120, help="of each load")
    parser.add_argument("--size", type=float, default=0.2, help="of prompts and answers, beside the trace's")
    parser.add_argument("--ttft", type=int, default=4000, help="promised, ms")
    parser.add_argument("--rates", type=lambda text: [float(part) for part in text.split(",")], default=[0.5, 0.8, 1.1], help="loads among which the peak is looked for")
    parser.add_argument("--capacity", type=float, default=0.7, help="requests a second, where overload is not among the parts")
    arguments = parser.parse_args()
    parts = arguments.parts or PARTS
    if not set(parts) <= set(PARTS):
        parser.error(f"the parts are {', '.join(PARTS)}")
    if not has_model():
        sys.exit("the model is not in the cache: make setup fetches it")
    capacity = overload(arguments) if "overload" in parts else arguments.capacity
    for part in (crowd, tenants, predictions):
        if part.__name__ in parts:
            part(arguments, capacity)


main()
