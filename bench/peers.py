"""Gateways side by side as proxies: Penstock, LiteLLM and Portkey on the same upstream; requests/s, what each adds to a request, and memory.

Each is installed once, at the version below, into the cache; one that can't be is named and left out. Their answers are looked at no further than
status and framing: both write bodies anew. Portkey listens on every interface by itself: a preload holds it to the loopback."""
import argparse
import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "tools"))
from servers import Direct, Gateway, Started, Stub, children, cpu_ns, end_all, free_port, in_random_order, load, rss_kib, stop_on_signals  # noqa: E402

CACHE = os.environ.get("PENSTOCK_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "penstock")
# Not 1.82.7, 1.82.8 or 1.107.0: those carried malicious code.
LITELLM = "1.106.2"
PORTKEY = "1.15.2"
# With what npm takes for it by itself, Portkey's streams fail.
PORTKEY_PACKAGE = {"name": "peers", "private": True, "dependencies": {"@portkey-ai/gateway": PORTKEY}, "overrides": {"@hono/node-server": "1.13.8"}}
LOOPBACK = """
const net = require('net');
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
    return listen.call(this, typeof port === 'object' ? { ...port, host: '127.0.0.1' } : { port, host: '127.0.0.1' },
        ...rest.filter((part) => typeof part === 'function'));
};
"""


class CannotInstall(Exception):
    pass


def installed(kind, name, commands):
    """The folder in the cache, made by the commands if it isn't whole."""
    folder = os.path.join(CACHE, kind, name)
    if os.path.exists(os.path.join(folder, ".complete")):
        return folder
    try:
        for command in commands(folder):
            subprocess.run(command, check=True, timeout=900, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError) as error:
        raise CannotInstall(f"{name} can't be installed: {error.__class__.__name__}") from error
    open(os.path.join(folder, ".complete"), "w").close()
    return folder


def tree(pid):
    return [pid] + [process for child in children(pid) for process in tree(child)]


class Peer(Started):
    headers = ""

    def processes(self):
        return tree(self.process.pid)

    def rss_kib(self):
        return sum(rss_kib(pid) for pid in self.processes())

    def cpu_ns(self):
        return sum(cpu_ns(pid) for pid in self.processes())


class LiteLlm(Peer):
    def __init__(self, stub):
        def commands(folder):
            os.makedirs(os.path.dirname(folder), exist_ok=True)
            yield [sys.executable, "-m", "venv", "--clear", folder]
            yield [os.path.join(folder, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", f"litellm[proxy]=={LITELLM}"]
        folder = installed("python", f"peers-litellm-{LITELLM}", commands)
        super().__init__("litellm")
        self.port = free_port()
        with open(os.path.join(self.folder, "config.yaml"), "w") as file:
            file.write(f"model_list:\n  - model_name: m\n    litellm_params: {{model: openai/m, api_base: 'http://127.0.0.1:{stub.port}/v1', api_key: none}}\n"
                       "litellm_settings: {telemetry: false}\n")
        self.key = "sk-" + secrets.token_hex(16)  # it doesn't start without one
        environment = {**os.environ, "LITELLM_MASTER_KEY": self.key, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False", "LITELLM_LOG": "ERROR"}
        self.start([os.path.join(folder, "bin", "litellm"), "--config", "config.yaml", "--host", "127.0.0.1", "--port", str(self.port),
                    "--num_workers", "1"], env=environment, stdout=subprocess.DEVNULL)
        self.await_port(self.port, 90)


class Portkey(Peer):
    def __init__(self, stub):
        def commands(folder):
            if not shutil.which("npm"):
                raise CannotInstall("npm is not installed")
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, "package.json"), "w") as file:
                json.dump(PORTKEY_PACKAGE, file)
            yield ["npm", "install", "--prefix", folder, "--no-audit", "--no-fund", "--ignore-scripts", "--silent"]
        folder = installed("node", f"peers-portkey-{PORTKEY}", commands)
        super().__init__("portkey")
        self.port = free_port()
        self.headers = f"x-portkey-provider: openai\r\nx-portkey-custom-host: http://127.0.0.1:{stub.port}/v1\r\nauthorization: Bearer none\r\n"
        with open(os.path.join(self.folder, "loopback.cjs"), "w") as file:
            file.write(LOOPBACK)
        self.start(["node", "--require", os.path.join(self.folder, "loopback.cjs"),
                    os.path.join(folder, "node_modules/@portkey-ai/gateway/build/start-server.js"), f"--port={self.port}", "--headless"],
                   env={**os.environ, "NODE_ENV": "production"}, stdout=subprocess.DEVNULL)
        self.await_port(self.port, 30)


def start_sides(stub, wanted):
    makers = {"direct": Direct, "penstock": Gateway, "portkey": Portkey, "litellm": LiteLlm}
    sides = {}
    for name in wanted:
        why_not = Gateway.why_not() if name == "penstock" else None
        try:
            if not why_not:
                sides[name] = makers[name](stub)
                ask(sides[name], 1, 1)
        except (CannotInstall, RuntimeError) as error:
            why_not = str(error)
        if why_not:
            sides.pop(name, None)
            print(f"  without {name}: {why_not}", flush=True)
    return sides


def ask(server, connections, seconds):
    more = {"headers": server.headers} if getattr(server, "headers", "") else {}
    return load(server, "json", connections=connections, seconds=seconds, exact=0, **more)


def measure(sides, rounds, seconds):
    many, lone = {name: [] for name in sides}, {name: [] for name in sides}
    for _ in range(rounds):
        for name in in_random_order(sides):
            many[name].append(ask(sides[name], 32, seconds))
            lone[name].append(ask(sides[name], 1, seconds))
    return many, lone


def report(sides, many, lone):
    print("| | requests/s, 32 connections | of Penstock's | added p50, 1 connection | added p99 | CPU a request | memory | failed |")
    print("|---|---|---|---|---|---|---|---|")
    rows = {}
    for name in sides:
        added = [statistics.median(one["latency_us"][share] - direct["latency_us"][share] for one, direct in zip(lone[name], lone["direct"]))
                 for share in ("p50", "p99")]
        of_ours = statistics.median(one["per_s"] / ours["per_s"] for one, ours in zip(many[name], many["penstock"])) if "penstock" in many else None
        rows[name] = {"per_s": statistics.median(one["per_s"] for one in many[name]), "of_penstock": of_ours, "added_us": added,
                      "cpu_us": statistics.median(one["cpu_ns"] / 1e3 / max(1, one["complete"]) for one in many[name]),
                      "mib": sides[name].rss_kib() / 1024, "failed": sum(one["failed"] for one in many[name] + lone[name])}
        row = rows[name]
        print(f"| {name} | {row['per_s']:.0f} | {'' if of_ours is None else f'{of_ours:.4f}'} | {added[0]:.0f} us | {added[1]:.0f} us | {row['cpu_us']:.0f} us | "
              f"{row['mib']:.0f} MiB | {row['failed']} |")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--sides", type=lambda text: text.split(","), default=["direct", "penstock", "portkey", "litellm"])
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    stop_on_signals()
    try:
        sides = start_sides(Stub(), arguments.sides)
        many, lone = measure(sides, 1 if arguments.quick else arguments.rounds, 2 if arguments.quick else 4)
        rows = report(sides, many, lone)
    finally:
        end_all()
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(rows, file, indent=1)


main()
