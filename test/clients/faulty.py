"""A faulty upstream for tests: an HTTP server on the loopback that answers like an OpenAI-speaking engine, or does whatever a test asks: delays, cuts, resets,
drips, lies. Every request and what became of its connection is kept.

    async with Faulty(plan) as upstream: ...

A plan is called for each request: `async def plan(session)`. `sequence(a, b, c)` uses a, then b, then c for all that follow."""
import asyncio
import json
import socket
import struct
import time


def chunk(content=None, finish=None, **more):
    delta = {} if content is None else {"content": content}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "fake",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


ROLE = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "fake",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}


def usage(prompt, output):
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "fake", "choices": [],
            "usage": {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}}


def event(data):
    return b"data: " + (data if isinstance(data, str) else json.dumps(data)).encode() + b"\n\n"


class Session:
    """One request and the connection that it came on."""

    def __init__(self, upstream, reader, writer, connection):
        self.upstream, self.reader, self.writer, self.connection = upstream, reader, writer, connection
        self.method = self.path = None
        self.headers = {}
        self.body = b""
        self.at = None       # when it was there
        self.gone_at = None  # when the other side left while we were answering
        self.keep = True     # the connection goes on afterwards

    @property
    def json(self):
        return json.loads(self.body)

    async def read(self):
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        self.at = time.monotonic()
        self.method, self.path, _ = head[0].split(" ")
        self.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
        self.body = await self.reader.readexactly(int(self.headers.get("content-length", 0)))

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, status=200, content_type="text/event-stream", **headers):
        lines = [f"HTTP/1.1 {status} X", f"content-type: {content_type}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def whole(self, status, body, content_type="application/json", **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        await self.head(status, content_type, content_length=len(data), **headers)
        await self.send(data)

    async def start_stream(self, **headers):
        await self.head(transfer_encoding="chunked", **headers)

    async def piece(self, data):
        """A chunk of a chunked body."""
        await self.send(b"%x\r\n%s\r\n" % (len(data), data))

    async def end_stream(self):
        await self.send(b"0\r\n\r\n")

    async def refuse(self, status, message="no", code=None, **headers):
        await self.whole(status, {"error": {"message": message, "type": "server_error", "code": code}}, **headers)

    def reset(self):
        """RST, whatever is on its way."""
        handle = self.writer.get_extra_info("socket")
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.keep = False
        self.writer.transport.abort()

    def cut(self):
        """FIN."""
        self.keep = False
        self.writer.close()

    async def left(self, limit_s):
        """Waits until the other side has closed; True when it did within the limit."""
        try:
            while await asyncio.wait_for(self.reader.read(65536), limit_s):
                pass
        except asyncio.TimeoutError:
            return False
        except ConnectionError:
            pass
        self.gone_at = time.monotonic()
        self.keep = False
        return True


async def answer(session, tokens=5, gap_s=0, delay_s=0, with_usage=True):
    """A good answer, streamed or whole as asked for."""
    await asyncio.sleep(delay_s)
    words = [f"w{i} " for i in range(tokens)]
    if not session.body or not session.json.get("stream"):
        await session.whole(200, {"id": "1", "object": "chat.completion", "created": 1, "model": "fake", "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "".join(words)}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": tokens, "total_tokens": 7 + tokens}})
        return
    await session.start_stream()
    await session.piece(event(ROLE))
    for word in words:
        await session.piece(event(chunk(word)))
        if gap_s:
            await asyncio.sleep(gap_s)
    await session.piece(event(chunk(finish="stop")))
    if with_usage and (session.json.get("stream_options") or {}).get("include_usage"):
        await session.piece(event(usage(7, tokens)))
    await session.piece(event("[DONE]"))
    await session.end_stream()


def answering(**arguments):
    async def plan(session):
        await answer(session, **arguments)
    return plan


def refusing(status, message="no", code=None, **headers):
    async def plan(session):
        await session.refuse(status, message, code, **headers)
    return plan


def sequence(*plans):
    left = list(plans)

    async def plan(session):
        await (left.pop(0) if len(left) > 1 else left[0])(session)
    return plan


class Faulty:
    def __init__(self, plan=answer, health=None):
        self.plan = plan
        self.health = health  # of GET requests: a plan; None = 404
        self.sessions = []    # chat and completion requests, in their order
        self.questions = []   # GETs
        self.connections = 0
        self.port = None
        self.tasks = set()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, limit=1 << 24, backlog=1024)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        self.connections += 1
        connection = self.connections
        try:
            keep = True
            while keep:
                session = Session(self, reader, writer, connection)
                await session.read()
                if session.method == "GET":
                    self.questions.append(session)
                    if self.health:
                        await self.health(session)
                    else:
                        await session.refuse(404)
                else:
                    self.sessions.append(session)
                    await self.plan(session)
                keep = session.keep
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.tasks.discard(asyncio.current_task())
            writer.close()
