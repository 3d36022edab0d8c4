"""Runs a client script against a Penstock that stands in front of another engine: chain.py penstock|llama-server COMMAND...

penstock: another one with the built-in model; llama-server: the one in PyPI's xllamacpp (this interpreter must have it). The command finds the front at
PENSTOCK_URL and what is behind it in PENSTOCK_BEHIND; its closing line gets the checks made here added."""
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request

from penstock import ROOT, Checks, Penstock, cache_path

LLAMA_SERVER = """
import sys, xllamacpp
p = xllamacpp.CommonParams()
p.model.path = sys.argv[1]
p.hostnames = ["127.0.0.1"]
p.port = int(sys.argv[2])
p.n_ctx = 8192
p.n_parallel = 4
p.endpoint_metrics = True
p.use_jinja = True
p.chat_template = "chatml"
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(p)
print("up", flush=True)
sys.stdin.read()
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class LlamaServer:
    def __init__(self):
        self.port = free_port()
        self.process = subprocess.Popen([sys.executable, "-c", LLAMA_SERVER, cache_path("models/smollm2-135m-instruct.gguf"), str(self.port)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if self.process.stdout.readline() != "up\n":
            raise RuntimeError("llama-server did not start")
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5)
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("llama-server did not become healthy")

    def stop(self):
        self.process.stdin.close()
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return 0


def quickstart():
    with open(os.path.join(ROOT, "examples/quickstart.yaml")) as file:
        return Penstock("".join(line for line in file if not line.startswith(("listen:", "admin:"))))


def main():
    kind, command = sys.argv[1], sys.argv[2:]
    checks = Checks()
    back = quickstart() if kind == "penstock" else LlamaServer()
    front = Penstock(f"""
pools:
  small:
    upstream: {{kind: {kind}, urls: ["http://127.0.0.1:{back.port}"], model: assistant}}
routes:
  assistant: {{tiers: small}}
""")
    run = subprocess.run(command, env={**os.environ, "PENSTOCK_URL": f"http://127.0.0.1:{front.port}", "PENSTOCK_BEHIND": kind}, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(run.stdout)
    counts = re.findall(r"^(\d+) passed, (\d+) failed", run.stdout, re.M)
    checks.passed, checks.failed = map(int, counts[-1]) if counts else (0, 1)
    checks.check("tokens were counted", front.metric("penstock_prompt_tokens_total") > 0 and front.metric("penstock_output_tokens_total") > 0 and
                 front.metric("penstock_usage_unknown_total") <= front.metric('penstock_requests_total{route="assistant",outcome="client_gone"}') +
                 front.metric('penstock_requests_total{route="assistant",outcome="upstream_refused"}'), front.metric("penstock_usage_unknown_total"))
    checks.check("nothing is held", front.wait(lambda: front.metric("penstock_in_flight_requests") == 0, 10))
    checks.check("its load was read", kind == "penstock" or front.metric("penstock_replica_ready") == 1)
    checks.check("both stop cleanly", front.stop() == 0 and back.stop() == 0)
    if checks.failed:
        print(front.last_log[-6000:])
    checks.end()


if __name__ == "__main__":
    main()
