"""Lives that end at a chosen point: mailmount with tests/crash/points.c preloaded (its head says what a point is)."""
import os
import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

KINDS = ("write", "database", "sync", "commit", "make", "link", "rename", "remove", "truncate", "send", "receive")
HEAD = struct.Struct("=QQq")


def find_library():
    """MAILMOUNT_TEST_POINTS, or that of the newest build; None when there is none."""
    if os.environ.get("MAILMOUNT_TEST_POINTS"):
        return Path(os.environ["MAILMOUNT_TEST_POINTS"])
    built = sorted(Path(__file__).resolve().parents[2].glob("build*/tests/crash/libpoints.so"), key=lambda p: p.stat().st_mtime)
    return built[-1] if built else None


@dataclass(frozen=True)
class Point:
    """Where a life is to end: at its n-th point, of all or of one kind; how is before, half or after."""
    n: int = 0
    kind: str | None = None
    how: str = "after"

    def __str__(self):
        return f"{self.how} {self.kind or 'point'} {self.n}" if self.n else "no point"


@dataclass
class Report:
    """What a life came to."""
    points: int = 0
    died_at: int = 0
    died_ns: int = 0
    lost: int = 0  # effects that a power loss took back
    kinds: list = field(default_factory=list)

    @property
    def died_of(self):
        return self.kinds[self.died_at - 1] if self.died_at else None

    def count(self):
        return Counter(self.kinds)


def environment(library, data, report, point, journal=None):
    """As words for env(1)."""
    words = [f"LD_PRELOAD={library}", f"POINTS_DATA={os.path.realpath(data)}", f"POINTS_REPORT={report}",
             f"POINTS_AT={point.n}", f"POINTS_HOW={point.how}"]
    if point.kind:
        words.append(f"POINTS_KIND={KINDS.index(point.kind)}")
    if journal:
        words.append(f"POINTS_JOURNAL={journal}")
    return words


def read_report(path):
    octets = Path(path).read_bytes()
    points, died_at, died_ns = HEAD.unpack_from(octets)
    return Report(points, died_at, died_ns, kinds=[KINDS[k] for k in octets[HEAD.size:HEAD.size + points]])


def spread(counts, per_kind):
    """Points of each kind, evenly spread over those that a whole life has; all of a kind that has few."""
    for kind in KINDS:
        total = counts[kind]
        lives = min(per_kind, total)
        for i in range(lives):
            yield Point(1 + (2 * i + 1) * total // (2 * lives), kind, ("after", "half")[i % 2])
