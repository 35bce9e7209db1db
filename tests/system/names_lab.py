# SPDX-License-Identifier: MIT
"""A network of its own for the tests of names: run by test_names.py inside `unshare --net`.

    names_lab.py PROGRAM BACKEND [CASE...]

Makes addresses and routes, a name server and time servers, lets PROGRAM ask for the time at each
name of CASES (those named only: "NAME" by TCP, "NAME/udp"), and prints a JSON object a case. Times
are counted from the answer of the name server that gave the client its first address, to the moment
when a time server accepted.
"""
import ipaddress
import json
import os
import selectors
import socket
import struct
import subprocess
import sys
import threading
import time

EPOCH = 2208988800
NEVER = None

# 2001:db8:2::/64 and 198.51.100.0/24 have routes that fail at once. Time servers listen at SERVERS.
# At HOLES a listener's queue is full, so that the kernel drops what asks for a connection; the other
# addresses of this machine refuse.
SETUP = """
ip link set lo up
ip -6 addr add fd00::1/128 dev lo nodad
ip -6 addr add fd00::2/128 dev lo nodad
ip -6 addr add fd00::b/128 dev lo nodad
ip -6 route add blackhole 2001:db8:2::/64
ip route add unreachable 198.51.100.0/24
"""
SERVERS = ["127.0.0.1", "fd00::1"]
HOLES = ["127.0.0.11", "fd00::b"]


def run_of(first, count):
    return [str(ipaddress.ip_address(first) + i) for i in range(count)]


# name: (AAAA, its delay, A, its delay); a delay is in seconds, NEVER is no answer at all.
CASES = {
    "both": (["fd00::1"], 0, ["127.0.0.1"], 0),
    "hole6": (["fd00::b"], 0, ["127.0.0.1"], 0),
    "hole4": ([], 0, ["127.0.0.11", "127.0.0.1"], 0),
    "route6": (["2001:db8:2::2"], 0, ["127.0.0.1"], 0),
    "late6": (["fd00::1"], 0.5, ["127.0.0.1"], 0),
    "soon6": (["fd00::1"], 0.02, ["127.0.0.1"], 0),
    "late4": (["fd00::1"], 0, ["127.0.0.1"], 0.5),
    "no6": ([], NEVER, ["127.0.0.1"], 0),
    "no4": (["fd00::1"], 0, [], NEVER),
    "refused6": (["fd00::2"], 0, ["127.0.0.1"], 0),
    "refused4": ([], 0, ["127.0.0.2", "127.0.0.1"], 0),
    "last": ([], 0, run_of("127.1.0.1", 63) + ["127.0.0.1"], 0),
    "last6": (run_of("fd00:1::1", 31), 0, run_of("127.1.0.1", 32) + ["127.0.0.1"], 0),
    "routes": (run_of("2001:db8:2::1", 31), 0, run_of("198.51.100.1", 32) + ["127.0.0.1"], 0),
    "nowhere": (["fd00::2"], 0, ["127.0.0.2"], 0),
    "holes": (["fd00::b"], 0, ["127.0.0.11"], 0),
    "silent": ([], NEVER, [], NEVER),
    "broken": ("SERVFAIL", 0, "SERVFAIL", 0),
    # and "absent", which nobody has
}
UDP_CASES = ["both", "refused4", "refused6", "nowhere"]
FAILING = ["nowhere", "holes", "silent", "broken", "absent"]


