"""P5, P6 and P7: what programs do that read, in the mount and in a native Maildir of the same mail.

FUSE has a price that no file system in user space can save anybody: a request and an answer for each open, to begin with. That is
measured beside them: floorfs (tests/floor/floorfs.c) shows the same native Maildir by way of FUSE, and has all it needs in memory. Where
files are read it takes part a second time, and opens the native file with each: what a FUSE file system over files on a disk must do. It
takes requests as mailmount does (fs/loop.c); what that is worth is told by a third one, which has the loop that comes with libfuse.

Warm: after one pass. Cold: pages, dentries and inodes of the whole machine were dropped. "First after mount" has a daemon that was
just started, and so has floorfs; what a native Maildir has to set against that is a kernel without dentries and inodes.
"""
import os
import shutil
import subprocess
import time
from collections import defaultdict

from benchlib.results import Row, Within
from benchlib.timing import alternate, drop_caches, run, seconds
from benchlib.terminal import run_on_terminal

ABSENT = "umbrella-that-nobody-lost"
MUTT = """set folder={tree} mbox_type=Maildir header_cache="" record="" move=no quit=yes sleep_time=0 mark_old=no sort=mailbox-order
set confirmappend=no confirmcreate=no from=me@example.org realname=Me hostname=example.org beep=no
"""
NOTMUCH = """[database]
path={folder}
mail_root={tree}
[new]
tags=new
[maildir]
synchronize_flags=false
[user]
name=Me
primary_email=me@example.org
"""


def native_copy(bench, corpus):
    """On the same disk, with the messages in cur/ and new/ as the mount has them. Kept for the run."""
    copies = bench.native_copies
    if corpus not in copies:
        copies[corpus] = bench.stage.scratch()
        run("cp", "-a", "--reflink=auto", bench.stage.corpora.native(corpus), copies[corpus])
    return copies[corpus]


def floor_mount(bench, corpus, *options):
    """The native copy in floorfs, mounted, and kept for the run; None where floorfs was not built."""
    mounts, key = bench.floor_mounts, (corpus, *options)
    if key not in mounts:
        mounts[key] = bench.stage.floor_mount(native_copy(bench, corpus), *options)
    if mounts[key]:
        mounts[key].ready()
    return mounts[key]


def grep(tree):
    """It finds nothing, which is status 1."""
    if run("grep", "-r", ABSENT, tree, check=False).returncode != 1:
        raise RuntimeError("grep found what is not there, or could not read")


FLOORS = {"fuse": (), "fuse, opening": ("--open",), "fuse, usual": ("--usual",)}
READING = ("fuse", "fuse, opening")
FLOOR_NAMES = {"fuse": "FUSE, from memory", "fuse, opening": "FUSE, opening the file", "fuse, usual": "FUSE, from memory, by libfuse's loop"}


def by_turns(bench, corpus, function, before=None, warm_up=None, floors=("fuse",)):
    """function(tree) in the mount, natively, and in floorfs in each of these ways. before(): what comes before each, and is not counted; warm_up(tree): what comes before all, unless caches are dropped anyway;
    function itself, if not given."""
    trees = {"ours": bench.stage.synced(corpus).root, "native": native_copy(bench, corpus)}
    for name in floors:
        floor = floor_mount(bench, corpus, *FLOORS[name])
        if not floor:
            break
        trees[name] = floor.root

    def contender(tree):
        def once():
            if before:
                before()
            return seconds(function, tree)
        return once
    if before is not drop_caches:
        for tree in trees.values():
            (warm_up or function)(tree)
    return alternate({name: contender(tree) for name, tree in trees.items()}, bench.repeats, bench.say)


def rows_of(measure, what, taken, times, note=""):
    """The goal is a matter of the native Maildir; the others say how much of the distance is FUSE's."""
    rows = [Row(measure, what, "s", taken["ours"], floor_samples=taken["native"], floor_name="native", goal=Within(times), note=note)]
    for name, floor_name in FLOOR_NAMES.items():
        if name == "fuse" or taken.get(name):
            rows.append(Row(measure, what, "s", taken["ours"], floor_samples=taken[name], floor_name=floor_name))
    return rows


