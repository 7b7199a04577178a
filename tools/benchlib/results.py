"""What was measured: rows of a table, each with one goal, as text and as JSON.

A row's figures are medians; the JSON has each single one. All of a row are of one unit.
"""
import json
import statistics
from dataclasses import dataclass, field

DIGITS = 3
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Faster:
    """The peer takes at least so many times as long."""
    times: float

    def text(self):
        return f"{self.times:g} times faster than the peer"

    def ratio(self, row):
        return divide(row.peer, row.ours)

    def is_met(self, ratio):
        return ratio >= self.times


@dataclass(frozen=True)
class Within:
    """Ours takes at most so many times as long as the floor."""
    times: float

    def text(self):
        return f"at most {self.times:g} times the floor"

    def ratio(self, row):
        return divide(row.ours, row.floor)

    def is_met(self, ratio):
        return ratio <= self.times


@dataclass(frozen=True)
class AtMost:
    """An absolute bound; the ratio is how much of it is used."""
    bound: float
    unit: str

    def text(self):
        return f"at most {show(self.bound, self.unit)}"

    def ratio(self, row):
        return divide(row.ours, self.bound)

    def is_met(self, ratio):
        return ratio <= 1


def divide(a, b):
    return a / b if a is not None and b else None


def median(samples):
    return statistics.median(samples) if samples else None


@dataclass
class Row:
    """Each of ours, peer and floor is a list of samples; an empty one: not measured. No goal: a row to compare with."""
    measure: str
    what: str
    unit: str  # s, B, MB, or a plural
    ours_samples: list
    peer_samples: list = field(default_factory=list)
    floor_samples: list = field(default_factory=list)
    peer_name: str = ""
    floor_name: str = ""
    goal: object = None
    note: str = ""

    @property
    def ours(self):
        return median(self.ours_samples)

    @property
    def peer(self):
        return median(self.peer_samples)

    @property
    def floor(self):
        return median(self.floor_samples)

    @property
    def ratio(self):
        """That of the goal; without one, how many times the peer or the floor."""
        if self.goal:
            return self.goal.ratio(self)
        return divide(self.ours, self.floor) if self.floor_samples else divide(self.peer, self.ours)

    @property
    def met(self):
        """None: there is no goal, or it could not be measured."""
        return None if self.goal is None or self.ratio is None else self.goal.is_met(self.ratio)

    def as_json(self):
        return {"measure": self.measure, "what": self.what, "unit": self.unit, "ours": self.ours, "peer": self.peer,
                "peer_name": self.peer_name or None, "floor": self.floor, "floor_name": self.floor_name or None,
                "ratio": self.ratio, "goal": self.goal.text() if self.goal else None, "met": self.met, "note": self.note or None,
                "samples": {"ours": self.ours_samples, "peer": self.peer_samples, "floor": self.floor_samples}}


def show(value, unit):
    if value is None:
        return NOT_MEASURED
    if unit == "s":
        return f"{value * 1000:.{DIGITS}g} ms" if value < 0.9995 else f"{value:.{max(DIGITS, len(str(int(value))))}g} s"
    if unit == "B":
        for size, name in ((1e6, "MB"), (1e3, "kB")):
            if value >= size:
                return f"{value / size:.{DIGITS}g} {name}"
        return f"{value:.0f} B"
    return f"{value:.{max(DIGITS, len(str(int(value))))}g} {unit}".rstrip()


def cells(row):
    """One line of the table, as texts."""
    def with_name(value, name, samples):
        return f"{show(value, row.unit)} ({name})" if name and samples else NOT_MEASURED if name else ""
    verdict = {True: "met", False: "NOT MET", None: "" if row.goal is None else NOT_MEASURED}[row.met]
    ours = "" if row.goal is None and not row.ours_samples else show(row.ours, row.unit)
    return [row.measure, row.what, ours, with_name(row.peer, row.peer_name, row.peer_samples),
            with_name(row.floor, row.floor_name, row.floor_samples), "" if row.ratio is None else f"{row.ratio:.3g}",
            row.goal.text() if row.goal else "", verdict]


HEAD = ["", "measure", "ours", "peer", "floor", "ratio", "goal", "verdict"]


def table(rows):
    lines = [HEAD] + [cells(row) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    drawn = [" | ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip() for line in lines]
    drawn.insert(1, "-|-".join("-" * width for width in widths))
    notes = [f"{row.measure} {row.what}: {row.note}" for row in rows if row.note]
    return "\n".join(drawn + [""] * bool(notes) + notes)


def write_json(path, machine, settings, rows, figures):
    path.write_text(json.dumps({"version": 1, "machine": machine, "settings": settings, "rows": [row.as_json() for row in rows],
                                "figures": figures}, indent=2, ensure_ascii=False) + "\n")