class Names(threading.Thread):
    """The name server, by UDP and TCP."""

    def __init__(self):
        super().__init__(daemon=True)
        while True:
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.bind(("127.0.0.1", 0))
            self.port = self.udp.getsockname()[1]
            self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                self.tcp.bind(("127.0.0.1", self.port))
                break
            except OSError:
                self.udp.close()
                self.tcp.close()
        self.tcp.listen(64)
        self.answered = {}  # (name, type): when
        self.start()

    def run(self):
        threading.Thread(target=self.serve_tcp, daemon=True).start()
        while True:
            question, peer = self.udp.recvfrom(2048)
            self.answer(question, lambda a, peer=peer: self.udp.sendto(a, peer), 512)

    def serve_tcp(self):
        while True:
            connection, _ = self.tcp.accept()
            threading.Thread(target=self.serve_one, args=(connection,), daemon=True).start()

    def serve_one(self, connection):
        def reply(a):
            connection.sendall(struct.pack(">H", len(a)) + a)

        with connection:
            while len(head := connection.recv(2, socket.MSG_WAITALL)) == 2:
                size = struct.unpack(">H", head)[0]
                self.answer(connection.recv(size, socket.MSG_WAITALL), reply, 65535)

    def answer(self, question, reply, limit):
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode().lower())
            at += 1 + question[at]
        kind = struct.unpack(">H", question[at + 1:at + 3])[0]
        question = question[:at + 5]
        addresses, delay, rcode = self.find(labels, kind)
        if delay is NEVER:
            return
        records = b""
        for a in addresses:
            raw = ipaddress.ip_address(a).packed
            records += struct.pack(">HHHIH", 0xC00C, kind, 1, 0, len(raw)) + raw
        count, flags = len(addresses), 0x8480
        if len(question) + len(records) > limit:
            records, count, flags = b"", 0, flags | 0x0200
        message = (question[:2] + struct.pack(">HHHHH", flags | rcode, 1, count, 0, 0)
                   + question[12:] + records)

        def send():
            if not flags & 0x0200:
                self.answered[labels[0], kind] = time.monotonic()
            try:
                reply(message)
            except OSError:
                pass  # the client has what it wanted

        if delay:
            threading.Timer(delay, send).start()
        else:
            send()

    @staticmethod
    def find(labels, kind):
        case = CASES.get(labels[0]) if labels[1:] == ["test"] else None
        if case is None:
            return [], 0, 3
        addresses, delay = case[:2] if kind == 28 else case[2:] if kind == 1 else ([], 0)
        return ([], delay, 2) if addresses == "SERVFAIL" else (addresses, delay, 0)

    def known(self, name):
        """When the client knew its first address."""
        times = [self.answered.get((name, kind)) for kind, addresses in
                 ((28, CASES[name][0]), (1, CASES[name][2])) if addresses]
        return min((t for t in times if t), default=None)


class Times(threading.Thread):
    """The time servers: at one port of all SERVERS, by TCP and UDP; and the holes at that port."""

    def __init__(self):
        super().__init__(daemon=True)
        while True:
            self.sockets, self.port = [], 0
            try:
                for host in SERVERS:
                    for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
                        s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
                        self.sockets.append(s)
                        if kind == socket.SOCK_STREAM:
                            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                        s.bind((host, self.port))
                        self.port = s.getsockname()[1]
                        if kind == socket.SOCK_STREAM:
                            s.listen(64)
                self.plugs = [p for host in HOLES for p in self.hole(host)]
                break
            except OSError:
                for s in self.sockets:
                    s.close()
        self.seen = []  # (when, at which address)
        self.start()

    def hole(self, host):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        plugs = [socket.socket(family, socket.SOCK_STREAM) for _ in range(4)]
        plugs[0].bind((host, self.port))
        plugs[0].listen(0)
        plugs[1].connect((host, self.port))
        for plug in plugs[2:]:
            plug.setblocking(False)
            plug.connect_ex((host, self.port))
        return plugs

    def run(self):
        selector = selectors.DefaultSelector()
        for s in self.sockets:
            selector.register(s, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                s, now = key.fileobj, struct.pack(">I", (int(time.time()) + EPOCH) % 2**32)
                self.seen.append((time.monotonic(), s.getsockname()[0]))
                if s.type == socket.SOCK_STREAM:
                    with s.accept()[0] as connection:
                        connection.sendall(now)
                else:
                    s.sendto(now, s.recvfrom(16)[1])


def main():
    program, backend, *only = sys.argv[1:]
    for line in SETUP.strip().splitlines():
        subprocess.run(line.split(), check=True)
    names, times = Names(), Times()
    for case in only or [*CASES, "absent", *(n + "/udp" for n in UDP_CASES)]:
        name, udp = case.removesuffix("/udp"), case.endswith("/udp")
        options = ["--udp"] if udp else []
        times.seen.clear()
        names.answered.clear()
        limit = "1.5" if name in FAILING else "10"
        began = time.monotonic()
        done = subprocess.run(
            [program, "time", *options, "--timeout", limit, "--nameserver",
             f"127.0.0.1:{names.port}", f"{name}.test:{times.port}"],
            env={**os.environ, "ASYNCORE_BACKEND": backend}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        took = time.monotonic() - began
        known = names.known(name) if name in CASES else None
        print(json.dumps({
            "case": case, "code": done.returncode,
            "out": done.stdout, "err": done.stderr, "took": took,
            "at": times.seen[0][1] if times.seen else None,
            "ms": 1000 * (times.seen[0][0] - known) if times.seen and known else None,
        }), flush=True)


if __name__ == "__main__":
    main()
