"""What happens around a request: workers that die, clients that leave, slow stages, loading, reload, drain. Over the scripted engine, so it needs a
build with test hooks (PENSTOCK names it)."""
import asyncio
import json
import os
import signal
import socket
import time

from penstock import Checks, Penstock, ask, chat, SLOWNESS

CONFIG = """
drain: 3s
loops: 3
pools:
  small:
    engine: {kind: scripted, model: none, context: 65536, sequences: 32, scripted: {first_token: 20ms, gap: 5ms, tokens: 12}}
    queue: {requests: 64, wait: 20s}
routes:
  assistant:
    tiers: [small]
    timeouts: {first_token: 5s, idle: 1s, total: 20s}
"""


def scripted(text="hi", stream=True, **script):
    return chat(text, stream=stream, scripted=script)


def engine_is_idle(penstock):
    return penstock.metric("penstock_engine_running_requests") == 0


def finishes(checks, penstock):
    checks.check("no request is open", penstock.wait(lambda: penstock.metric("penstock_requests_open") == 0))
    checks.check("no ticket is held", penstock.wait(lambda: penstock.metric("penstock_in_flight_requests") == 0
                                                    and penstock.metric("penstock_queue_requests") == 0))


def answers(checks, penstock):
    whole = asyncio.run(ask(penstock.port, scripted(stream=False)))
    text = json.loads(whole.body)["choices"][0]["message"]["content"]
    checks.check("a scripted answer", text == "one two three four five six seven eight nine tenone two", text)
    stream = asyncio.run(ask(penstock.port, scripted()))
    checks.check("the same, streamed", stream.text == text and stream.events[-1] == "[DONE]", stream.text)


def worker_dies(checks, penstock):
    async def kill_under_streams():
        seen = asyncio.Event()
        started = 0

        def on_data(answer):
            nonlocal started
            if len(answer.events) == 1:
                started += 1
                if started == 20:
                    seen.set()

        calls = [asyncio.create_task(ask(penstock.port, scripted(tokens=2000), on_data=on_data)) for _ in range(20)]
        await asyncio.wait_for(seen.wait(), 20)
        os.kill(penstock.workers()[0], signal.SIGKILL)
        return await asyncio.wait_for(asyncio.gather(*calls), 30)

    killed = asyncio.run(kill_under_streams())
    checks.check("20 streams end with an error event", sum(a.error is not None for a in killed) == 20)
    checks.check("none looks complete", not any("[DONE]" in a.events for a in killed) and all(a.complete for a in killed))
    after = asyncio.run(ask(penstock.port, scripted()))
    checks.check("the next request waits for the restart and is answered", after.status == 200 and after.events[-1] == "[DONE]", after.status)
    checks.check("readiness is back", penstock.wait(lambda: penstock.admin("/readyz")[0] == 200))
    checks.check("the restart is counted", penstock.metric("penstock_replica_restarts_total") == 1)
    finishes(checks, penstock)


def clients_leave(checks, penstock):
    async def leave(body, after_events):
        reader, writer = await asyncio.open_connection("127.0.0.1", penstock.port)
        payload = json.dumps(body).encode()
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\ncontent-length: %d\r\n\r\n" % len(payload) + payload)
        if after_events:
            await reader.readuntil(b"data: ")
        else:
            if not await asyncio.to_thread(penstock.wait, lambda: not engine_is_idle(penstock), 5):
                raise RuntimeError("the engine never began")
        writer.close()
        return time.monotonic()

    for what, body, after_events in (
            ("while streaming", scripted(tokens=4000), True),
            ("before the first token", scripted(first_token_ms=3000, tokens=5), False),
            ("of a whole answer", scripted(stream=False, tokens=4000), False)):
        left = asyncio.run(leave(body, after_events))
        # The engine tells its load at most 20 times a second.
        idle = penstock.wait(lambda: engine_is_idle(penstock), 0.25 * SLOWNESS)
        checks.check(f"a client leaves {what}: the engine is free", idle, f"after {time.monotonic() - left:.3f} s")
    finishes(checks, penstock)
    gone = penstock.metric('penstock_requests_total{route="assistant",outcome="client_gone"}')
    checks.check("they are counted as gone", gone == 3, gone)


