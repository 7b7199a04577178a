"""Removes what test runs left that were killed: mounts, processes, folders. Nothing of a run that lives is touched."""
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from support import mountinfo

PREFIX = "mailmount-it-"


def _started(pid):
    """When a process started, in clock ticks since boot: a process id alone may be somebody else's by now."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


def claim(folder):
    """Marks folder as this process'."""
    (folder / "owner").write_text(f"{os.getpid()} {_started(os.getpid())}")


def _is_left_over(folder):
    try:
        pid, started = (folder / "owner").read_text().split()
    except (OSError, ValueError):
        return False  # somebody else's, or just being made
    return folder.stat().st_uid == os.getuid() and _started(pid) != started


def _end_processes(folder):
    """Those that name the folder in their command line and are the same user's."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == os.getuid() and os.fsencode(folder) in (process / "cmdline").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)
        except OSError:
            continue


def clean():
    for folder in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        if not _is_left_over(folder):
            continue
        _end_processes(folder)
        for place in reversed(mountinfo()):
            if place.startswith(f"{folder}/"):
                subprocess.run(["fusermount3", "-uzq", place], check=False)
        shutil.rmtree(folder, ignore_errors=True)
