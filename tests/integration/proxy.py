"""A wire between client and server that can be cut, stalled, slowed, counted and tampered with."""
import socket
import threading
import time

SILENCE_S = 0.3


class Proxy:
    """Forwards 127.0.0.1:port to target. All switches can be thrown at any time, from any thread.

    to_server and to_client count octets; sent holds what clients sent, for tests that look at commands (it is readable
    only where no TLS is spoken). A filter sees each piece before it goes on: filter(direction, octets) returns what
    goes on instead, or None to cut that connection there; direction is "server" or "client".
    """

    def __init__(self, target_port):
        self.target_port = target_port
        self.filter = None
        self.delay_s = 0.0
        self.rate = 0             # octets a second and connection to the client, 0 for as many as there are
        self.cut_in = None        # (direction, how) of a cut that is to come, and how many octets still pass
        self.cut_left = 0
        self.has_cut = threading.Event()
        self._silent = set()      # (pair, direction): nothing passes any more
        self._lock = threading.Lock()
        self._flows = threading.Event()
        self._flows.set()
        self._plugged = True
        self._pairs = set()
        self.connections = 0
        self.reset_counts()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def reset_counts(self):
        self.to_server = self.to_client = 0
        self.sent = bytearray()
        self.received = bytearray()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self._plugged:
                self._slam(client)
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target_port), 5)
            except OSError:
                self._slam(client)
                continue
            self.connections += 1
            for s in (client, server):
                s.settimeout(None)
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = (client, server)
            with self._lock:
                self._pairs.add(pair)
            threading.Thread(target=self._pump, args=(client, server, "server", pair), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, "client", pair), daemon=True).start()

    @staticmethod
    def _slam(s):
        """Closes with a reset, as a lost line looks to those who still send."""
        try:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        s.close()

    def _end(self, pair):
        with self._lock:
            self._pairs.discard(pair)
            self._silent -= {(pair, "server"), (pair, "client")}
        for s in pair:
            self._slam(s)

    def _pump(self, source, sink, direction, pair):
        try:
            while True:
                octets = source.recv(65536)
                if not octets:
                    break
                if self.delay_s:
                    time.sleep(self.delay_s)
                if self.rate and direction == "client":
                    time.sleep(len(octets) / self.rate)
                self._flows.wait()
                if self.filter:
                    octets = self.filter(direction, octets)
                    if octets is None:
                        break
                octets, how = self._account(direction, octets, pair)
                if octets:
                    sink.sendall(octets)
                if how and not self._cut_this(sink, pair, how):
                    break
        except OSError:
            pass
        self._end(pair)

    def _account(self, direction, octets, pair):
        """Counts, and cuts to what is still allowed; returns also how to cut now, or None."""
        how = None
        with self._lock:
            if (pair, direction) in self._silent:
                return b"", None
            if self.cut_in and self.cut_in[0] == direction:
                octets = octets[:self.cut_left]
                self.cut_left -= len(octets)
                if self.cut_left == 0:
                    how, self.cut_in = self.cut_in[1], None
            if how == "silence":
                self._silent |= {(pair, "server"), (pair, "client")}
            elif how == "half-close":
                self._silent.add((pair, direction))
            if direction == "server":
                self.to_server += len(octets)
                seen = self.sent
            else:
                self.to_client += len(octets)
                seen = self.received
            if len(seen) < 16_000_000:
                seen += octets
            return octets, how

    def _cut_this(self, sink, pair, how):
        """True: the connection is not over yet."""
        if how == "reset":
            self._end(pair)
        elif how == "silence":
            threading.Timer(SILENCE_S, self._end, (pair,)).start()
            threading.Timer(SILENCE_S, self.has_cut.set).start()
            return True
        else:
            sink.shutdown(socket.SHUT_WR)
        self.has_cut.set()
        return how == "half-close"

    def cut(self):
        """Pulls the plug: open connections break, new ones are turned away."""
        self._plugged = False
        self._flows.set()
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            self._end(pair)

    def plug(self, *cut):
        """Puts the plug back in; cut: as for cut_after, else none is to come."""
        self.cut_in = None
        if cut:
            self.cut_after(*cut)
        self._flows.set()
        self._plugged = True

    def stall(self):
        """Nothing is lost, nothing goes on."""
        self._flows.clear()

    def cut_after(self, octets, direction="client", how="reset"):
        """Lets this many more octets pass in that direction (on all connections together), then ends the connection: by a
        "reset"; by "silence", which a reset ends after a moment; or by a "half-close", the end of that direction alone."""
        with self._lock:
            self.has_cut.clear()
            self.cut_in, self.cut_left = (direction, how), octets

    def commands(self):
        """What clients sent, line by line."""
        with self._lock:
            return bytes(self.sent).decode("utf-8", "replace").split("\r\n")

    def close(self):
        self._listener.close()
        self.cut()