def engine_misbehaves(checks, penstock):
    failed = asyncio.run(ask(penstock.port, scripted(tokens=10, fail_after=4)))
    checks.check("a failure in the middle is an error event", failed.error and failed.error["code"] == "upstream_cut"
                 and "[DONE]" not in failed.events, failed.events[-1:])
    early = asyncio.run(ask(penstock.port, scripted(fail_after=0)))
    checks.check("a failure before the first token is a 502", early.status == 502, early.status)
    whole = asyncio.run(ask(penstock.port, scripted(stream=False, tokens=10, fail_after=4)))
    checks.check("a whole answer that fails is a 502", whole.status == 502, whole.status)
    stalled = asyncio.run(ask(penstock.port, scripted(tokens=10, stall_after=3)))
    checks.check("silence in the middle is an error event after the idle time", stalled.error
                 and stalled.error["code"] == "idle_timeout" and 0.9 < stalled.total_s < 3, stalled.total_s)
    slow = asyncio.run(ask(penstock.port, scripted(first_token_ms=8000)))
    checks.check("a late first token is a 504", slow.status == 504 and slow.total_s < 7, (slow.status, slow.total_s))
    finishes(checks, penstock)


def trace_is_kept(checks, penstock):
    trace = "0af7651916cd43dd8448eb211c80319c"
    answer = asyncio.run(ask(penstock.port, scripted(), headers={
        "x-request-id": "a-name", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}))
    record = json.loads(penstock.admin("/requests/a-name")[1])
    checks.check("the client's request id is kept", answer.headers["x-request-id"] == "a-name")
    checks.check("the trace goes on with a span of ours", record["traceparent"].startswith(f"00-{trace}-")
                 and "b7ad6b7169203331" not in record["traceparent"], record["traceparent"])
    checks.check("stages are in Server-Timing", "admit;dur=" in answer.headers["server-timing"], answer.headers)


def reloads(checks, penstock):
    penstock.write_config(CONFIG.replace("idle: 1s", "idle: maybe"))
    penstock.process.send_signal(signal.SIGHUP)
    checks.check("a broken config is refused", penstock.wait(lambda: penstock.metric("penstock_config_reload_failures_total") == 1))
    checks.check("and said with its place", penstock.wait(lambda: "config.yaml:" in penstock.log_text()))
    penstock.write_config(CONFIG.replace("sequences: 32", "sequences: 16"))
    penstock.process.send_signal(signal.SIGHUP)
    checks.check("one that changes a pool is refused", penstock.wait(lambda: penstock.metric("penstock_config_reload_failures_total") == 2))
    penstock.write_config(CONFIG.replace("tiers: [small]", "tiers: [small]\n    shape: {max_output: 3}"))
    penstock.process.send_signal(signal.SIGHUP)
    checks.check("a good one takes effect", penstock.wait(lambda: penstock.metric("penstock_config_reloads_total") == 1))
    capped = asyncio.run(ask(penstock.port, scripted(tokens=10)))
    checks.check("its cap is kept", capped.text == "one two three", capped.text)


def drains(checks):
    penstock = Penstock(CONFIG)  # one whose predictions no fault has spoiled: it must admit both streams

    async def stop_under_streams():
        short = asyncio.create_task(ask(penstock.port, scripted(tokens=150)))
        long = asyncio.create_task(ask(penstock.port, scripted(tokens=60000)))
        if not await asyncio.to_thread(penstock.wait, lambda: penstock.metric("penstock_engine_running_requests") == 2, 5):
            raise RuntimeError("the streams never ran")
        penstock.process.send_signal(signal.SIGTERM)
        refused = await asyncio.to_thread(penstock.wait, lambda: penstock.admin("/readyz")[0] == 503, 2)
        return refused, await short, await long

    refused, short, long = asyncio.run(stop_under_streams())
    checks.check("readiness is 503 at once", refused)
    checks.check("a stream that ends in time is whole", short.events[-1] == "[DONE]", short.events[-1:])
    checks.check("one that does not gets an error event", long.error and long.error["code"] == "shutting_down", long.error)
    checks.check("it exits with 0", penstock.stop() == 0)


