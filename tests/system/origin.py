# SPDX-License-Identifier: MIT
"""A scripted HTTP origin for tests: what it answers is said by the test, byte by byte if need be."""
import socket
import threading
import time

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
EARLIER = "Sun, 06 Nov 1994 08:00:00 GMT"


class Request:
    """A request as it came."""

    def __init__(self, line, fields, body, conn, count):
        self.method, self.target, self.version = line.split(" ")
        self.fields = fields
        self.body = body
        self.conn = conn
        self.count = count  # how many came for that target before
        self.when = time.monotonic()

    def get(self, name):
        for key, value in self.fields:
            if key.lower() == name.lower():
                return value
        return None


def response(body=b"", status="200 OK", fields=(), length=True):
    """The bytes of a response."""
    head = [f"HTTP/1.1 {status}"]
    if length:
        head.append(f"Content-Length: {len(body)}")
    head += [f"{name}: {value}" for name, value in fields]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


class Origin:
    """Listens on a port of its own. `routes` maps a target to bytes, or to a function that is given the
    Request and returns bytes (None: it has closed or written for itself)."""

    def __init__(self, host="127.0.0.1"):
        self.routes = {}
        self.log = []
        self.connections = 0
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.socket.bind((host, 0))
        self.socket.listen(1024)
        self.port = self.socket.getsockname()[1]
        self.base = f"http://{'[' + host + ']' if ':' in host else host}:{self.port}"
        self.open = set()
        threading.Thread(target=self._serve, daemon=True).start()

    def url(self, target="/"):
        return self.base + target

    def targets(self):
        return [r.target for r in self.log]

    def _serve(self):
        while True:
            try:
                conn, _ = self.socket.accept()
            except OSError:
                return
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.connections += 1
                self.open.add(conn)
            threading.Thread(target=self._talk, args=(conn,), daemon=True).start()

    def _talk(self, conn):
        try:
            with conn, conn.makefile("rb") as stream:
                while self._one(conn, stream):
                    pass
        except OSError:
            pass  # the client has gone
        finally:
            with self.lock:
                self.open.discard(conn)

    @staticmethod
    def _body(fields, stream, conn):
        names = {k.lower(): v for k, v in fields}
        if "expect" in names:
            conn.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "content-length" in names:
            return stream.read(int(names["content-length"]))
        if "transfer-encoding" not in names:
            return b""
        body = b""
        while True:
            size = int(stream.readline(), 16)
            body += stream.read(size)
            stream.readline()
            if size == 0:
                return body

    def _one(self, conn, stream):
        line = stream.readline().decode("latin-1").rstrip("\r\n")
        if not line:
            return False
        fields = []
        while (field := stream.readline().decode("latin-1").rstrip("\r\n")) != "":
            name, _, value = field.partition(":")
            fields.append((name, value.strip()))
        body = self._body(fields, stream, conn)
        with self.lock:
            target = line.split(" ")[1]
            request = Request(line, fields, body, conn, self.targets().count(target))
            self.log.append(request)
        answer = self.routes.get(request.target, self.routes.get("*"))
        if answer is None:
            answer = response(b"no such page\n", "404 Not Found")
        if callable(answer):
            answer = answer(request)
        if answer is None:
            return False
        if request.method == "HEAD":
            answer = answer[:answer.index(b"\r\n\r\n") + 4]
        conn.sendall(answer)
        return True

    def close(self):
        self.over.set()
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
        with self.lock:
            for conn in self.open:
                try:
                    conn.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
