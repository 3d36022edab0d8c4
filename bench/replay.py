"""Replay as a load generator: sends a second and how late each is, on one core, beside wrk (closed loop) on the same upstream.

The upstream is the C stub on another core, which answers at once. wrk sends as soon as it is answered, so it has no schedule to be late for: what is
comparable is the CPU of a request. `bench/run replay [--rate N] [--seconds N] [--rounds N]`; needs two cores."""
import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "tools"))
from servers import PROGRAM, Stub, end_all, stop_on_signals  # noqa: E402

WRK_SCRIPT = """
wrk.method = "POST"
wrk.path = "/v1/chat/completions"
wrk.headers["content-type"] = "application/json"
wrk.body = '{"model":"m","messages":[{"role":"user","content":"%s"}],"max_tokens":5}'
"""


NICENESS = -15


def put_first(pid=0):
    """Ahead of what else runs on a shared machine, where that is allowed: what is measured is the program, not who else compiles."""
    try:
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)
        return True
    except PermissionError:
        return False


def prepare(core):
    os.sched_setaffinity(0, {core})
    put_first()


def run(core, arguments):
    """Standard output and CPU seconds of a command that runs on one core."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=180,
                          preexec_fn=lambda: prepare(core))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def replay(stub, core, rate, seconds, *more):
    spec = f"synthetic:rate={rate},duration={seconds}s,prompt=20,output=5,arrivals=poisson"
    with tempfile.NamedTemporaryFile() as file:
        done, cpu_s = run(core, [PROGRAM, "replay", spec, "--target", f"http://127.0.0.1:{stub.port}", "--model", "m", "--quiet",
                                 "--json", file.name, *more])
        text = open(file.name).read()
    if not text:
        raise RuntimeError(f"replay did not report: {done.stderr}")
    report = json.loads(text)
    report["cpu_us"] = cpu_s * 1e6 / max(1, report["sent"])
    return report


def wrk(stub, core, seconds):
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(WRK_SCRIPT % ("word " * 18))
        script.flush()
        done, cpu_s = run(core, ["wrk", "-t1", "-c32", f"-d{seconds}s", "-s", script.name, f"http://127.0.0.1:{stub.port}"])
    requests = next(int(line.split()[0]) for line in done.stdout.splitlines() if "requests in" in line)
    return {"per_s": requests / seconds, "cpu_us": cpu_s * 1e6 / max(1, requests)}


def show(name, report):
    lateness = report["ms"]["schedule_error"]
    print(f"  {name}: {report['sent'] / report['elapsed_s']:8.0f} sends/s, {report['outcomes']['OK']} of {report['sent']} answered; schedule error p50 "
          f"{lateness['p50'] * 1e3:.0f} us, p99 {lateness['p99'] * 1e3:.0f} us, max {lateness['max']:.2f} ms; CPU {report['cpu_us']:.1f} us a request", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=30000)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("bench replay: it needs two cores, one for replay and one for its upstream")
    stub = Stub(events=1, event_bytes=192)
    stub.pin(cores[0])
    is_first = put_first(stub.process.pid)
    print(f"  each on a core of its own, {f'niceness {NICENESS}' if is_first else 'at the priority of everything else here'}")
    ours, streams, peers = [], [], []
    for _ in range(arguments.rounds):
        ours.append(replay(stub, cores[-1], arguments.rate, arguments.seconds, "--no-stream"))
        show(f"replay, {arguments.rate}/s, whole answers ", ours[-1])
        streams.append(replay(stub, cores[-1], arguments.rate // 2, arguments.seconds))
        show(f"replay, {arguments.rate // 2}/s, short streams ", streams[-1])
        if shutil.which("wrk"):
            peers.append(wrk(stub, cores[-1], arguments.seconds))
            print(f"  wrk, closed loop, 32 connections: {peers[-1]['per_s']:.0f} requests/s; CPU {peers[-1]['cpu_us']:.1f} us a request", flush=True)
    p99_ms = statistics.median(report["ms"]["schedule_error"]["p99"] for report in ours)
    sends = statistics.median(report["sent"] / report["elapsed_s"] for report in ours)
    print(f"replay: {sends:.0f} sends/s on one core, schedule error p99 {p99_ms * 1e3:.0f} us (median of {len(ours)}): goal "
          f">= {arguments.rate * 0.99:.0f} a second, <= 1 ms: {'met' if sends >= arguments.rate * 0.99 and p99_ms <= 1 else 'NOT MET'}")
    if peers:
        ratio = statistics.median(mine["cpu_us"] / peer["cpu_us"] for mine, peer in zip(ours, peers))
        print(f"replay: CPU of a request over wrk's (which keeps no schedule, no record and reads no answer): {ratio:.2f} x")
    else:
        print("replay: wrk is not installed (Debian has it): no peer")


if __name__ == "__main__":
    stop_on_signals()
    try:
        main()
    finally:
        end_all()
