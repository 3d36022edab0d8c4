"""The hop: Penstock as a proxy in front of an HTTP upstream, against nginx with one worker and against no proxy at all.

The sides take turns in random order within each round; a row's ratio is the median of the rounds' ratios. CPU is that of the proxy's processes
from before the load until after it, per request or event of that load. `bench/run hop` builds the tools; rows are named on the command line."""
import argparse
import json
import os
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "tools"))
from servers import Direct, Gateway, Nginx, PeakMemory, Stub, end_all, file_limit, in_random_order, load, stop_on_signals  # noqa: E402


class Bench:
    """What was asked for, and what came out."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.rounds = arguments.rounds or (2 if arguments.quick else 5)
        self.results = []
        self.why_not = Gateway.why_not() if "penstock" in arguments.sides else "not asked for"

    def servers(self, stub):
        """The sides of a row, each running."""
        makers = {"direct": Direct, "nginx": Nginx, "penstock": Gateway}
        return {name: makers[name](stub) for name in self.arguments.sides
                if (name != "penstock" or not self.why_not) and (name != "nginx" or Nginx.version())}

    def seconds(self, full, quick):
        return quick if self.arguments.quick else full

    def say(self, text):
        print(f"  {text}", flush=True)

    def verdict(self, row, figure, goal, value, is_met, values=None):
        """The last line of a figure: its goal and its ratio."""
        if value is None:
            self.say(f"{row}: {figure}: goal {goal}; not measured: {self.why_not or 'a side is missing'}")
        else:
            self.say(f"{row}: {figure}: goal {goal}: {value} ({'met' if is_met else 'NOT MET'})")
        self.results.append({"row": row, "figure": figure, "goal": goal, "value": value, "met": value is not None and is_met,
                             "sides": values or {}})

    def ratio(self, row, figure, rounds, pick, most, over="nginx"):
        """Penstock's figure over nginx's, by the median of the rounds' ratios."""
        sides = {name: [pick(report) for report in reports] for name, reports in rounds.items() if name != "direct"}
        medians = {name: round(statistics.median(values), 3) for name, values in sides.items()}
        self.say(f"{figure}: " + ", ".join(f"{name} {value:.2f}" for name, value in medians.items()))
        if "penstock" not in sides or over not in sides:
            self.verdict(row, figure, f"<= {most:g} x {over}", None, False, sides)
            return
        ratio = statistics.median(ours / peer for ours, peer in zip(sides["penstock"], sides[over]))
        self.verdict(row, figure, f"<= {most:g} x {over}", f"{ratio:.3f} x", ratio <= most, sides)


def failures(reports):
    """A sentence about requests that failed, or nothing."""
    failed = sum(report["failed"] for report in reports)
    faults = {}
    for report in reports:
        for what, count in report["faults"].items():
            faults[what] = faults.get(what, 0) + count
    return f", {failed} FAILED {faults}" if failed else ""


def interleaved(bench, servers, run):
    """{side: [report of each round]}, after one unmeasured load each."""
    for server in servers.values():
        run(server, True)
    rounds = {name: [] for name in servers}
    for _ in range(bench.rounds):
        for name in in_random_order(servers):
            rounds[name].append(run(servers[name], False))
    return rounds


def median_of(reports, *path):
    def pick(report):
        for key in path:
            report = report[key]
        return report
    return statistics.median(pick(report) for report in reports)


def cpu_us_per_request(report):
    return report["cpu_ns"] / 1e3 / max(1, report["complete"])


def cpu_us_per_event(report):
    return report["cpu_ns"] / 1e3 / max(1, report["events"])


def row_json(bench):
    """CPU per relayed request of 1 KB up and 1 KB down, 32 connections."""
    servers = bench.servers(Stub())
    rounds = interleaved(bench, servers, lambda server, is_warming: load(server, "json", connections=32,
                                                                         seconds=1 if is_warming else bench.seconds(4, 2)))
    for name, reports in rounds.items():
        bench.say(f"{name:9} {median_of(reports, 'per_s'):9.0f} requests/s, p50 {median_of(reports, 'latency_us', 'p50'):7.0f} us, "
                  f"p99 {median_of(reports, 'latency_us', 'p99'):7.0f} us{failures(reports)}")
    bench.ratio("json", "CPU us per request", rounds, cpu_us_per_request, 1.0)


