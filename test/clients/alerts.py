"""Alerts of a running gateway: GET /alerts, the webhook with its retries, thresholds and their reload, the Prometheus rules; and penstock top, which shows them. Over
the scripted engine and the faulty upstream, so it needs a build with test hooks (PENSTOCK names it)."""
import asyncio
import fcntl
import json
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import time

from faulty import Faulty, answering, refusing, sequence
from penstock import PROGRAM, Checks, Penstock, ask, chat, SLOWNESS

checks = Checks()
FAST = {"PENSTOCK_TEST_ALERTS_MS": "100"}


def config(webhook="", thresholds="", upstream=None, key="secret"):
    pool = f'upstream: {{urls: ["{upstream}"], model: fake}}' if upstream else \
        "engine: {kind: scripted, model: none, context: 65536, sequences: 4, scripted: {first_token: 10ms, gap: 1ms, tokens: 5}}"
    webhook = f'webhook: "{webhook}", webhook_key: {key}, ' if webhook else ""
    thresholds = f"thresholds: {thresholds}" if thresholds else ""
    return f"""
loops: 2
alerts: {{{webhook}{thresholds}}}
pools:
  small:
    {pool}
routes:
  assistant: {{tiers: [small]}}
"""


def alerts(penstock, query=""):
    status, body = penstock.admin("/alerts" + query)
    return json.loads(body)["alerts"] if status == 200 else None


async def until(condition, limit_s=10):
    deadline = time.monotonic() + limit_s * SLOWNESS
    while time.monotonic() < deadline:
        if condition():
            return True
        await asyncio.sleep(0.02)
    return False


async def unknown_usage(penstock, upstream):
    """The easiest to make: an answer without an account of its tokens."""
    before = upstream.plan
    upstream.plan = answering(with_usage=False)
    await ask(penstock.port, chat("hi", stream=True))
    upstream.plan = before


async def webhook():
    async with Faulty(answering()) as upstream, Faulty(sequence(refusing(500), refusing(503), lambda s: s.whole(200, {}))) as hook:
        penstock = Penstock(config(hook.url + "/hooks/alerts", upstream=upstream.url), FAST)
        checks.check("nothing fires", alerts(penstock) == [])
        every = alerts(penstock, "?all=1")
        checks.check("?all=1 shows every row", len({alert["name"] for alert in every}) == 15 and all(alert["state"] == "inactive" for alert in every),
                     {alert["name"] for alert in every})
        await unknown_usage(penstock, upstream)
        checks.check("it fires", await until(lambda: [a["name"] for a in alerts(penstock)] == ["usage_unknown"]), alerts(penstock))
        alert = alerts(penstock)[0]
        checks.check("... with what is asked for", alert["state"] == "firing" and alert["severity"] == "ticket" and alert["labels"] == {"route": "assistant"} and
                     alert["value"] == 1 and alert["threshold"] == 0 and alert["since"].endswith("Z") and alert["summary"] and alert["action"], alert)
        checks.check("the webhook is told again until it takes it", await until(lambda: len(hook.sessions) == 3), len(hook.sessions))
        gaps = [b.at - a.at for a, b in zip(hook.sessions, hook.sessions[1:])]
        checks.check("... later and later", gaps[0] > 0.9 and gaps[1] > 1.8, gaps)
        session = hook.sessions[2]
        checks.check("... with the key, at its path", session.path == "/hooks/alerts" and session.headers["authorization"] == "Bearer secret", session.headers)
        message = session.json
        entry = message["alerts"][0]
        checks.check("Alertmanager's form", message["version"] == "4" and message["status"] == "firing" and entry["status"] == "firing" and
                     entry["labels"] == {"alertname": "PenstockUsageUnknown", "severity": "ticket", "route": "assistant"} and
                     entry["endsAt"].startswith("0001") and len(entry["fingerprint"]) == 16, message)
        checks.check("... the same each time", hook.sessions[0].body == session.body)
        checks.check("it is a metric", penstock.metric("penstock_alerts_firing") == 1)
        with open(os.path.join(penstock.folder, "thresholds.yaml"), "w") as file:
            file.write("usage_unknown: 5\n")
        penstock.write_config(config(hook.url + "/hooks/alerts", f"{penstock.folder}/thresholds.yaml", upstream.url))
        penstock.process.send_signal(signal.SIGHUP)
        checks.check("another threshold at a reload resolves it", await until(lambda: [a["state"] for a in alerts(penstock)] == ["resolved"]), alerts(penstock))
        checks.check("... and the webhook is told", await until(lambda: len(hook.sessions) == 4), len(hook.sessions))
        entry = hook.sessions[3].json["alerts"][0]
        checks.check("... as resolved, the same alert", hook.sessions[3].json["status"] == "resolved" and entry["status"] == "resolved" and
                     entry["fingerprint"] == message["alerts"][0]["fingerprint"] and entry["endsAt"] > entry["startsAt"], entry)
        with open(os.path.join(penstock.folder, "thresholds.yaml"), "w") as file:
            file.write("usage_unknwon: 5\n")
        penstock.process.send_signal(signal.SIGHUP)
        checks.check("a wrong thresholds file is refused whole", await until(
            lambda: penstock.metric("penstock_config_reload_failures_total") == 1 and "usage_unknwon: there is no such alert" in penstock.log_text()), penstock.log_text()[-600:])
        checks.check("... and the old thresholds stay", alerts(penstock)[0]["threshold"] == 5)
        status = penstock.stop()
        checks.check("it ends well", status == 0, penstock.last_log[-800:])