def delays_show_where_they_are(checks):
    """A delay injected into one stage shows up in that stage, and the stages add up to what the client measured."""
    for stage in ("parse", "route", "admit", "forward", "finish"):
        penstock = Penstock(CONFIG, {"PENSTOCK_TEST_DELAY": f"{stage}=300"})
        answer = asyncio.run(ask(penstock.port, scripted(), headers={"x-request-id": "delayed"}))
        penstock.wait(lambda: not json.loads(penstock.admin("/requests/delayed")[1])["open"])
        record = json.loads(penstock.admin("/requests/delayed")[1])
        stages = record["stages_ms"]
        others = sum(ms for name, ms in stages.items() if name != stage)
        checks.check(f"300 ms in {stage} are charged to {stage}", 300 <= stages[stage] < 300 + 40 * SLOWNESS + (25 if stage == "forward" else 0), stages)
        total = sum(stages.values())
        checks.check("the stages add up to the wall time within 1 %", abs(total - record["total_ms"]) <= 0.01 * record["total_ms"])
        if stage != "finish":
            measured = answer.total_s * 1000
            checks.check("and to what the client measured", abs(total - measured) < 0.01 * measured + 3 * SLOWNESS, (total, measured, others))
        penstock.stop()


def loading(checks):
    """A request that comes while the engine loads waits, or is refused by prediction."""
    config = CONFIG.replace("tokens: 12", "tokens: 12, load_time: 2s")
    penstock = Penstock(config)
    started = time.monotonic()
    os.kill(penstock.workers()[0], signal.SIGKILL)
    checks.check("readiness tells of the loading", penstock.wait(lambda: penstock.admin("/readyz")[0] == 503, 2))
    answer = asyncio.run(ask(penstock.port, scripted()))
    checks.check("a request waits for the engine", answer.status == 200 and time.monotonic() - started > 2, answer.status)
    penstock.stop()
    hurried = Penstock(config.replace("wait: 20s", "wait: 200ms"))
    os.kill(hurried.workers()[0], signal.SIGKILL)
    hurried.wait(lambda: hurried.admin("/readyz")[0] == 503, 2)
    refused = asyncio.run(ask(hurried.port, scripted()))
    checks.check("one that may not wait so long is refused at once", refused.status == 503 and refused.head_s < 0.1 * SLOWNESS
                 and int(refused.headers["retry-after"]) >= 1, (refused.status, refused.head_s, refused.headers))
    hurried.stop()


def last_bytes_arrive(checks):
    """An answer that a slow client has not read yet is not lost when the gateway stops."""
    penstock = Penstock(CONFIG.replace("context: 65536", "context: 1048576").replace("idle: 1s", "idle: 60s").replace("total: 20s", "total: 5m"))
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", penstock.port))
        body = json.dumps(scripted(stream=False, tokens=900000, first_token_ms=0, gap_ms=0)).encode()
        client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        client.settimeout(60)
        data = client.recv(65536)
        penstock.process.send_signal(signal.SIGTERM)
        penstock.wait(lambda: "stopping" in penstock.log_text(), 5)
        while part := client.recv(65536):
            data += part
        head, _, rest = data.partition(b"\r\n\r\n")
        length = int(next(line.split()[1] for line in head.split(b"\r\n") if line.startswith(b"content-length")))
        checks.check("a slow reader gets its whole answer from a gateway that stops", len(rest) == length and length > 4000000, (len(rest), length))
    checks.check("which then exits with 0", penstock.stop() == 0)


def queueing(checks):
    penstock = Penstock(CONFIG.replace("sequences: 32", "sequences: 2").replace("requests: 64", "requests: 3"))

    async def crowd():
        calls = []
        for _ in range(8):
            calls.append(asyncio.create_task(ask(penstock.port, scripted(tokens=150))))
            await asyncio.sleep(0.02)
        return await asyncio.gather(*calls)

    answers = asyncio.run(crowd())
    statuses = [a.status for a in answers]
    checks.check("2 run, 3 wait, 3 are refused", sorted(statuses) == [200] * 5 + [429] * 3, statuses)
    checks.check("refusals come at once with a time", all(a.head_s < 0.1 * SLOWNESS and int(a.headers["retry-after"]) >= 1 for a in answers if a.status == 429))
    finishes(checks, penstock)
    penstock.stop()


def main():
    checks = Checks()
    penstock = Penstock(CONFIG)
    for part in (answers, worker_dies, clients_leave, engine_misbehaves, trace_is_kept, reloads):
        try:
            part(checks, penstock)
        except Exception as error:  # a part that breaks is a failed check, not the end of the run
            checks.check(part.__name__, False, repr(error))
    penstock.stop()
    if checks.failed:
        print(penstock.log_text())
    for part in (drains, delays_show_where_they_are, loading, last_bytes_arrive, queueing):
        try:
            part(checks)
        except Exception as error:
            checks.check(part.__name__, False, repr(error))
    checks.end()


main()
