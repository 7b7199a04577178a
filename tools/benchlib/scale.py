"""P10 and P11: large mailboxes, from the start; and what they take of the memory. Each at all sizes, for the curves."""
import os
import re
import subprocess
import time
from pathlib import Path

from benchlib.reading import grep
from benchlib.results import AtMost, Row
from benchlib.timing import alternate, run

MB = 1_000_000
LARGE = 500_000  # what the goals are about; less only where no such mailboxes are asked for


def is_large(bench, corpus):
    return corpus.count >= min(LARGE, max(other.count for other in bench.sizes.scale))


def starts(bench, account, count):
    """Seconds from the start of mailmount: (until it is mounted, to the first listing of the inbox, to all its names)."""
    mounted, whole = [], []

    def once():
        account.umount()
        begin = time.perf_counter()
        account.start_and_wait()
        mounted.append(time.perf_counter() - begin)
        if not os.listdir(account.box()):
            raise RuntimeError("the inbox is empty")
        listed = time.perf_counter() - begin
        if len(os.listdir(account.box() / "cur")) < count // 2:
            raise RuntimeError("the inbox is not whole")
        whole.append(time.perf_counter() - begin)
        return listed
    listed = alternate({"ours": once}, bench.repeats, bench.say)["ours"]
    return mounted, listed, whole


def p10(bench):
    """From the start of mailmount to what is seen of a mailbox, and, once for each size, from an empty cache to all of it."""
    rows, series = [], {"first sync": {}, "start to all names": {}, "start to the first ls": {}}
    for corpus in bench.sizes.scale:
        account = bench.stage.synced(corpus)
        mounted, listed, whole = starts(bench, account, corpus.count)
        account.umount()
        for name, samples in zip(series, ([account.first_sync_s], whole, listed)):
            series[name][corpus.messages] = samples
        if is_large(bench, corpus):
            what = f"{corpus.count:,} messages in the cache"
            rows += [Row("P10", f"{what}: start to the first ls of INBOX", "s", listed, goal=AtMost(0.2, "s")),
                     Row("P10", f"{what}: start to mounted", "s", mounted),
                     Row("P10", f"{what}: start to all names of INBOX/cur", "s", whole),
                     Row("P10", f"{what}: to bring them there, the first sync", "s", [account.first_sync_s])]
    bench.figure("P10", "growth", "s", series)
    return rows


def memory(process, name):
    return int(re.search(rf"(?m)^{name}:\s*(\d+) kB$", Path(f"/proc/{process.pid}/status").read_text())[1]) * 1024 / MB


def walk(account, count):
    """Looks at each file, and reads those in new/."""
    found = run("find", account.root, "-type", "f", "-printf", "%s\n", output=subprocess.PIPE).stdout.count(b"\n")
    if found < count:
        raise RuntimeError(f"the walk found {found} of {count} messages")
    grep(account.box() / "new")


def p11(bench):
    """Of the daemon, not of what it starts."""
    rows, series = [], {"memory (right)": {}}
    for corpus in bench.sizes.scale:
        account = bench.stage.synced(corpus)
        resident, peak = [], []
        for _ in range(bench.repeats.long):
            account.umount()
            account.start_and_wait()
            account.sync(600)
            walk(account, corpus.count)
            resident.append(memory(account.process, "VmRSS"))
            peak.append(memory(account.process, "VmHWM"))
        account.umount()
        series["memory (right)"][corpus.messages] = resident
        if is_large(bench, corpus):
            what = f"{corpus.count:,} messages, after a walk"
            rows += [Row("P11", f"{what}: resident", "MB", resident, goal=AtMost(64, "MB")),
                     Row("P11", f"{what}: the most that was resident", "MB", peak, goal=AtMost(64, "MB"))]
    bench.figure("P11", "growth", "MB", series)
    return rows