async def refused_webhook():
    async with Faulty(answering()) as upstream, Faulty(refusing(404)) as hook:
        penstock = Penstock(config(hook.url, upstream=upstream.url), FAST)
        await unknown_usage(penstock, upstream)
        checks.check("404 is final: it is given up, and logged", await until(lambda: "it is given up" in penstock.log_text()) and len(hook.sessions) == 1,
                     penstock.log_text()[-500:])
        checks.check("... and counted", penstock.metric("penstock_alert_webhook_failures_total") == 1)
        penstock.stop()
    async with Faulty(answering()) as upstream:
        penstock = Penstock(config("http://127.0.0.1:1/", upstream=upstream.url), FAST)
        await unknown_usage(penstock, upstream)
        checks.check("nobody there: it goes on trying", await until(lambda: "it is sent again" in penstock.log_text()), penstock.log_text()[-500:])
        result = await ask(penstock.port, chat("hi", stream=True))
        checks.check("... and serves on", result.status == 200)
        status = penstock.stop()
        checks.check("... and ends at once when told to, saying what is lost", status == 0 and "were not taken before the end" in penstock.last_log,
                     penstock.last_log[-500:])


async def circuit():
    async with Faulty(refusing(500)) as upstream:
        penstock = Penstock(config(upstream=upstream.url), FAST)
        for _ in range(12):
            await ask(penstock.port, chat("hi"))
        await until(lambda: penstock.metric("penstock_replica_circuit_open") == 1, 5)
        checks.check("an upstream that fails: its circuit is pending until it has been open for a minute",
                     await until(lambda: any(a["name"] == "circuit_open" and a["state"] == "pending" for a in alerts(penstock)), 5), alerts(penstock))
        checks.check("... and so are its failures", any(a["name"] == "dependency_failing" for a in alerts(penstock)) or
                     penstock.metric("penstock_attempt_failures_total") <= 20, penstock.metric("penstock_attempt_failures_total"))
        penstock.stop()


