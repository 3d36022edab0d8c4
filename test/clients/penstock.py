"""Starts Penstock for a test and speaks HTTP to it, with the standard library alone.

Used by the scripts beside it. A script prints one line a check and ends with `N passed, N failed`."""
import asyncio
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ.get("PENSTOCK", os.path.join(ROOT, "build", "penstock"))


# How much longer things may take under a sanitizer, beside other work.
SLOWNESS = 5 if re.search(r"build-[at]san", PROGRAM) else 1
SANITIZER = re.compile(r"ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:")


def cache_path(path):
    """A path inside the cache that set-up fills."""
    cache = os.environ.get("PENSTOCK_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "penstock")
    return os.path.join(cache, path)


def has_model(name="smollm2-135m-instruct"):
    """Is that model (the default one) in the cache?"""
    return os.path.exists(cache_path(f"models/{name}.gguf"))


class Checks:
    """Counts checks; a failed one is printed and the script goes on."""

    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.skipped = 0

    def check(self, what, is_true, detail=""):
        if is_true:
            self.passed += 1
            print(f"ok    {what}", flush=True)
        else:
            self.failed += 1
            print(f"FAIL  {what}  {detail}", flush=True)

    def skip(self, what):
        self.skipped += 1
        print(f"skip  {what}", flush=True)

    def end(self):
        for report in Penstock.reports:
            self.check("no sanitizer speaks up", False, report)
        print(f"{self.passed} passed, {self.failed} failed" + (f", {self.skipped} skipped" if self.skipped else ""))
        sys.exit(1 if self.failed else 0)


class Penstock:
    """A running `penstock serve` with its own folder, on free ports of the loopback."""

    reports = []  # logs of gateways and workers in which a sanitizer spoke up

    def __init__(self, config, environment=None, ready_s=60):
        self.folder = tempfile.mkdtemp(prefix="penstock-test-")
        self.config_path = os.path.join(self.folder, "config.yaml")
        self.write_config(config)
        self.log = open(os.path.join(self.folder, "log"), "w+")
        self.process = subprocess.Popen(
            [PROGRAM, "serve", "--config", self.config_path],
            stdout=subprocess.PIPE, stderr=self.log, text=True, env={**os.environ, **(environment or {})})
        self.port = self.admin_port = None
        line = self._first_line(ready_s)
        if not line.startswith(("ready: http://", "ready: https://")):
            raise RuntimeError(f"penstock did not become ready: {line!r}\n{self.log_text()}")
        self.port = int(line.split(",")[0].rsplit(":", 1)[1])
        self.admin_port = int(line.split()[-1].rsplit(":", 1)[1])

    def write_config(self, config):
        with open(self.config_path, "w") as file:
            file.write("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n" + config)

    def _first_line(self, ready_s):
        descriptor = self.process.stdout.fileno()
        deadline = time.monotonic() + ready_s
        text = ""
        while "\n" not in text and select.select([descriptor], [], [], max(0, deadline - time.monotonic()))[0]:
            part = os.read(descriptor, 4096).decode()
            if not part:
                break
            text += part
        return text.split("\n")[0]

    def log_text(self):
        if self.log.closed:
            return self.last_log
        self.log.seek(0)
        return self.log.read()

    def admin(self, path):
        """Status and body of a GET on the admin listener."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, start):
        """Sum of the samples whose line starts so."""
        lines = [line for line in self.admin("/metrics")[1].splitlines() if line.startswith(start)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def workers(self):
        """Process ids of the engine workers."""
        replicas = json.loads(self.admin("/readyz")[1])["replicas"]
        return [replica["process"] for replica in replicas.values() if replica["process"]]

    def memory_kib(self):
        with open(f"/proc/{self.process.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

    def wait(self, condition, limit_s=30):
        """Polls the admin side until the condition holds."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if condition():
                return True
            time.sleep(0.02)
        return False

    def stop(self, signal_number=signal.SIGTERM, limit_s=20):
        """Ends it and removes its folder; returns the exit status. May be called again."""
        if self.log.closed:
            return self.process.returncode
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        try:
            status = self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            status = "killed"
        self.last_log = self.log_text()
        if SANITIZER.search(self.last_log):
            Penstock.reports.append(self.last_log)
        self.log.close()
        shutil.rmtree(self.folder)
        return status


class Answer:
    """What a client saw of one request."""

    def __init__(self):
        self.status = None
        self.headers = {}
        self.body = b""
        self.complete = False  # by its framing
        self.head_s = None     # from the request's last byte to the head
        self.total_s = None

    @property
    def events(self):
        return [part[6:] for part in self.body.decode(errors="replace").split("\n\n") if part.startswith("data: ")]

    @property
    def error(self):
        for event in self.events:
            if event.startswith('{"error"'):
                return json.loads(event)["error"]
        return None

    @property
    def text(self):
        out = ""
        for event in self.events:
            if event != "[DONE]" and not event.startswith('{"error"'):
                for choice in json.loads(event)["choices"]:
                    out += choice.get("delta", {}).get("content") or ""
        return out


async def ask(port, body, path="/v1/chat/completions", headers=None, on_data=None):
    """One request over its own connection. on_data(answer) is called with every read and may return False to leave."""
    answer = Answer()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    payload = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "host: test", "content-type: application/json", f"content-length: {len(payload)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + payload)
    began = time.monotonic()
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        answer.head_s = time.monotonic() - began
        answer.status = int(head.split()[1])
        for line in head.split("\r\n")[1:]:
            if ": " in line:
                name, value = line.split(": ", 1)
                answer.headers[name.lower()] = value
        if "content-length" in answer.headers:
            answer.body = await reader.readexactly(int(answer.headers["content-length"]))
            answer.complete = True
        while not answer.complete:
            size = int(await reader.readline(), 16)
            answer.body += (await reader.readexactly(size + 2))[:size]
            answer.complete = size == 0
            if on_data and on_data(answer) is False:
                break
    except (asyncio.IncompleteReadError, ConnectionError, ValueError):
        pass
    answer.total_s = time.monotonic() - began
    writer.close()
    return answer


def chat(text, **fields):
    return {"model": "assistant", "messages": [{"role": "user", "content": text}], **fields}
