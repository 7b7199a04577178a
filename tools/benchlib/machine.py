"""What the machine has, and what it lacks. Nothing here tells which machine it is."""
import os
import platform
import re
import subprocess
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
# What is needed to measure at all, and what is measured beside us: package, program.
NEEDED = ("dovecot-imapd", "openssl", "python3-pytest")
PEERS = {"isync": "mbsync", "offlineimap3": "offlineimap", "interimap": "interimap", "gnuplot-nox": "gnuplot", "notmuch": "notmuch",
         "maildir-utils": "mu", "mutt": "mutt"}
SCRIPT = 'set -euo pipefail; SOURCE=$1; . "$SOURCE/tools/lib.sh"; shift; '


def shell(script, *arguments, quiet=False):
    """With the functions of tools/lib.sh. Returns whether it went well."""
    output = subprocess.DEVNULL if quiet else None
    return subprocess.run(["bash", "-c", SCRIPT + script, "bench", SOURCE, *arguments], stdin=subprocess.DEVNULL, stdout=output,
                          stderr=output, check=False).returncode == 0


def is_installed(package):
    return not subprocess.run(["bash", "-c", SCRIPT + 'missing_packages "$@"', "bench", SOURCE, package], check=False,
                              capture_output=True).stdout


def install_peers(say):
    """What can be installed is, by root; the rest is said."""
    missing = [package for package in PEERS if not is_installed(package)]
    if missing and os.getuid() == 0:
        say(f"installing, to compare with: {' '.join(missing)}")
        if not shell('need_packages "$@"', *missing, quiet=True):
            for package in missing:
                shell('need_packages "$@"', package, quiet=True)
    missing = [package for package in missing if not is_installed(package)]
    if missing:
        say(f"not installed, and what needs it is not measured: {' '.join(missing)}")


def install_needed():
    return all(is_installed(package) for package in NEEDED) or shell('need_packages "$@"', *NEEDED)


def build():
    """A release build in a folder of its own, of mailmount and of what FUSE itself costs; returns the program."""
    folder = SOURCE / "build-bench" / "release"
    if not shell('need_packages "${BUILD_PACKAGES[@]}"; build "$1" mailmount --buildtype=release; build "$1" floorfs; build "$1" farwire', folder):
        raise RuntimeError("the build failed")
    return folder / "main" / "mailmount"


def open_fuse_device():
    return shell("open_fuse_device")


def version_of(*command):
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=20).stdout
    except OSError:
        return None
    found = re.search(r"\d+\.\d+[\w.]*", said)
    return found[0] if found else None


def file_system_of(folder):
    """Its kind: of the longest mount point that the folder is in."""
    best = ("", "")
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        place, kind = line.split()[4], line.split(" - ")[1].split()[0]
        if f"{folder}/".startswith(place.rstrip("/") + "/") and len(place) >= len(best[0]):
            best = (place, kind)
    return best[1]


def facts(folder):
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    processor = re.search(r"(?m)^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text())
    commit = subprocess.run(["git", "-C", SOURCE, "rev-parse", "--short", "HEAD"], capture_output=True, text=True,
                            check=False).stdout.strip()
    programs = {"dovecot": ("/usr/sbin/dovecot", "--version"), "mbsync": ("mbsync", "--version"), "notmuch": ("notmuch", "--version"),
                "offlineimap": ("offlineimap", "--version"), "interimap": ("interimap", "--version"), "mu": ("mu", "--version"),
                "mutt": ("mutt", "-v")}
    return {"cores": os.cpu_count(), "processor": processor[1] if processor else platform.machine(), "memory_mb": int(memory[1]) // 1024,
            "kernel": re.match(r"[\d.]*\d", platform.release())[0], "file_system": file_system_of(folder), "load_at_the_begin": os.getloadavg()[0],
            "mailmount_commit": commit or None, "versions": {name: version_of(*command) for name, command in programs.items()}}