RULES_TEST = """
rule_files: [rules.yaml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'penstock_promise_requests_total{route="assistant",indicator="ttft",instance="a"}', values: '0+100x120'}
      - {series: 'penstock_promise_met_total{route="assistant",indicator="ttft",instance="a"}', values: '0+10x120'}
      - {series: 'penstock_cold_start_elapsed_seconds{replica="small/1"}', values: '50x120'}
      - {series: 'penstock_cold_start_p95_seconds{pool="small"}', values: '40x120'}
      - {series: 'penstock_predicted_wait_seconds{pool="small"}', values: '9x120'}
      - {series: 'penstock_requests_total{route="assistant",outcome="queue_full"}', values: '0+10x120'}
      - {series: 'penstock_requests_total{route="assistant",outcome="completed"}', values: '0+90x120'}
      - {series: 'penstock_promise_target_seconds{route="assistant",indicator="ttft"}', values: '0.8x120'}
      - {series: 'penstock_time_to_first_token_seconds_bucket{route="assistant",le="0.5"}', values: '0+0x120'}
      - {series: 'penstock_time_to_first_token_seconds_bucket{route="assistant",le="1"}', values: '0+100x120'}
      - {series: 'penstock_time_to_first_token_seconds_bucket{route="assistant",le="+Inf"}', values: '0+100x120'}
      - {series: 'penstock_time_to_first_token_seconds_count{route="assistant"}', values: '0+100x120'}
    promql_expr_test:
      - expr: sort_desc(count by (alertname) (ALERTS{alertstate="firing"}))
        eval_time: 90m
        exp_samples:
          - {labels: '{alertname="PenstockColdStartSlow"}', value: 1}
          - {labels: '{alertname="PenstockFirstTokenOverTarget"}', value: 1}
          - {labels: '{alertname="PenstockPromiseBurn"}', value: 1}
          - {labels: '{alertname="PenstockPromiseBurnFast"}', value: 1}
          - {labels: '{alertname="PenstockPromiseBurnSlow"}', value: 1}
          - {labels: '{alertname="PenstockRefusals"}', value: 1}
"""


def rules():
    def run(*arguments):
        return subprocess.run([PROGRAM, "check", *arguments], capture_output=True, text=True, timeout=60)
    folder = tempfile.mkdtemp(prefix="penstock-rules-")
    with open(f"{folder}/thresholds.yaml", "w") as file:
        file.write("refusals: 0.0625\n")
    with open(f"{folder}/config.yaml", "w") as file:
        file.write("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n" + config(thresholds=f"{folder}/thresholds.yaml"))
    printed = run("--prometheus-rules", "--config", f"{folder}/config.yaml")
    checks.check("rules with the config's thresholds", printed.returncode == 0 and "> 0.0625 and" in printed.stdout, printed.stderr)
    checks.check("rules without a config", "> 0.05 and" in run("--prometheus-rules").stdout)
    with open(f"{folder}/rules.yaml", "w") as file:
        file.write(printed.stdout)
    with open(f"{folder}/test.yaml", "w") as file:
        file.write(RULES_TEST)
    if shutil.which("promtool"):
        result = subprocess.run(["promtool", "test", "rules", "test.yaml"], cwd=folder, capture_output=True, text=True, timeout=60)
        checks.check("Prometheus computes what the gateway does", result.returncode == 0, result.stdout + result.stderr)
    else:
        checks.skip("promtool is not installed (Debian's package prometheus)")
    with open(f"{folder}/thresholds.yaml", "w") as file:
        file.write("refusals: much\n")
    wrong = run(f"{folder}/config.yaml")
    checks.check("check finds a wrong threshold", wrong.returncode == 2 and "thresholds.yaml:1: refusals" in wrong.stderr, wrong.stderr)
    with open(f"{folder}/config.yaml", "w") as file:
        file.write("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n" + config("ftp://x"))
    wrong = run(f"{folder}/config.yaml")
    checks.check("check finds a wrong webhook", wrong.returncode == 2 and "alerts.webhook" in wrong.stderr, wrong.stderr)
    shutil.rmtree(folder)


# ---- penstock top ----

def once(url):
    return subprocess.run([PROGRAM, "top", "--once", "--admin", url], capture_output=True, text=True, timeout=60)


