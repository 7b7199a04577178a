"""P10 and P11: a large mailbox, from the start; and what it takes of the memory."""
import os
import re
import subprocess
import time
from pathlib import Path

from benchlib.reading import grep
from benchlib.results import AtMost, Row
from benchlib.timing import alternate, run

MB = 1_000_000


def largest(bench):
    """500,000 messages where such are asked for; 100,000 otherwise."""
    return max((corpus for corpus in bench.sizes.scale if corpus.count <= 500_000), key=lambda corpus: corpus.count)


def p10(bench):
    """From the start of mailmount to what is seen of the largest mailbox."""
    corpus = largest(bench)
    account = bench.stage.synced(corpus)
    mounted, whole = [], []

    def once():
        account.umount()
        begin = time.perf_counter()
        account.start_and_wait()
        mounted.append(time.perf_counter() - begin)
        if not os.listdir(account.box()):
            raise RuntimeError("the inbox is empty")
        listed = time.perf_counter() - begin
        if len(os.listdir(account.box() / "cur")) < corpus.count // 2:
            raise RuntimeError("the inbox is not whole")
        whole.append(time.perf_counter() - begin)
        return listed
    listed = alternate({"ours": once}, bench.repeats, bench.say)["ours"]
    what = f"{corpus.count:,} messages in the cache"
    return [Row("P10", f"{what}: start to the first ls of INBOX", "s", listed, goal=AtMost(0.2, "s")),
            Row("P10", f"{what}: start to mounted", "s", mounted),
            Row("P10", f"{what}: start to all names of INBOX/cur", "s", whole)]


def memory(process, name):
    return int(re.search(rf"(?m)^{name}:\s*(\d+) kB$", Path(f"/proc/{process.pid}/status").read_text())[1]) * 1024 / MB


def p11(bench):
    """Of the daemon, not of what it starts; the walk looks at each file, and reads those in new/."""
    corpus = largest(bench)
    account = bench.stage.synced(corpus)
    resident, peak = [], []
    for _ in range(bench.repeats.long):
        account.umount()
        account.start_and_wait()
        account.sync(600)
        found = run("find", account.root, "-type", "f", "-printf", "%s\n", output=subprocess.PIPE).stdout.count(b"\n")
        if found < corpus.count:
            raise RuntimeError(f"the walk found {found} of {corpus.count} messages")
        grep(account.box() / "new")
        resident.append(memory(account.process, "VmRSS"))
        peak.append(memory(account.process, "VmHWM"))
    what = f"{corpus.count:,} messages, after a walk"
    return [Row("P11", f"{what}: resident", "MB", resident, goal=AtMost(64, "MB")),
            Row("P11", f"{what}: the most that was resident", "MB", peak, goal=AtMost(64, "MB"))]
