"""tools/bench, with next to no mail: what it measures is there and can be; that it measures well is for people to see."""
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from benchlib.wire import FarWire
from support import mountinfo
from test_clients import needs

BENCH = Path(__file__).resolve().parents[2] / "tools" / "bench"


def bench(folder, program, *measures):
    """(exit status, what it said, the results)"""
    done = subprocess.run([sys.executable, BENCH, "--no-install", "--quick", "--divide=1000", "--repeats=1", "--without=offlineimap",
                           "--program", program, "--corpora", folder / "corpora", "--output", folder / "output", *measures],
                          cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=100)
    assert [left.name for left in (folder / "corpora").glob("mailmount-it-*")] == [], "its own folder is gone"
    assert not [place for place in mountinfo() if place.startswith(str(folder))]
    results = folder / "output" / "results.json"
    assert results.exists(), done.stdout
    return done.returncode, done.stdout, json.loads(results.read_text())


@pytest.fixture
def folder(workplace):
    made = workplace / "bench"
    made.mkdir(exist_ok=True)
    return made


@needs("mbsync")
def test_measures(folder, program):
    status, said, results = bench(folder, program, "P1", "P8")
    assert status == 0, said
    rows = results["rows"]
    against_peer, against_floor = rows[0], rows[1]
    assert (against_peer["peer_name"], against_floor["floor_name"]) == ("mbsync", "wire + disk")
    assert against_peer["what"] == "first sync, 20 messages, TLS" and against_peer["unit"] == "s"
    assert 0.001 < against_floor["floor"] < against_floor["ours"] < 30 and 0.01 < against_peer["peer"] < 30
    assert against_peer["ratio"] == pytest.approx(against_peer["peer"] / against_peer["ours"])
    assert against_floor["ratio"] == pytest.approx(against_floor["ours"] / against_floor["floor"])
    assert against_floor["met"] == (against_floor["ratio"] <= 1.5)
    stores = next(row for row in rows if row["what"].endswith("STORE commands"))
    assert 1 <= stores["ours"] <= 20 and stores["met"] is True
    assert rows[2]["peer_name"] == "offlineimap" and rows[2]["peer"] is None
    assert all(line in said for line in ("With 1/1000 of the mail only", "wire + disk", "STORE commands"))
    assert results["machine"]["cores"] >= 1 and results["settings"]["divisor"] == 1000


@pytest.fixture
def build(folder, program):
    """A build's folders: with mailmount, and nothing else yet."""
    made = folder / "build"
    shutil.rmtree(made, ignore_errors=True)
    for part in ("main", "tests/floor"):
        (made / part).mkdir(parents=True)
    shutil.copy2(program, made / "main" / "mailmount")
    return made


def built(program, name):
    """Of tests/floor."""
    named = os.environ.get("MAILMOUNT_TEST_FLOORFS")
    found = (Path(named).parent if named else program.parents[1] / "tests" / "floor") / name
    if not found.exists():
        pytest.skip(f"no {name}: build with -Dtests=enabled, or set MAILMOUNT_TEST_FLOORFS")
    return found


@pytest.fixture
def build_with_floor(build, program):
    shutil.copy2(built(program, "floorfs"), build / "tests" / "floor" / "floorfs")
    return build


def echo_all(listener):
    """Sends back, when all of it has come, what the one client sent."""
    client, _ = listener.accept()
    with client, client.makefile("rb") as came:
        client.sendall(came.read())


@pytest.mark.parametrize("made_in", ["c", "python"])
def test_far_wire(program, made_in):
    """What goes in comes out, in its order, later."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=echo_all, args=(listener,), daemon=True).start()
        wire = FarWire(built(program, "farwire") if made_in == "c" else None, listener.getsockname()[1], 200)
        try:
            sent = os.urandom(3_000_000)
            begin = time.monotonic()
            with socket.create_connection(("127.0.0.1", wire.port), 20) as client, client.makefile("rb") as came:
                client.sendall(sent)
                client.shutdown(socket.SHUT_WR)
                assert came.read() == sent
            assert time.monotonic() - begin >= 0.4, "a handshake, and there and back"
        finally:
            wire.close()
    assert wire.process.returncode == 0


def by_floor(results):
    """{floor: {what: row}} of rows that are measured where nothing needs to be cold."""
    found = {}
    for row in results["rows"]:
        if not row["what"].endswith("cold"):
            found.setdefault(row["floor_name"], {})[row["what"]] = row
    return found


def test_floor_of_fuse(folder, build_with_floor):
    status, said, results = bench(folder, build_with_floor / "main" / "mailmount", "P5", "P6")
    assert status == 0, said
    rows = by_floor(results)
    native, fuse = rows["native"], rows["FUSE, from memory"]
    assert list(native) == list(fuse) and len(fuse) == 5, "one beside each"
    for what, row in fuse.items():
        assert row["goal"] is None and row["ours"] == native[what]["ours"] and 0.0001 < row["floor"] < 30
        assert row["ratio"] == pytest.approx(row["ours"] / row["floor"])
    assert all(row["goal"] for row in native.values())
    assert "(FUSE, from memory)" in said
    (opening,) = rows["FUSE, opening the file"].values()
    assert opening["measure"] == "P5" and 0.0001 < opening["floor"] < 30


@needs("gnuplot")
def test_growth(folder, program):
    """Each thing at each size, and all in one picture."""
    status, said, results = bench(folder, program, "P10", "P11", "P12")
    assert status == 0, said
    sizes = [50, 100]
    for measure, unit, names in (("P10", "s", ["first sync", "start to all names", "start to the first ls"]), ("P11", "MB", ["memory (right)"]),
                                 ("P12", "s", ["no-op", "one new mail", "one flag"]), ("P12", "B", ["no-op", "one new mail", "one flag"])):
        (figure,) = (figure for figure in results["figures"] if (figure["measure"], figure["unit"]) == (measure, unit))
        assert list(figure["series"]) == names
        for curve in figure["series"].values():
            assert [int(size) for size in curve] == sizes and all(0 < sample < 2000 for samples in curve.values() for sample in samples)
    large = [row for row in results["rows"] if row["measure"] in ("P10", "P11") and row["goal"]]
    assert [row["what"].split(" messages")[0] for row in large] == ["100"] * 3 and all(row["ours"] < 100 for row in large)
    picture = (folder / "output" / "growth.svg").read_text()
    assert all(f">{name}<" in picture for name in ("first sync", "one flag", "memory (right)", "MB", "seconds"))
    assert "octets" in (folder / "output" / "growth-octets.svg").read_text()


def test_no_floor_of_fuse(folder, build):
    status, said, results = bench(folder, build / "main" / "mailmount", "P5")
    assert status == 0 and said.count("no floorfs") == 1, said
    (row,) = by_floor(results)["FUSE, from memory"].values()
    assert row["ours"] > 0 and row["floor"] is row["ratio"] is row["met"] is None
    (row,) = by_floor(results)["native"].values()
    assert row["floor"] > 0 and row["met"] is not None


def test_measure_that_fails(folder):
    """It says so, the others go on, and what was measured is written."""
    status, said, results = bench(folder, Path("/bin/false"), "P10", "P11")
    assert status == 1 and "P10 FAILED" in said and "FAILED: P10 P11" in said
    assert results["rows"] == []