def p5(bench):
    """grep -r over all mail."""
    corpus = bench.sizes.mail
    what = f"grep -r, {corpus.messages:,} messages"
    rows = rows_of("P5", f"{what}, warm", by_turns(bench, corpus, grep, floors=FLOORS), 1.25)
    cold = by_turns(bench, corpus, grep, drop_caches, floors=READING) if bench.may_be_cold else defaultdict(list)
    return rows + rows_of("P5", f"{what}, cold", cold, 1.5)


def list_long(tree):
    run("ls", "-l", f"{tree}/INBOX/cur", f"{tree}/INBOX/new")


def find_newer(reference):
    return lambda tree: run("find", f"{tree}/INBOX", "-newer", reference)


def first_after_mount(bench, corpus, function):
    """In a mount that was just made and has nothing to do any more; natively without dentries and inodes."""
    account, native, floor = bench.stage.synced(corpus), native_copy(bench, corpus), floor_mount(bench, corpus)

    def ours():
        account.umount()
        account.start_and_wait()
        account.sync(600)
        return seconds(function, account.root)

    def natively():
        if not bench.may_be_cold:
            return None
        drop_caches(2)
        return seconds(function, native)

    def by_fuse():
        if not floor:
            return None
        floor.remount()
        return seconds(function, floor.root)
    function(native)
    return alternate({"ours": ours, "native": natively, "fuse": by_fuse}, bench.repeats, bench.say)


def p6(bench):
    """Listing a large mailbox."""
    corpus = bench.sizes.many
    reference = bench.stage.scratch()
    reference.touch()
    half = time.time() - 5 * 365 * 86_400
    os.utime(reference, (half, half))
    rows = []
    for what, function in (("ls -l", list_long), ("find -newer", find_newer(reference))):
        what = f"{what}, {corpus.count:,} messages"
        rows += rows_of("P6", f"{what}, warm", by_turns(bench, corpus, function), 1.25)
        rows += rows_of("P6", f"{what}, first after mount", first_after_mount(bench, corpus, function), 2,
                        "native: with dentries and inodes dropped")
    return rows


def mutt(bench):
    rc = bench.stage.scratch()

    def once(tree):
        rc.write_text(MUTT.format(tree=tree))
        run_on_terminal("mutt", "-n", "-R", "-F", rc, "-f", f"{tree}/INBOX", "-e", 'push "<quit>"')
    return once


def notmuch(bench):
    def once(tree):
        folder = bench.stage.scratch()
        folder.mkdir()
        config = folder / "config"
        config.write_text(NOTMUCH.format(folder=folder, tree=tree))
        run("notmuch", f"--config={config}", "new", "--quiet")
        bench.indexes.append(("notmuch", f"--config={config}", "search", "--exclude=false", "--output=messages", "*"))
    return once


def mu(bench):
    def once(tree):
        folder = bench.stage.scratch()
        run("mu", "init", f"--muhome={folder}", f"--maildir={tree}")
        run("mu", "index", "--quiet", f"--muhome={folder}")
        bench.indexes.append(("mu", "find", f"--muhome={folder}", "--fields=i", ""))
    return once


def check_indexes(bench, count):
    """Those of earlier runs are whole."""
    for command in bench.indexes:
        found = run(*command, output=subprocess.PIPE).stdout.count(b"\n")
        if found != count:
            raise RuntimeError(f"{command[0]} found {found} of {count} messages")
    bench.indexes.clear()
    os.sync()


def p7(bench):
    """Programs that read each message."""
    corpus = bench.sizes.many
    rows = []
    for program, make, what in (("mutt", mutt, "mutt opens"), ("notmuch", notmuch, "notmuch new"), ("mu", mu, "mu index")):
        taken = defaultdict(list)
        if shutil.which(program):
            taken = by_turns(bench, corpus, make(bench), lambda: check_indexes(bench, corpus.messages), grep, READING)
        rows += rows_of("P7", f"{what}, {corpus.count:,} messages", taken, 1.3)
        check_indexes(bench, corpus.messages)
    return rows
