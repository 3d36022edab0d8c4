"""The public listener with TLS: whom it serves, whom it turns away, and a certificate that is renewed. Over the scripted engine, so it needs a build
with test hooks (PENSTOCK names it); certificates are the openssl program's."""
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time

from penstock import Checks, PROGRAM, Penstock, chat, SLOWNESS

FOLDER = tempfile.mkdtemp(prefix="penstock-tls-")
CONFIG = """
loops: 3
limits: {head_time: 500ms}
tls: {certificate: FOLDER/server.pem, key: FOLDER/server.key}
pools:
  small:
    engine: {kind: scripted, model: none, context: 65536, sequences: 32, scripted: {first_token: 5ms, gap: 2ms, tokens: 12}}
routes:
  assistant: {tiers: [small]}
""".replace("FOLDER", FOLDER)


def path(name):
    return os.path.join(FOLDER, name)


def make_certificate(name, common_name="localhost"):
    """One that signs itself, for localhost and 127.0.0.1."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", f"/CN={common_name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", path(f"{name}.key"), "-out", path(f"{name}.pem")], check=True, capture_output=True)


def connect(penstock, authorities, protocol=None):
    context = ssl.create_default_context(cafile=path(authorities))
    context.set_alpn_protocols(["http/1.1"])
    if protocol:
        context.minimum_version = context.maximum_version = protocol
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    plain = socket.create_connection(("127.0.0.1", penstock.port), timeout=20)
    try:
        return context.wrap_socket(plain, server_hostname="localhost")
    except Exception:
        plain.close()
        raise


def receive_all(client):
    data = b""
    while part := client.recv(65536):
        data += part
    return data


def request(body, more=b""):
    payload = json.dumps(body).encode()
    return (b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n" + more
            + b"content-length: %d\r\n\r\n" % len(payload) + payload)


def is_refused(penstock, authorities, protocol=None):
    """The reason, or None."""
    try:
        connect(penstock, authorities, protocol).close()
        return None
    except (ssl.SSLError, ConnectionError) as error:
        return str(error)


def descriptors(penstock):
    return len(os.listdir(f"/proc/{penstock.process.pid}/fd"))


def answers(checks, penstock):
    for protocol in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with connect(penstock, "server.pem", protocol) as client:
            checks.check(f"{protocol.name}: HTTP/1.1 is agreed on", client.selected_alpn_protocol() == "http/1.1")
            client.sendall(request(chat("hi", stream=True), b"connection: close\r\n"))
            data = receive_all(client).decode()  # raises where close_notify is missing
            checks.check(f"{protocol.name}: a stream is whole", "HTTP/1.1 200" in data and "data: [DONE]" in data, data[-200:])
    with connect(penstock, "server.pem") as client:
        for _ in range(3):
            client.sendall(request(chat("hi", stream=False)))
            data = b""
            while b"chat.completion" not in data or not data.endswith(b"}"):
                part = client.recv(65536)
                if not part:
                    break
                data += part
            checks.check("a kept connection serves", b"HTTP/1.1 200" in data, data[:200])
    big = chat("word " * 200000, stream=False)
    with connect(penstock, "server.pem") as client:
        client.sendall(request(big, b"connection: close\r\n"))
        data = receive_all(client)
        checks.check("a megabyte comes in", data.startswith(b"HTTP/1.1 "), data[:100])


def turns_away(checks, penstock):
    reason = is_refused(penstock, "other.pem")
    checks.check("a client that trusts another authority refuses", reason and "CERTIFICATE_VERIFY_FAILED" in reason, reason)
    reason = is_refused(penstock, "server.pem", ssl.TLSVersion.TLSv1_1)
    checks.check("TLS 1.1 is refused", reason and "CERTIFICATE" not in reason, reason)
    with socket.create_connection(("127.0.0.1", penstock.port), timeout=20) as plain:
        plain.sendall(b"GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n")
        checks.check("plain HTTP on the TLS port is closed", b"HTTP" not in receive_all(plain))
    checks.check("the admin listener stays plain", penstock.admin("/healthz")[0] == 200)


def handshakes_end(checks, penstock):
    # Every loop has had a connection: with the first one it opens a descriptor of its own.
    for client in [connect(penstock, "server.pem") for _ in range(12)]:
        client.close()
    penstock.wait(lambda: penstock.metric("penstock_connections_open") == 0, 5)
    time.sleep(0.2 * SLOWNESS)  # sockets close a moment after they are no longer counted
    before = descriptors(penstock)
    began = time.monotonic()
    clients = [socket.create_connection(("127.0.0.1", penstock.port), timeout=20) for _ in range(60)]
    for client in clients[::2]:
        client.sendall(b"\x16\x03\x01\x02")
    checks.check("60 half-done handshakes are open", penstock.wait(lambda: descriptors(penstock) >= before + 60, 5), descriptors(penstock))
    ended = [client.recv(1) for client in clients]
    checks.check("they are cut after limits.head_time", not any(ended) and 0.4 < time.monotonic() - began < 3 * SLOWNESS, time.monotonic() - began)
    for client in clients:
        client.close()
    checks.check("and leave nothing open", penstock.wait(lambda: descriptors(penstock) <= before, 5), (before, descriptors(penstock)))


def renews(checks, penstock):
    old = connect(penstock, "server.pem")
    os.rename(path("server.pem"), path("old.pem"))
    make_certificate("server", "renewed")
    penstock.process.send_signal(signal.SIGHUP)
    checks.check("SIGHUP is taken", penstock.wait(lambda: penstock.metric("penstock_config_reloads_total") == 1))
    with connect(penstock, "server.pem") as client:
        subject = dict(entry[0] for entry in client.getpeercert()["subject"])
        checks.check("new connections get the renewed certificate", subject["commonName"] == "renewed", subject)
    checks.check("and no longer the old one", is_refused(penstock, "old.pem") is not None)
    old.sendall(request(chat("hi", stream=True), b"connection: close\r\n"))
    checks.check("a connection that was there goes on", b"[DONE]" in receive_all(old))
    old.close()
    shutil.copy(path("other.key"), path("server.key"))
    penstock.process.send_signal(signal.SIGHUP)
    checks.check("a key of another certificate is refused", penstock.wait(lambda: penstock.metric("penstock_config_reload_failures_total") == 1))
    checks.check("in so many words", penstock.wait(lambda: "does not belong to the certificate" in penstock.log_text()))
    with connect(penstock, "server.pem") as client:
        checks.check("and the good one stays", client.version() == "TLSv1.3")


def broken_files(checks):
    for what, config, said in (
            ("a missing file", CONFIG.replace("server.pem", "nowhere.pem"), "nowhere.pem can't be read: No such file or directory"),
            ("a certificate without a key", CONFIG.replace(f", key: {FOLDER}/server.key", ""), "tls.key is missing")):
        with open(path("config.yaml"), "w") as file:
            file.write("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n" + config)
        for command in (["check", path("config.yaml")], ["serve", "--config", path("config.yaml")]):
            run = subprocess.run([PROGRAM, *command], capture_output=True, text=True, timeout=60)
            checks.check(f"{what} is said by {command[0]}", run.returncode != 0 and said in run.stderr, run.stderr)


def main():
    checks = Checks()
    make_certificate("server")
    make_certificate("other")
    penstock = Penstock(CONFIG)
    for part in (answers, turns_away, handshakes_end, renews):
        try:
            part(checks, penstock)
        except Exception as error:  # a part that breaks is a failed check, not the end of the run
            checks.check(part.__name__, False, repr(error))
    checks.check("it exits with 0", penstock.stop() == 0)
    if checks.failed:
        print(penstock.log_text())
    broken_files(checks)
    shutil.rmtree(FOLDER)
    checks.end()


main()