def row_sse(bench):
    """CPU per event of 500 streams, each 25 events of 200 bytes a second."""
    events = bench.seconds(250, 100)
    servers = bench.servers(Stub(events=events, event_bytes=200, gap_ms=40))
    rounds = interleaved(bench, servers, lambda server, is_warming: load(server, "stream", streams=50 if is_warming else 500, ramp=1000,
                                                                         events=events, event_bytes=200))
    for name, reports in rounds.items():
        bench.say(f"{name:9} relay latency p50 {median_of(reports, 'relay_us', 'p50'):6.0f} us, p99 {median_of(reports, 'relay_us', 'p99'):6.0f} us, "
                  f"first content after its 40 ms p50 {median_of(reports, 'first_content_us', 'p50') - 40000:6.0f} us, p99 "
                  f"{median_of(reports, 'first_content_us', 'p99') - 40000:6.0f} us{failures(reports)}")
    bench.ratio("sse", "CPU us per event", rounds, cpu_us_per_event, 0.9)


def row_latency(bench):
    """What the hop adds to a request's time on one connection."""
    stub = Stub()
    servers = bench.servers(stub)
    # One request at a time: what counts is who sleeps where, which must not be chance. Client and upstream share a core, the proxy has another.
    cores = sorted(os.sched_getaffinity(0))
    for server in [stub, *servers.values()]:
        server.pin(cores[0] if server is stub else cores[-1])
    rounds = interleaved(bench, servers, lambda server, is_warming: load(server, "json", core=cores[0], connections=1,
                                                                         seconds=1 if is_warming else bench.seconds(3, 2)))
    added = {}
    for share in ("p50", "p99"):
        for name, reports in rounds.items():
            if name == "direct" or "direct" not in rounds:
                continue
            more = [report["latency_us"][share] - direct["latency_us"][share] for report, direct in zip(reports, rounds["direct"])]
            added[name, share] = statistics.median(more)
            bench.say(f"{name:9} adds {added[name, share]:6.1f} us at {share} (the rounds: {min(more):.1f} to {max(more):.1f}){failures(reports)}")
    for share, more in (("p50", 10), ("p99", 50)):
        ours, peer = added.get(("penstock", share)), added.get(("nginx", share))
        if ours is None or peer is None:
            bench.verdict("latency", f"added {share}", f"nginx's + {more} us", None, False)
        else:
            bench.verdict("latency", f"added {share}", f"nginx's {peer:.1f} + {more} us", f"{ours:.1f} us, {ours / peer:.2f} x", ours <= peer + more)