class Terminal:
    """penstock top on a terminal of its own."""

    def __init__(self, url, rows=24, columns=80):
        self.master, slave = pty.openpty()
        self.size(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen([PROGRAM, "top", "--admin", url], stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        self.seen = b""

    def size(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait(self, text, limit_s=10):
        deadline = time.monotonic() + limit_s * SLOWNESS
        while text not in self.seen and time.monotonic() < deadline:
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 65536)
        return text in self.seen

    def end(self):
        """Exit status, and whether the terminal is as it was. What it still writes must be read, or it could not end."""
        deadline = time.monotonic() + 10 * SLOWNESS
        while self.process.poll() is None and time.monotonic() < deadline:
            if select.select([self.master], [], [], 0.05)[0]:
                self.seen += os.read(self.master, 65536)
        while select.select([self.master], [], [], 0.1)[0]:
            self.seen += os.read(self.master, 65536)
        if self.process.poll() is None:
            self.process.kill()
        status = self.process.wait()
        restored = termios.tcgetattr(self.slave) == self.before and self.seen.endswith(b"\033[?25h\033[?1049l")
        os.close(self.master)
        os.close(self.slave)
        return status, restored


async def top():
    async with Faulty(answering()) as upstream:
        penstock = Penstock(config(upstream=upstream.url), FAST)
        url = f"http://127.0.0.1:{penstock.admin_port}"
        await unknown_usage(penstock, upstream)
        await until(lambda: alerts(penstock))
        busy = asyncio.create_task(ask_for(penstock, 3))
        frame = await asyncio.to_thread(once, url)
        await busy
        checks.check("top --once: one frame, without colours", frame.returncode == 0 and "\033" not in frame.stdout, frame.stderr)
        for text in ("ALERTS", "usage_unknown", "CONSEQUENCES", "assistant", "QUEUE", "REPLICAS", "small/0", "ready", "STAGES", "forward"):
            checks.check(f"... it shows {text}", text in frame.stdout, frame.stdout)
        for how in ("q", signal.SIGTERM, signal.SIGINT):
            terminal = Terminal(url)
            checks.check(f"top on a terminal ({how})", await asyncio.to_thread(terminal.wait, b"REPLICAS"), terminal.seen[-300:])
            if how == "q":
                terminal.seen = b""
                terminal.size(10, 40)
                terminal.process.send_signal(signal.SIGWINCH)
                await asyncio.to_thread(terminal.wait, b"ALERTS", 3)
                frame = terminal.seen.split(b"\033[H")[-1]
                checks.check("... fits a smaller one", frame.count(b"\n") < 10, frame)
                os.write(terminal.master, b"q")
            else:
                terminal.process.send_signal(how)
            status, restored = await asyncio.to_thread(terminal.end)
            checks.check("... ends well, and gives it back as it was", status == 0 and restored, f"{status} {terminal.seen[-60:]}")
        terminal = Terminal(url)
        await asyncio.to_thread(terminal.wait, b"REPLICAS")
        penstock.stop()
        checks.check("a gateway that goes away is said so", await asyncio.to_thread(terminal.wait, b"trying again"), terminal.seen[-300:])
        os.write(terminal.master, b"q")
        await asyncio.to_thread(terminal.end)
    gone = once("http://127.0.0.1:1")
    checks.check("no gateway: status 1, and why", gone.returncode == 1 and "no answer from http://127.0.0.1:1" in gone.stderr, gone.stderr)
    wrong = subprocess.run([PROGRAM, "top", "--often"], capture_output=True, text=True, timeout=60)
    checks.check("an unknown option: status 2", wrong.returncode == 2 and "Usage" in wrong.stderr)
    piped = subprocess.run([PROGRAM, "top"], capture_output=True, text=True, timeout=60)
    checks.check("no terminal: status 2, and --once is named", piped.returncode == 2 and "--once" in piped.stderr, piped.stderr)


async def ask_for(penstock, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        await ask(penstock.port, chat("hi", stream=True))


async def main():
    rules()
    await webhook()
    await refused_webhook()
    await circuit()
    await top()
    checks.end()


if __name__ == "__main__":
    asyncio.run(main())
