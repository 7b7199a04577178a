"""What a run works with: a folder, servers, mounts, wires; and all of it gone at the end, whatever happened."""
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from functools import cached_property
from pathlib import Path

import janitor
from benchlib.corpus import Corpora
from benchlib.floors import FloorMount, built_with
from benchlib.timing import seconds
from benchlib.wire import FarWire, Notes, Wire
from daemon import Mailmount
from imapclient import Witness
from private_dovecot import PrivateDovecot, make_authority, make_certificate

LOCATION = "mdbox:~/mail"
SYNC_S = 3600


class Account(Mailmount):
    """A user of the server with a copy of a corpus, and mailmount for it, with the settings that it has by itself."""

    def __init__(self, stage, server, corpus, user, **settings):
        self.stage, self.corpus, self.user, self.server = stage, corpus, user, server
        super().__init__(stage.program, stage.scratch(), **{
            "host": "127.0.0.1", "port": self.server.tls_port, "ca_file": self.server.ca_file, "user": user,
            "password": self.server.password, "log_level": "info", **settings})

    def start_and_wait(self):
        """Starts, and returns when the root is there; to the millisecond, unlike start()."""
        outside = os.stat(self.root).st_dev
        self.start(wait=False)
        while os.stat(self.root).st_dev == outside:
            if self.process.poll() is not None:
                raise RuntimeError(f"mailmount mount ended with {self.process.returncode}:\n{self.log()}")
            time.sleep(0.0005)

    def first_sync(self):
        """From an empty cache to a mount that has all of it."""
        self.start_and_wait()
        self.sync(SYNC_S)

    def check_whole(self):
        there = sum(len(os.listdir(self.box(name) / sub)) for name in self.corpus.mailboxes for sub in ("cur", "new"))
        if there != self.corpus.messages:
            raise RuntimeError(f"{there} messages in the mount, {self.corpus.messages} on the server")

    def end(self):
        """Of the mount. What it had on disk stays until the run is over: see Stage."""
        problem = self.tear_down()
        self.stage.accounts.discard(self)
        if problem:
            raise RuntimeError(problem)


class Stage:
    """program: mailmount; folder: where to work, on the disk that is measured; close() leaves nothing of it.

    Nothing is removed before that. ext4 does not give the inode of a removed file to a new one for five minutes, and to look
    for others takes several times as long as to make a file: whoever had the turn after many were removed would pay for it."""

    def __init__(self, program, cache, say):
        self.program, self.floorfs, self.say = program, built_with(program, "floorfs"), say
        tempfile.tempdir = str(cache)  # where the janitor looks for what killed runs left
        janitor.clean()
        self.folder = Path(tempfile.mkdtemp(prefix=janitor.PREFIX))
        self.folder.chmod(0o755)
        janitor.claim(self.folder)
        self.accounts, self.closers, self.servers = set(), [], []
        self.kept = {}
        self.numbers = itertools.count(1)
        self.corpora = Corpora(cache, self._maker, say)
        self.server = None

    def begin(self):
        make_authority(self.folder)
        make_certificate(self.folder)
        self.server = self.new_server("server")

    def new_server(self, name, *, extra="", **options):
        """With memory for a mailbox of a million messages: an APPEND to that takes more than Dovecot gives it by itself."""
        folder = self.folder / name
        folder.mkdir()
        for file in ("ca.pem", "ca.key", "server.pem", "server.key"):
            shutil.copy2(self.folder / file, folder / file)
        user = {"as_user": "nobody"} if os.getuid() == 0 else {}
        server = PrivateDovecot(folder, location=LOCATION, extra=f"default_vsz_limit = 4G\n{extra}", **user, **options)
        self.servers.append(server)
        return server.start()

    def _maker(self):
        """For corpora; it need not survive a power failure."""
        return self.new_server(f"maker{next(self.numbers)}", extra="mail_fsync = never\n")

    @cached_property
    def compressing_server(self):
        """It offers COMPRESS, which on a short line costs more than it saves."""
        return self.new_server("compressing", plugins="zlib", imap_plugins="imap_zlib")

    def new_user(self, corpus, server=None):
        """With a copy of that mail."""
        server = server or self.server
        user = f"u{next(self.numbers)}"
        home = server.dir / "home" / user
        subprocess.run(["cp", "-a", "--reflink=auto", self.corpora.home(corpus), home], check=True)
        if os.getuid() == 0:
            owner = server.account
            subprocess.run(["chown", "-R", f"{owner.pw_uid}:{owner.pw_gid}", home], check=True)
        return user

    def account(self, corpus, user=None, server=None, **settings):
        """A new mount, not started."""
        server = server or self.server
        made = Account(self, server, corpus, user or self.new_user(corpus, server), **settings)
        self.accounts.add(made)
        return made

    def synced(self, corpus):
        """An account that is in step, and stays for all measures of the run that change nothing much."""
        if corpus not in self.kept:
            self.say(f"first sync of {corpus.messages:,} messages, for what follows")
            account = self.account(corpus)
            account.first_sync_s = seconds(account.first_sync)
            account.check_whole()
            self.kept[corpus] = account
        account = self.kept[corpus]
        if not account.process:
            account.start_and_wait()
        return account

    def scratch(self):
        """The name of a new file or folder."""
        return self.folder / f"s{next(self.numbers)}"

    def floor_mount(self, tree, *options):
        """A native tree in floorfs, not mounted yet; None where floorfs was not built."""
        if not self.floorfs:
            self.say(f"no floorfs was built with {self.program}: what FUSE itself costs is not measured")
            return None
        root = self.scratch()
        root.mkdir()
        made = FloorMount([self.floorfs, *options, tree, root])
        self.closers.append(made)
        return made

    def witness(self, user):
        made = Witness(self.server.plain_port, user, self.server.password)
        self.closers.append(made)
        return made

    def far_wire(self, port, round_trip_ms):
        made = FarWire(built_with(self.program, "farwire"), port, round_trip_ms)
        self.closers.append(made)
        return made

    def noted_wire(self, port, round_trip_ms=0):
        """(wire, notes)"""
        notes = Notes()
        made = Wire(port, round_trip_ms / 2000, note=notes)
        self.closers.append(made)
        return made, notes

    def remove_strays(self):
        """The mounts of a measure that failed: all but those that are kept for the run."""
        for account in self.accounts - set(self.kept.values()):
            self.say(account.log()[-2000:] + account.tear_down())
            self.accounts.discard(account)

    def close(self):
        for account in list(self.accounts):
            problem = account.tear_down()
            if problem:
                self.say(problem)
        for thing in self.closers:
            try:
                thing.close()
            except OSError:
                pass
        for server in self.servers:
            server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
