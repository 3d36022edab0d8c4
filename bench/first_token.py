"""Time to first token of a lone 20-token prompt: Penstock's whole path against llama-server on the same model file, threads and machine.

Both run side by side and are asked in turn, in an order that changes every round; every prompt is new to both (random token ids), so that no cache
helps. The last line is the ratio of the medians, Penstock over llama-server. Needs the package xllamacpp (bench/run first_token brings it)."""
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

MODEL = os.path.join(os.environ.get("PENSTOCK_CACHE", os.path.expanduser("~/.cache/penstock")), "models/smollm2-135m-instruct.gguf")
PEER = """
import sys, time, xllamacpp
p = xllamacpp.CommonParams()
p.model.path = sys.argv[1]
p.hostnames = ["127.0.0.1"]
p.port = int(sys.argv[2])
p.n_ctx = 8192
p.n_parallel = 4
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = int(sys.argv[3])
server = xllamacpp.Server(p)
print("ready", flush=True)
sys.stdin.read()
"""
CONFIG = """
pools:
  small:
    engine: {model: smollm2-135m-instruct, context: 8192, threads: %d}
routes:
  assistant: {tiers: [small]}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def first_token_s(port, tokens):
    """Seconds from the request's first byte to the first content in our socket."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps({"model": "assistant", "prompt": tokens, "max_tokens": 4, "temperature": 0, "stream": True}).encode()
    began = time.perf_counter()
    writer.write(b"POST /v1/completions HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    data = b""
    took = None
    while b"[DONE]" not in data:
        part = await reader.read(65536)
        if not part:
            raise RuntimeError(f"the answer was cut: {data[-300:]!r}")
        data += part
        if took is None and b"data: {" in data:
            took = time.perf_counter() - began
    writer.close()
    return took


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--tokens", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    port = free_port()
    peer = subprocess.Popen([sys.executable, "-c", PEER, MODEL, str(port), str(arguments.threads)], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    penstock = Penstock(CONFIG % arguments.threads)
    try:
        peer.stdout.readline()
        seeded = random.Random(1)
        times = {"penstock": [], "llama-server": []}
        ports = {"penstock": penstock.port, "llama-server": port}
        for round_number in range(arguments.rounds + 3):
            order = list(ports)
            seeded.shuffle(order)
            for name in order:
                tokens = [seeded.randrange(100, 49000) for _ in range(arguments.tokens)]
                took = asyncio.run(first_token_s(ports[name], tokens))
                if round_number >= 3:  # the first ones warm both up
                    times[name].append(took * 1000)
        for name, values in times.items():
            quartiles = statistics.quantiles(values, n=4)
            print(f"{name:13} median {statistics.median(values):7.2f} ms   quartiles {quartiles[0]:.2f} .. {quartiles[2]:.2f}   n {len(values)}")
        ratios = sorted(a / b for a, b in zip(times["penstock"], times["llama-server"]))
        print(f"median of the rounds' ratios {statistics.median(ratios):.3f}")
        print(f"ratio {statistics.median(times['penstock']) / statistics.median(times['llama-server']):.3f}")
    finally:
        penstock.stop()
        peer.stdin.close()
        peer.terminate()
        peer.wait(20)


main()
