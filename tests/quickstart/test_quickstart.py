"""tools/quickstart, as somebody runs it who has just cloned: one command, then mail. tools/check makes the clone.

QUICKSTART_CLONE names the clone, which is built here. Everything else is below HOME, which must be empty: no account, so that
a trial starts.
"""
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

CLONE = Path(os.environ.get("QUICKSTART_CLONE", "/nonexistent"))
HOME = Path(os.environ["HOME"])
STATE = HOME / ".local" / "state" / "mailmount-quickstart"
MAIL = HOME / "Mail, with blanks & 'more'"
MESSAGES = 300

pytestmark = [
    pytest.mark.skipif(not CLONE.is_dir(), reason="no clone: QUICKSTART_CLONE names none"),
    pytest.mark.skipif(os.getuid() == 0, reason="a trial of root's would be in /var/lib"),
]


def run(*command, **options):
    result = subprocess.run(command, text=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=600, check=False, **options)
    sys.stdout.write(f"$ {shlex.join(map(str, command))}\n{result.stdout}{result.stderr}")
    return result


def quickstart(*words):
    return run(CLONE / "tools" / "quickstart", *words, cwd="/")


def processes():
    """Names of those that have to do with HOME: by their words, their environment or the folder that they are in."""
    needle, found = str(HOME).encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int(folder.name) in (os.getpid(), os.getppid()) or folder.stat().st_uid != os.getuid():
                continue
            texts = [(folder / name).read_bytes() for name in ("cmdline", "environ")] + [os.fsencode(os.readlink(folder / "cwd"))]
            if any(needle in text for text in texts):
                found.append((folder / "comm").read_text().strip())
        except OSError:
            continue
    return found


def mounts():
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        return [path for path in (re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), line.split()[4]) for line in lines)
                if path.startswith(f"{HOME}/")]


def sockets():
    """What servers with a deep home have in /tmp."""
    return set(Path("/tmp").glob("mailmount-dovecot-*"))


OTHERS = sockets()  # of servers that somebody else has, or that were killed


def folders():
    """What there is below HOME, but for the folders that any program may make there, and the trial's sockets."""
    return sorted(map(str, (sockets() - OTHERS) | (set(HOME.rglob("*")) - {STATE.parent, STATE.parent.parent})))


@pytest.fixture(scope="module")
def before():
    assert (folders(), mounts()) == ([], [])
    return sorted(processes())


@pytest.fixture(scope="module")
def trial(before):
    """The output of the run that starts it."""
    result = quickstart(MAIL)
    yield result
    quickstart("--stop")


def shown(output, word):
    """The commands of the output that begin with a word, as somebody would paste them."""
    found = [line.strip() for line in output.splitlines() if line.startswith(f"  {word} ")]
    assert found
    return found


def test_one_command_and_there_is_mail(trial):
    assert (trial.returncode, trial.stderr) == (0, "")
    assert mounts() == [str(MAIL)]
    assert sorted({"dovecot", "mailmount"} & set(processes())) == ["dovecot", "mailmount"]
    assert len(list(MAIL.glob("**/cur/*")) + list(MAIL.glob("**/new/*"))) == MESSAGES


def test_what_it_shows_can_be_pasted(trial):
    for command in shown(trial.stdout, "ls"):
        listed = run("bash", "-c", command)
        assert listed.returncode == 0 and "INBOX" in listed.stdout
    for command in shown(trial.stdout, "grep"):
        found = run("bash", "-c", command)
        assert found.returncode == 0 and str(MAIL) in found.stdout
    export = shown(trial.stdout, "export")[0]
    doctor = next(line.strip() for line in trial.stdout.splitlines() if line.endswith(" doctor"))
    assert run("bash", "-c", f"{export}; {doctor}").returncode == 0
    status = next(line.strip() for line in trial.stdout.splitlines() if line.endswith(" status --watch"))
    watched = run("timeout", "5", "bash", "-c", f"{export}; exec {status}")
    assert watched.returncode == 124 and str(MAIL) in watched.stdout


def test_a_second_run_finds_it(trial):
    there = processes()
    result = quickstart(MAIL)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"Already mounted: {MAIL}") and len(result.stdout.splitlines()) == 1
    assert processes() == there


def test_stop_leaves_nothing(trial, before):
    assert processes() and mounts() and folders()
    result = quickstart("--stop")
    assert (result.returncode, result.stderr) == (0, "")
    assert (sorted(processes()), mounts(), folders()) == (before, [], [])
    result = quickstart("--stop")
    assert (result.returncode, result.stdout) == (0, "Nothing to stop.\n")
