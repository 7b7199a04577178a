"""A file in the local area under thousands of operations by chance, compared with an image in memory (tests/exercise/fsx.c)."""
import os
import subprocess
import time
from pathlib import Path

import pytest

LONG = os.environ.get("MAILMOUNT_LONG") == "1"
SEED = time.time_ns() % 1_000_000


@pytest.fixture(scope="module")
def fsx():
    named = os.environ.get("MAILMOUNT_TEST_FSX")
    builds = Path(__file__).resolve().parents[2].glob("build*/tests/exercise/fsx")
    found = [Path(named)] if named else sorted(builds, key=lambda p: p.stat().st_mtime)
    if not found:
        pytest.skip("no fsx: build with -Dtests=enabled, or set MAILMOUNT_TEST_FSX")
    return found[-1]


@pytest.fixture
def area(mounted):
    path = mounted.mailmount.root / ".git"
    path.mkdir()
    return path


def begin(fsx, path, *options):
    return subprocess.Popen([fsx, *map(str, options), path], stdout=subprocess.PIPE, text=True)


def end(process):
    """The last lines that it has to say, and whether all was right."""
    said, _ = process.communicate(timeout=1000)
    return process.returncode == 0, said[-8000:]


@pytest.mark.seconds(1800 if LONG else 150)
def test_two_files_at_once(fsx, area):
    """Two processes, several seeds each, one of them new every time."""
    operations, seeds = (20_000, range(10)) if LONG else (800, range(2))
    for seed in [*seeds, SEED]:
        runs = [begin(fsx, area / name, "-s", 2 * seed + n, "-n", operations) for n, name in enumerate(("first", "second"))]
        for good, said in [end(run) for run in runs]:
            assert good, said


@pytest.mark.parametrize("behind", [False, True], ids=["in the mount", "behind it"])
def test_an_octet_that_is_wrong_is_noticed(fsx, mounted, area, behind):
    """The control: also one that only the file system has, while the kernel's cache is right."""
    native = mounted.mailmount.data / "local" / "0" / area.name / "file" if behind else area / "file"
    good, said = end(begin(fsx, area / "file", "-s", SEED, "-n", 1000, "-b", 300, "-p", native))
    assert not good and f"fsx: seed {SEED}, operation " in said and "octet " in said, said
