"""Taking turns, and time: contenders are measured one after the other, round by round, so that noise meets them all."""
import ctypes
import os
import signal
import subprocess
import time
from collections import defaultdict
from pathlib import Path

LONG_S = 20  # what takes longer is repeated less often
TIMEOUT_S = 7200


def seconds(function, *arguments, **keywords):
    begin = time.perf_counter()
    function(*arguments, **keywords)
    return time.perf_counter() - begin


class Repeats:
    """How often: five times, or three where one takes long; a number given on the command line holds for both."""

    def __init__(self, short=5, long=3):
        self.short, self.long = short, long

    def enough(self, samples, spent_s=None):
        return len(samples) >= (self.long if (spent_s or max(samples, default=0)) > LONG_S else self.short)


def alternate(contenders, repeats, say):
    """contenders: {name: function}, where a function returns seconds, or None when it cannot be measured. Returns
    {name: samples}. Each contender sits out when it has enough; every other round goes the other way."""
    samples, spent, out = defaultdict(list), defaultdict(float), set()
    order = list(contenders)
    while True:
        waiting = [name for name in order if name not in out and not repeats.enough(samples[name], spent[name])]
        if not waiting:
            return samples
        order.reverse()
        for name in waiting:
            begin = time.perf_counter()
            value = contenders[name]()
            spent[name] = time.perf_counter() - begin
            if value is None:
                out.add(name)
                continue
            samples[name].append(value)
            say(f"   {name}: {value:.3f} s")


def child_setup():
    """Children go when the bench goes."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def run(*command, env=None, check=True, output=subprocess.DEVNULL, timeout=TIMEOUT_S, cwd="/"):
    """Runs a program to its end; what it says on standard error is in the exception when it fails."""
    done = subprocess.run([*map(str, command)], env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})}, cwd=cwd, check=False,
                          timeout=timeout, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE, preexec_fn=child_setup)
    if check and done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr.decode(errors='replace').strip()[-2000:]}")
    return done


def may_drop_caches():
    return os.access("/proc/sys/vm/drop_caches", os.W_OK)


def drop_caches(what=3):
    """1: pages, 2: dentries and inodes, 3: both."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text(str(what))
