"""What work costs in things that can be counted: mailmount with tests/count/count.c preloaded, and the wire looked at."""
import os
import struct
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

FIELDS = ("answers", "notices", "statements", "rows", "syncs", "sent", "received")
LAYOUT = struct.Struct(f"={len(FIELDS)}Q")


def find_library():
    """MAILMOUNT_TEST_COUNT, or that of the newest build; None when there is none."""
    if os.environ.get("MAILMOUNT_TEST_COUNT"):
        return Path(os.environ["MAILMOUNT_TEST_COUNT"])
    built = sorted(Path(__file__).resolve().parents[2].glob("build*/tests/count/libcount.so"), key=lambda p: p.stat().st_mtime)
    return built[-1] if built else None


@dataclass
class Costs:
    answers: int  # to requests of the kernel
    notices: int  # to the kernel, of what it is to forget
    statements: int
    rows: int
    syncs: int
    sent: int  # octets
    received: int
    commands: tuple = ()  # that the server got

    def over(self, most):
        """Which of these are more than they may be, in words."""
        got = {**self.__dict__, "commands": len(self.commands)}
        return [f"{name}: {got[name]}, of at most {limit}" for name, limit in most.items() if got[name] > limit]


class Counted:
    """A mailmount whose work is counted."""

    def __init__(self, mailmount, wire, library):
        self.m, self.wire = mailmount, wire
        self.report = mailmount.folder / "count"
        self.hold = mailmount.folder / "hold"
        self.prefix = ("env", f"LD_PRELOAD={library}", f"COUNT_REPORT={self.report}", f"COUNT_HOLD={self.hold}")

    def start(self):
        self.m.start(prefix=self.prefix)

    @contextmanager
    def answers_held(self, least, most):
        """Answers to the kernel of so many octets wait until the end of this; then they are given."""
        self.hold.write_text(f"{least} {most}")
        try:
            yield
        finally:
            self.hold.unlink()

    def now(self):
        return LAYOUT.unpack_from(self.report.read_bytes())

    def settled(self):
        """now(), when the kernel has nothing left to ask, and is not told anything any more: both go on for a while after the
        close, and after the sync."""
        seen = self.now()
        while True:
            time.sleep(0.1)
            before, seen = seen, self.now()
            if seen[:2] == before[:2]:
                return seen

    def cost(self, work, sync=True):
        """Of what work() does, and of the sync after it."""
        self.wire.reset_counts()
        before = self.now()
        work()
        if sync:
            self.m.sync()
        return Costs(*(b - a for a, b in zip(before, self.settled())), tuple(self.wire.commands()))
