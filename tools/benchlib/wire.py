#!/usr/bin/python3
"""A wire between client and server: one that takes its time, and one that takes notes.

    wire.py TARGET-PORT ROUND-TRIP-MS        prints its own port, and forwards until its standard input ends

Each piece that comes in goes out half of that later, however many are on the way: it is the line that is long, not narrow. For that, who
reads never waits for who writes, but for a bound on what is on the way. The bench runs it as a process of its own.

What the Notes have are pieces of octets in their order, by connection, so that it can be told how often the client had to wait for
the server (round trips). Where nothing is encrypted, commands can be counted too.
"""
import re
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

PIECE = 1 << 20
ON_THE_WAY = 256 << 20
CLIENT, SERVER = "client", "server"
LOGIN = re.compile(rb"(?m)^(\S+) (?:LOGIN|AUTHENTICATE) ", re.I)


class Lane:
    """One direction of one connection: a thread that reads, and one that writes later."""

    def __init__(self, source, sink, delay_s, note):
        self.source, self.sink, self.delay_s, self.note = source, sink, delay_s, note
        self.pieces, self.octets = deque(), 0
        self.changed = threading.Condition()
        for work in (self._read, self._write) if delay_s else (self._forward,):
            threading.Thread(target=work, daemon=True).start()

    def _receive(self):
        try:
            return self.source.recv(PIECE)
        except OSError:
            return b""

    def _forward(self):
        while octets := self._receive():
            self.note(octets)
            if not self._send(octets):
                break
        self._end()

    def _read(self):
        while True:
            octets = self._receive()
            self.note(octets)
            with self.changed:
                self.changed.wait_for(lambda: self.octets < ON_THE_WAY)
                self.pieces.append((time.monotonic() + self.delay_s, octets))
                self.octets += len(octets)
                self.changed.notify_all()
            if not octets:
                return

    def _write(self):
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.pieces)
                due, octets = self.pieces.popleft()
                self.octets -= len(octets)
                self.changed.notify_all()
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            if not octets or not self._send(octets):
                return self._end()

    def _send(self, octets):
        try:
            self.sink.sendall(octets)
            return True
        except OSError:
            return False

    def _end(self):
        """The other direction ends by itself, when the other side has closed."""
        for end, how in ((self.sink, socket.SHUT_WR), (self.source, socket.SHUT_RD)):
            try:
                end.shutdown(how)
            except OSError:
                pass


class Wire:
    """Forwards 127.0.0.1:port to target, in threads of this process."""

    def __init__(self, target_port, delay_s=0.0, note=lambda connection, side, octets: None):
        self.target_port, self.delay_s, self.note = target_port, delay_s, note
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        number = 0
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            number += 1
            threading.Thread(target=self._connect, args=(client, number), daemon=True).start()

    def _connect(self, client, number):
        time.sleep(2 * self.delay_s)  # a handshake, too, goes there and back
        server = socket.create_connection(("127.0.0.1", self.target_port))
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        Lane(client, server, self.delay_s, lambda octets: self.note(number, CLIENT, octets))
        Lane(server, client, self.delay_s, lambda octets: self.note(number, SERVER, octets))

    def close(self):
        self.listener.close()


@dataclass
class Traffic:
    """Of one connection, after its login."""
    round_trips: int = 0
    to_server: int = 0
    to_client: int = 0
    sent: bytearray = field(default_factory=bytearray)


class Notes:
    """Takes notes of a wire, from reset() on. A connection that was logged in before counts from its first piece."""

    def __init__(self):
        self.lock = threading.Lock()
        self.logged_in = set()
        self.pieces = []

    def __call__(self, connection, side, octets):
        if octets:
            with self.lock:
                self.pieces.append((connection, side, octets))

    def reset(self):
        with self.lock:
            self.logged_in |= {connection for connection, traffic in self._by_connection().items() if traffic}
            self.pieces = []

    def octets(self):
        with self.lock:
            return sum(len(octets) for _, _, octets in self.pieces)

    def _by_connection(self):
        """{connection: Traffic, or None when it is not logged in}"""
        result, tags, last = {}, {}, {}
        for connection, side, octets in self.pieces:
            traffic = result.setdefault(connection, Traffic() if connection in self.logged_in else None)
            if traffic:
                self._count(traffic, side, octets, last.get(connection))
                last[connection] = side
            elif side == CLIENT:
                found = LOGIN.search(octets)
                if found:
                    tags[connection] = found[1]
            elif connection in tags and b"%b OK" % tags[connection] in octets:
                result[connection] = Traffic()
                last[connection] = SERVER
        return result

    @staticmethod
    def _count(traffic, side, octets, last):
        if side == CLIENT:
            traffic.to_server += len(octets)
            traffic.sent += octets
            traffic.round_trips += last != CLIENT
        else:
            traffic.to_client += len(octets)

    def traffic(self):
        """All connections together."""
        with self.lock:
            each = [traffic for traffic in self._by_connection().values() if traffic]
        return Traffic(sum(t.round_trips for t in each), sum(t.to_server for t in each), sum(t.to_client for t in each),
                       bytearray().join(t.sent for t in each))

    def count(self, command):
        """How many such commands clients sent."""
        return len(re.findall(rb"(?im)^\S+ (?:UID )?%b " % command.encode(), self.traffic().sent))

    def until_silent(self, quiet_s=1.0, timeout_s=60):
        deadline = time.monotonic() + timeout_s
        before = None
        while before != self.octets() and time.monotonic() < deadline:
            before = self.octets()
            time.sleep(quiet_s)


class FarWire:
    """A wire with a delay, in a process of its own: farwire (tests/floor/farwire.c), which takes little of the machine that is
    measured; without it, this file."""

    def __init__(self, farwire, target_port, round_trip_ms):
        command = [farwire] if farwire else [sys.executable, "-B", str(Path(__file__).resolve())]
        self.process = subprocess.Popen([*command, str(target_port), str(round_trip_ms)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def main():
    wire = Wire(int(sys.argv[1]), float(sys.argv[2]) / 2000)
    print(wire.port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
