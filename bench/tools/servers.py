"""The servers that the hop's benches compare, and what they cost: started on free ports in folders of their own, ended by process id.

Used by bench/hop.py and bench/peers.py. Everything that is started is in Started.running until it has ended, so that end_all() leaves nothing."""
import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "test", "clients"))
from penstock import PROGRAM, Penstock  # noqa: E402

TOOLS = os.environ.get("PENSTOCK_BENCH_TOOLS", os.path.join(ROOT, "build-bench", "bench"))
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def cpu_ns(pid):
    """What the process's threads have computed so far."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
                total += int(file.read().split()[0])
        except FileNotFoundError:
            pass  # it ended meanwhile
    return total


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


class Started:
    """A server that runs: its port, its processes, and what they cost."""

    running = []

    def __init__(self, name):
        self.name = name
        self.port = self.stream_port = None
        self.key = None
        self.process = None
        self.folder = tempfile.mkdtemp(prefix=f"penstock-bench-{name}-")
        Started.running.append(self)

    def start(self, command, **options):
        self.log = open(os.path.join(self.folder, "log"), "w+")
        self.process = subprocess.Popen(command, stderr=self.log, stdin=subprocess.DEVNULL, cwd=self.folder, **options)

    def await_port(self, port, limit_s=10):
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        with open(os.path.join(self.folder, "log")) as file:
            raise RuntimeError(f"{self.name} does not listen: {file.read()[-500:]}")

    def processes(self):
        return [self.process.pid] if self.process else []

    def cpu_ns(self):
        return sum(cpu_ns(pid) for pid in self.processes())

    def rss_kib(self):
        return sum(rss_kib(pid) for pid in self.processes())

    def pin(self, core):
        """Its threads run on that core alone."""
        for pid in self.processes():
            for thread in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(thread), {core})

    def stop(self):
        if self not in Started.running:
            return
        Started.running.remove(self)
        if self.process:
            end(self.process)
            self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def end(process, limit_s=10):
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def end_all():
    for server in list(Started.running):
        server.stop()


class Stub(Started):
    """The upstream."""

    def __init__(self, **settings):
        super().__init__("stub")
        arguments = [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", str(value))]
        self.settings = settings
        self.start([os.path.join(TOOLS, "stub"), *arguments], stdout=subprocess.PIPE, text=True)
        ready = select.select([self.process.stdout], [], [], 10)[0]
        line = self.process.stdout.readline() if ready else ""
        if not line.startswith("ready "):
            raise RuntimeError("the stub does not start")
        self.port = self.stream_port = int(line.split()[1])

    def stats(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/stats", timeout=10) as answer:
            return json.load(answer)


class Direct(Started):
    """No hop at all: the client asks the stub."""

    def __init__(self, stub):
        super().__init__("direct")
        self.port = self.stream_port = stub.port


NGINX_CONFIG = """
%(user)s
daemon off;
worker_processes 1;
worker_rlimit_nofile %(files)d;
pid %(folder)s/pid;
error_log %(folder)s/error.log warn;
events { worker_connections %(connections)d; }
http {
    log_format hop '$time_iso8601 $remote_addr "$request_method $uri" $status $request_length $bytes_sent $request_time '
                   '$upstream_addr $upstream_status $upstream_response_time $request_id';
    access_log %(folder)s/access.log hop;
    client_body_temp_path %(folder)s/body;
    proxy_temp_path %(folder)s/proxy;
    fastcgi_temp_path %(folder)s/other;
    uwsgi_temp_path %(folder)s/other;
    scgi_temp_path %(folder)s/other;
    client_body_buffer_size 256k;
    client_max_body_size 8m;
    keepalive_timeout 75s;
    keepalive_requests 10000000;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_read_timeout 300s;
    upstream up {
        server 127.0.0.1:%(upstream)d;
        keepalive 128;
        keepalive_requests 10000000;
    }
    server { listen 127.0.0.1:%(port)d backlog=4096; location / { proxy_pass http://up; } }
    # What answers with events: each is passed on as it comes.
    server { listen 127.0.0.1:%(stream_port)d backlog=4096; location / { proxy_pass http://up; proxy_buffering off; } }
}
"""


def file_limit():
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Nginx(Started):
    """One worker."""

    def __init__(self, stub):
        super().__init__("nginx")
        self.port, self.stream_port = free_port(), free_port()
        files = min(file_limit(), 100000)
        config = NGINX_CONFIG % {"folder": self.folder, "files": files, "connections": files - 64, "upstream": stub.port, "port": self.port,
                                 "stream_port": self.stream_port, "user": "user root;" if os.geteuid() == 0 else ""}
        path = os.path.join(self.folder, "nginx.conf")
        with open(path, "w") as file:
            file.write(config)
        self.start([NGINX, "-p", self.folder, "-c", path, "-e", os.path.join(self.folder, "start.log")])
        self.await_port(self.port)
        self.await_port(self.stream_port)

    def processes(self):
        return children(self.process.pid)

    @staticmethod
    def version():
        """None where it is not installed."""
        if not os.path.exists(NGINX):
            return None
        return subprocess.run([NGINX, "-v"], capture_output=True, text=True).stderr.strip().rsplit("/", 1)[-1]


PENSTOCK_CONFIG = """
state: %(state)s
loops: %(loops)d
keys: [{name: bench, hash: "%(hash)s"}]
pools:
  up:
    upstream: {kind: openai, urls: ["http://127.0.0.1:%(upstream)d"], model: m, concurrency: 8192}
    queue: {requests: 20000, wait: 30s}
routes:
  m: {tiers: [up]}
"""


def penstock_config(state, upstream_port, loops):
    """The config and the key that it lets in."""
    path = os.path.join(state, "key.yaml")
    with open(path, "w") as file:
        file.write(f"state: {state}\n")
    text = subprocess.run([PROGRAM, "key", "new", "--config", path], capture_output=True, text=True, timeout=10).stdout
    if "hmac-sha256:" not in text:
        # The file is no whole config, and this version wants one: the folder through HOME.
        text = subprocess.run([PROGRAM, "key", "new"], capture_output=True, text=True, timeout=10, env={**os.environ, "HOME": state}).stdout
        state = os.path.join(state, ".local/state/penstock")
    key = text.split("key: ", 1)[1].split("\n", 1)[0]
    found = "hmac-sha256:" + text.split("hmac-sha256:", 1)[1][:64]
    return PENSTOCK_CONFIG % {"state": state, "loops": loops, "hash": found, "upstream": upstream_port}, key


class Gateway(Started):
    """Penstock, with a key, its access log and metrics."""

    def __init__(self, stub, loops=1):
        super().__init__("penstock")
        file_limit()  # what it starts with is inherited
        config, self.key = penstock_config(self.folder, stub.port, loops)
        self.penstock = Penstock(config, ready_s=20)
        self.port = self.stream_port = self.penstock.port

    def processes(self):
        return [self.penstock.process.pid]

    def metrics(self):
        return self.penstock.admin("/metrics")[1]

    def stop(self):
        if self in Started.running and hasattr(self, "penstock"):
            self.penstock.stop(limit_s=10)
        super().stop()

    @staticmethod
    def why_not():
        """None where this build can be a proxy, else what its check says."""
        folder = tempfile.mkdtemp(prefix="penstock-bench-")
        try:
            config = "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n" + penstock_config(folder, 9, 1)[0]
            path = os.path.join(folder, "config.yaml")
            with open(path, "w") as file:
                file.write(config)
            done = subprocess.run([PROGRAM, "check", path], capture_output=True, text=True, timeout=10)
            return None if done.returncode == 0 else (done.stdout + done.stderr).strip().split("\n")[0].replace(folder, "")
        except (OSError, IndexError) as error:
            return f"it does not run: {error}"
        finally:
            shutil.rmtree(folder)


def load(server, mode, core=None, **settings):
    """Runs the load client, on one core if so asked; what it reports, and the server's CPU time meanwhile as cpu_ns."""
    arguments = [os.path.join(TOOLS, "load"), "--port", str(server.stream_port if mode == "stream" else server.port), "--mode", mode]
    if server.key:
        arguments += ["--key", server.key]
    for name, value in settings.items():
        arguments += [f"--{name.replace('_', '-')}", str(value)]
    before = server.cpu_ns()
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    try:
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        text = process.communicate(timeout=180)[0]
    finally:
        end(process)
    if not text:
        raise RuntimeError("the load client did not report")
    report = json.loads(text)
    report["cpu_ns"] = server.cpu_ns() - before
    return report


class PeakMemory:
    """Samples a server's resident memory while the block runs."""

    def __init__(self, server):
        self.server = server
        self.before_kib = self.peak_kib = server.rss_kib()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def watch(self):
        while not self.done.wait(0.05):
            try:
                self.peak_kib = max(self.peak_kib, self.server.rss_kib())
            except (OSError, StopIteration):
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()

    @property
    def growth_kib(self):
        return self.peak_kib - self.before_kib


def in_random_order(servers):
    return random.sample(list(servers), len(servers))


def stop_on_signals():
    """A signal ends the script by its finally blocks."""
    def leave(number, _frame):
        sys.exit(128 + number)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