def row_streams(bench):
    """4,000 streams of 20 events, one a second: all whole, and the memory of each."""
    limit = file_limit()
    wanted = 4000
    count = min(wanted, (limit - 500) // 2)  # a proxy has two connections for each
    bench.say(f"{count} streams{'' if count == wanted else f': fewer than {wanted}, the limit of open files is {limit}'}")
    for name, server in bench.servers(Stub(events=20, event_bytes=200, gap_ms=1000)).items():
        load(server, "stream", streams=10, ramp=1000, events=20, event_bytes=200)
        with PeakMemory(server) if name != "direct" else open(os.devnull) as memory:
            report = load(server, "stream", streams=count, ramp=1000, events=20, event_bytes=200)
        each = memory.growth_kib / count if name != "direct" else 0
        bench.say(f"{name:9} {report['complete']} complete, {each:.1f} KiB a stream, relay latency p50 {report['relay_us']['p50']:.0f} us, "
                  f"p99 {report['relay_us']['p99']:.0f} us, CPU {cpu_us_per_event(report):.1f} us an event{failures([report])}")
        if name == "penstock":
            bench.verdict("streams", "complete and byte-identical", f"{count} of {count}", report["complete"], report["complete"] == count)
            bench.verdict("streams", "resident memory a stream", "<= 16 KiB", f"{each:.1f} KiB", each <= 16)
    if bench.why_not:
        bench.verdict("streams", "complete and byte-identical", f"{count} of {count}", None, False)
        bench.verdict("streams", "resident memory a stream", "<= 16 KiB", None, False)


def row_prompts(bench):
    """Prompts of 220 KB, answers of five events: the rate that one loop reaches, and what it adds below that."""
    shape = {"events": 5, "event_bytes": 200}
    servers = bench.servers(Stub(**shape))
    seconds = bench.seconds(4, 2)
    closed = interleaved(bench, servers, lambda server, is_warming: load(server, "stream", connections=200, seconds=1 if is_warming else seconds,
                                                                         body_bytes=220000, **shape))
    for name, reports in closed.items():
        bench.say(f"{name:9} {median_of(reports, 'per_s'):7.0f} requests/s in closed loop, first event p50 "
                  f"{median_of(reports, 'first_event_us', 'p50') / 1e3:6.1f} ms, CPU "
                  f"{statistics.median(map(cpu_us_per_request, reports)):5.0f} us a request{failures(reports)}")
    rate = int(min(median_of(reports, "per_s") for reports in closed.values()) / 2)
    opened = interleaved(bench, servers, lambda server, is_warming: load(server, "stream", connections=200, rate=rate,
                                                                         seconds=1 if is_warming else seconds, body_bytes=220000, **shape))
    added = {}
    for name, reports in opened.items():
        added[name] = statistics.median(report["first_event_us"]["p50"] - direct["first_event_us"]["p50"]
                                        for report, direct in zip(reports, opened.get("direct", reports))) / 1e3
        bench.say(f"{name:9} adds {added[name]:6.2f} ms to the first event, p50, at {rate} requests/s; p99 "
                  f"{median_of(reports, 'first_event_us', 'p99') / 1e3:.1f} ms in all{failures(reports)}")
    ours = added.get("penstock")
    reached = median_of(closed["penstock"], "per_s") if ours is not None else None
    per_peer = f", {reached / median_of(closed['nginx'], 'per_s'):.2f} x nginx's" if reached and "nginx" in closed else ""
    bench.verdict("prompts", f"added to the first event at {rate}/s", "<= 15 ms", None if ours is None else f"{ours:.2f} ms", ours is not None and ours <= 15)
    bench.verdict("prompts", "requests/s in closed loop", ">= 1000", None if reached is None else f"{reached:.0f}{per_peer}",
                  reached is not None and reached >= 1000)


def hold_share(before, after, bound_s):
    """The share of the control lock's holds between two expositions that took at most so long, and how many there were."""
    def counts(text):
        found = {}
        for line in text.splitlines():
            if line.startswith("penstock_control_hold_seconds_bucket") and 'le="' in line:
                found[line.split('le="')[1].split('"')[0]] = float(line.rsplit(" ", 1)[1])
        return found
    first, last = counts(before), counts(after)
    bound = next(bound for bound in last if bound != "+Inf" and abs(float(bound) - bound_s) < bound_s / 100)
    total = last["+Inf"] - first["+Inf"]
    return (last[bound] - first[bound]) / max(1, total), total


def row_loops(bench):
    """Two loops against one: CPU per request, and how long the lock that they share is held."""
    if bench.why_not:
        bench.verdict("loops", "CPU us per request of two loops over one", "<= 1.05", None, False)
        return
    stub = Stub()
    servers = {"one": Gateway(stub), "two": Gateway(stub, loops=2)}
    before = {name: server.metrics() for name, server in servers.items()}
    rounds = interleaved(bench, servers, lambda server, is_warming: load(server, "json", connections=32,
                                                                         seconds=1 if is_warming else bench.seconds(4, 2)))
    for name, reports in rounds.items():
        share, total = hold_share(before[name], servers[name].metrics(), 3e-6)
        bench.say(f"{name}: CPU {statistics.median(map(cpu_us_per_request, reports)):.2f} us a request, {median_of(reports, 'per_s'):.0f} requests/s, "
                  f"lock held at most 3 us in {100 * share:.2f} % of {total:.0f}{failures(reports)}")
        bench.verdict("loops", f"control_hold_seconds p99 <= 3 us, loops: {1 if name == 'one' else 2}", ">= 99 % of the holds", f"{100 * share:.2f} %",
                      share >= 0.99)
    ratio = statistics.median(cpu_us_per_request(two) / cpu_us_per_request(one) for one, two in zip(rounds["one"], rounds["two"]))
    bench.verdict("loops", "CPU us per request of two loops over one", "<= 1.05", f"{ratio:.3f} x", ratio <= 1.05)


def stalled(bench, server, stub, count, shape):
    """One load whose readers all stop for a while: the report, the growth of memory in KiB each, and MB that the upstream wrote meanwhile."""
    import threading
    import time
    before = stub.stats()
    written = []
    settle_s = 4 if count < 100 else 14  # until the kernel's buffers are full

    def watch():
        time.sleep(settle_s)
        first = stub.stats()
        time.sleep(1.5)
        last = stub.stats()
        written.extend([(last["bytes"] - before["bytes"]) / 1e6, (last["bytes"] - first["bytes"]) / 1e6, last["streams_done"] - before["streams_done"]])

    thread = threading.Thread(target=watch)
    thread.start()
    with PeakMemory(server) as memory:
        report = load(server, "stream", streams=count, ramp=1000, stall=count, stall_s=settle_s + 3, receive_buffer=65536, **shape)
    thread.join()
    return report, memory.growth_kib / count, written


def row_stall(bench):
    """Clients that stop reading streams of 12 MB: what each costs, and whether the upstream is paused."""
    # The kernel takes 4 MB for a client that doesn't read: only what is longer shows whether the upstream is paused.
    shape = {"events": 3000, "event_bytes": 4096}
    stub = Stub(send_buffer=65536, **shape)
    servers = bench.servers(stub)
    for count in (50, 500) if bench.arguments.full else (50,):
        for name in in_random_order([name for name in servers if name != "direct"]):
            server = servers[name]
            load(server, "stream", streams=4, ramp=1000, **shape)
            report, each, (wrote, wrote_late, done) = stalled(bench, server, stub, count, shape)
            bench.say(f"{name:9} {count} stalled: {each:.0f} KiB of memory each, the upstream wrote {wrote:.1f} of {count * 12.3:.0f} MB, of it {wrote_late:.1f} "
                      f"in the last 1.5 s, and ended {done} streams; {report['complete']} complete afterwards{failures([report])}")
            if name == "penstock":
                bench.verdict("stall", f"memory of {count} stalled clients, each", "<= 256 KiB", f"{each:.0f} KiB", each <= 256)
                bench.verdict("stall", f"the upstream of {count} is paused", "no byte in 1.5 s, no stream ended", f"{wrote_late:.1f} MB, {done} ended",
                              wrote_late < 0.1 and done == 0)
    if bench.why_not:
        bench.verdict("stall", "memory of 50 stalled clients, each", "<= 256 KiB", None, False)


ROWS = {"json": row_json, "sse": row_sse, "latency": row_latency, "streams": row_streams, "prompts": row_prompts, "loops": row_loops,
        "stall": row_stall}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--rounds", type=int, help="default 5")
    parser.add_argument("--quick", action="store_true", help="two rounds, shorter ones")
    parser.add_argument("--full", action="store_true", help="500 stalled clients, too")
    parser.add_argument("--sides", type=lambda text: text.split(","), default=["direct", "nginx", "penstock"], help="direct,nginx,penstock")
    parser.add_argument("--json", metavar="FILE", help="the figures of every round, as JSON")
    arguments = parser.parse_args()
    unknown = [row for row in arguments.rows if row not in ROWS]
    if unknown:
        parser.error(f"no such row: {unknown[0]}; there are {', '.join(ROWS)}")
    stop_on_signals()
    bench = Bench(arguments)
    print(f"nginx {Nginx.version() or 'is not installed: nothing to compare with'}, {bench.rounds} rounds, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if bench.why_not:
        print(f"without Penstock: {bench.why_not}")
    for row in arguments.rows or ROWS:
        print(f"{row}: {ROWS[row].__doc__}", flush=True)
        try:
            ROWS[row](bench)
        finally:
            end_all()
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(bench.results, file, indent=1)
    sys.exit(0 if all(result["met"] for result in bench.results) else 1)


main()
