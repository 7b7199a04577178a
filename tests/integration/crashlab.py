"""Accounts to crash: made once and copied, on the server and here, so that each life begins from the same state."""
import itertools
import os
import re
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

from daemon import Mailmount
from imapclient import Witness
from ledger import Ledger, differences, mount_view, server_view, violations
from points import Point, environment, read_report
from proxy import Proxy
from support import equal, eventually

CHANGING = re.compile(r"\b(STORE|APPEND|EXPUNGE|MOVE|COPY|CREATE|DELETE|RENAME|SUBSCRIBE|UNSUBSCRIBE)\b", re.I)


def is_connected(pid):
    """Has a process a connection by TCP?"""
    try:
        held = {os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")}
        lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    except OSError:
        return False
    return any(f"socket:[{line.split()[9]}]" in held for line in lines)


class Account:
    """A user of the server with a mailmount, and what must be so."""

    def __init__(self, lab, user, folder, ledger, settings):
        self.lab, self.user, self.folder, self.ledger, self.settings = lab, user, folder, ledger, settings
        folder.mkdir(exist_ok=True)
        self.log_from = lab.server_log_size()
        self.lost_since_ns = None
        self._witness = None
        self.start_options = {}
        self.mailmount = Mailmount(lab.program, folder, host="127.0.0.1", port=lab.server.plain_port, tls="none", user=user,
                                   password=lab.server.password, poll=600, **settings)

    @property
    def witness(self):
        if not self._witness:
            self._witness = Witness(self.lab.server.plain_port, self.user, self.lab.server.password)
        return self._witness

    @property
    def home(self):
        return self.lab.server.dir / "home" / self.user

    def leave(self):
        """The witness logs out, and the server has ended all sessions."""
        if self._witness:
            self._witness.close()
            self._witness = None
        eventually(self._no_sessions, 20, 0.02)

    def _no_sessions(self):
        with open(self.lab.server.dir / "dovecot.log", "rb") as log:
            log.seek(self.log_from)
            text = log.read()
        user = re.escape(self.user.encode())
        began = Counter(re.findall(rb"imap-login: Info: Login: user=<%s>.* mpid=(\d+)" % user, text))
        ended = Counter(re.findall(rb"imap\(%s\)<(\d+)><[^>]*>: Info: (?:Disconnected|Connection closed|Logged out)" % user, text))
        # One whose client has gone before it could say hello ends without a word.
        return all(ended[pid] >= n or not is_connected(int(pid)) for pid, n in began.items())

    def live(self, story, point=Point(), journal=None):
        """Plays a story in a life that ends at a point. What it came to; without a point, or beyond the last one, the
        story ends it."""
        m = self.mailmount
        report = self.folder / "report"
        words = environment(self.lab.library, m.data, report, point, journal)
        self.start_options = {"prefix": ("env", *words)}
        try:
            story(self)
        except Exception as problem:
            if not self._died():
                raise AssertionError(f"{problem}\n{self.story_so_far()}") from problem
            result = read_report(report)
            if not result.died_at:
                raise AssertionError(f"ended with {m.process.returncode}, and not at a point\n{m.log()[-5000:]}") from problem
        else:
            result = read_report(report)
            assert not result.died_at or m.process
        if m.process:
            m.process.wait(20)
            m.process = None
        return result

    def story_so_far(self):
        """For a report."""
        return self.mailmount.log()[-6000:]

    def _died(self):
        process = self.mailmount.process
        try:
            return process is not None and process.wait(5) is not None
        except subprocess.TimeoutExpired:
            pass
        # Killed, it may hang in the kernel, until somebody ends its connection.
        self.mailmount.run("umount", self.mailmount.root)
        try:
            return process.wait(5) is not None
        except subprocess.TimeoutExpired:
            return False

    def clone(self):
        """The same state, for another life. No daemon may be running."""
        self.leave()
        return self.lab.account(self.ledger.copy(), self)

    def check(self):
        """A clean life after all that: both sides are equal and as they must be; and a sync changes nothing."""
        self.leave()
        wire = Proxy(self.lab.server.plain_port)
        try:
            self.mailmount.set(port=wire.port)
            self._check(wire)
        except Exception as problem:
            raise AssertionError(f"{problem}\n{self.story_so_far()}") from problem
        finally:
            wire.close()

    def _check(self, wire):
        m = self.mailmount
        m.start()
        m.sync()
        there = server_view(self.witness)
        equal(lambda: differences(mount_view(m.root), there), "", 5)
        wrong = violations(self.ledger, there, self.lost_since_ns)
        assert not wrong, "; ".join(wrong)
        wire.reset_counts()
        m.sync()
        changed = [line for line in wire.commands() if CHANGING.search(line)]
        assert not changed, f"the second sync sent {changed}"
        assert differences(mount_view(m.root), server_view(self.witness)) == ""
        unmount(self)

    def close(self, keep=False):
        """Ends it. keep leaves the folder for a look."""
        problem = ""
        if self.mailmount:
            self.mailmount.died_expected = True
            problem = self.mailmount.tear_down()
        if self._witness:
            self._witness.close()
            self._witness = None
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)
            shutil.rmtree(self.home, ignore_errors=True)
        return problem


class Lab:
    """Where crash tests work: a server, a program, the library of points, a folder."""

    def __init__(self, server, program, library, folder):
        self.server, self.program, self.library, self.folder = server, program, library, Path(folder)
        self.numbers = itertools.count()

    def server_log_size(self):
        try:
            return (self.server.dir / "dovecot.log").stat().st_size
        except FileNotFoundError:
            return 0

    def account(self, ledger=None, model=None, **settings):
        number = next(self.numbers)
        user, folder = f"c{os.getpid()}x{number}", self.folder / f"c{number}"
        if model:
            home = self.server.dir / "home" / user
            subprocess.run(["cp", "-a", str(model.home), str(home)], check=True)
            folder.mkdir()
            if model.mailmount.data.exists():
                subprocess.run(["cp", "-a", str(model.mailmount.data), str(folder / "data")], check=True)
        account = Account(self, user, folder, ledger or Ledger(), model.settings if model else settings)
        if model:
            account.lost_since_ns = model.lost_since_ns
        return account


def unmount(account):
    """A process that another thread is just starting has, for a moment, the files open that this one had."""
    process = account.mailmount.process
    for _ in range(50):
        try:
            account.mailmount.umount()
            return
        except AssertionError as problem:
            if "in use" not in str(problem) or process.poll() is not None:
                raise
            time.sleep(0.1)
    raise AssertionError("the mount stays in use")


def start(account):
    account.mailmount.start(**account.start_options)
