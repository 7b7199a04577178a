"""mailmount under test: an account's configuration, the mounted daemon, the commands beside it."""
import ctypes
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support import eventually, letters, lf, mountinfo, read_box, token_of

PR_SET_PDEATHSIG = 1
END_SECONDS = 20


def _child_setup():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Mailmount:
    """One account and its mount point, in a folder of its own. Commands run with that account's configuration."""

    def __init__(self, program, folder, **settings):
        self.program = str(program)
        self.folder = Path(folder)
        self.root = self.folder / "Mail"
        self.data = self.folder / "data"
        self.config_file = self.folder / "config"
        self.log_file = self.folder / "mount.log"
        self.settings = {"data_dir": str(self.data), "log_level": "debug", **settings}
        self.process = None
        self.died_expected = False
        self.folder.mkdir(parents=True, exist_ok=True)
        self.root.mkdir(exist_ok=True)
        self.write_config()

    # Configuration and commands

    def write_config(self, text=None):
        if text is None:
            text = "[test]\n" + "".join(f"{k} = {v}\n" for k, v in self.settings.items() if v is not None)
        self.config_file.touch(mode=0o600)
        self.config_file.write_text(text)

    def set(self, **settings):
        self.settings.update(settings)
        self.write_config()

    @property
    def environment(self):
        return {
            **os.environ, "MAILMOUNT_CONFIG": str(self.config_file), "HOME": str(self.folder),
            "ASAN_OPTIONS": f"log_path={self.folder}/sanitizer:detect_stack_use_after_return=1",
            "UBSAN_OPTIONS": f"log_path={self.folder}/sanitizer:print_stacktrace=1:halt_on_error=1",
        }

    def run(self, *arguments, timeout=60, prefix=(), **keywords):
        """Runs a command to its end; stdout and stderr are text."""
        return subprocess.run([*prefix, self.program, *map(str, arguments)], env=self.environment, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=timeout, cwd="/", **keywords)

    def status(self):
        result = self.run("status", "--json")
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def sync(self, timeout=45):
        """Until both sides agree."""
        result = self.run("sync", f"--wait={timeout}", timeout=timeout + 20)
        assert result.returncode == 0, f"sync: exit status {result.returncode}: {result.stderr}{result.stdout}"

    def need(self, command):
        """Skips the test where this version has no such command."""
        if self.run("help", command).returncode != 0:
            pytest.skip(f"this version has no {command}")

    def need_key(self, key):
        """Skips the test where this version has no such setting."""
        if f"\n{key} = " not in self.run("config").stdout:
            pytest.skip(f"this version has no setting {key}")

    # The daemon

    def start(self, options=(), prefix=(), wait=True, timeout=40):
        """Mounts in the foreground, as a child that goes when the tests go. Returns the root when it is mounted."""
        log = open(self.log_file, "ab")
        with log:
            self.process = subprocess.Popen(
                [*prefix, self.program, "mount", "-f", *options, "test", str(self.root)], env=self.environment, cwd="/",
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=_child_setup, start_new_session=True)
        self.died_expected = False
        if wait:
            eventually(self._mounted_or_dead, timeout)
        return self.root

    def _mounted_or_dead(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"mailmount mount ended with {self.process.returncode}:\n{self.log()}")
        return self.is_mounted() and os.listdir(self.root)  # a dead mount is in the table too

    def mount(self, **keywords):
        """start(), and the first sync is over."""
        self.start(**keywords)
        self.sync()
        return self.root

    def is_mounted(self):
        return str(self.root) in mountinfo()

    def log(self):
        """What the daemon had to say."""
        text = ""
        for path in (self.log_file, self.data / "log"):
            try:
                text += path.read_text(errors="replace")
            except OSError:
                pass
        return text

    def umount(self, timeout=30):
        """A clean end, with the command; the daemon's own exit status must be 0."""
        result = self.run("umount", self.root, timeout=timeout)
        assert result.returncode == 0, result.stderr
        if self.process:
            assert self.process.wait(timeout) == 0, self.log()
            self.process = None
        assert not self.is_mounted()

    def kill9(self):
        """The end that leaves no time for anything. The dead mount stays, for the next mount to clean up."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def remount(self):
        self.umount()
        return self.start()

    def tear_down(self):
        """Leaves nothing behind. Returns what went wrong, as text."""
        problem = ""
        if self.process:
            code = self.process.poll()
            if code is None:
                self.process.terminate()
                try:
                    code = self.process.wait(END_SECONDS)
                except subprocess.TimeoutExpired:
                    problem += f"mailmount did not end within {END_SECONDS} s of SIGTERM\n{self._threads()}{self.log()[-5000:]}"
                    problem += self._end_by_force()
                    code = 0
            if code != 0 and not self.died_expected:
                problem += f"mailmount ended with status {code}\n"
        self.detach()
        for report in self.folder.glob("sanitizer*"):
            problem += report.read_text(errors="replace")
        return problem

    def _threads(self):
        """What the daemon's threads wait for, for a report."""
        text = ""
        for task in sorted(Path(f"/proc/{self.process.pid}/task").glob("*")):
            try:
                text += " ".join((task / name).read_text().strip() for name in ("comm", "wchan", "syscall")) + "\n"
            except OSError as error:
                text += f"{error}\n"
        if shutil.which("gdb"):
            text += subprocess.run(["gdb", "-p", str(self.process.pid), "-batch", "-ex", "thread apply all backtrace"],
                                   text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   timeout=60, check=False).stdout
        return text

    def _end_by_force(self):
        self.process.kill()
        try:
            self.process.wait(10)
            return ""
        except subprocess.TimeoutExpired:
            return "... and not even by SIGKILL: one of its threads waits for its own mount\n"

    def detach(self):
        deadline = time.monotonic() + 5
        while self.is_mounted() and time.monotonic() < deadline:
            subprocess.run(["fusermount3", "-uzq", str(self.root)], check=False)
            time.sleep(0.05)

    # Looking at the tree

    def box(self, name="INBOX"):
        return self.root / name

    def read(self, name="INBOX"):
        """{token: octets}"""
        return {token: octets for token, (_, octets) in read_box(self.box(name)).items()}

    def tokens(self, name="INBOX"):
        return sorted(read_box(self.box(name)))

    def path(self, token, name="INBOX"):
        found = read_box(self.box(name))
        assert token in found, f"{token} is not in {name}: {sorted(found)}"
        return found[token][0]

    def letters(self, token, name="INBOX"):
        return letters(self.path(token, name).name)

    # Doing what mail programs do

    def retag(self, token, wanted, name="INBOX", sub="cur"):
        """Gives the message other flag letters, as mail programs do, and returns its new path."""
        path = self.path(token, name)
        target = self.box(name) / sub / f"{path.name.partition(':2,')[0]}:2,{wanted}"
        if target != path:
            os.rename(path, target)
        return target

    def rewrite(self, path, octets):
        """Another text under the same name, as mail programs save drafts."""
        scratch = path.parents[1] / "tmp" / f"rewrite_{os.getpid()}.{time.monotonic_ns()}"
        scratch.write_bytes(lf(octets))
        os.rename(scratch, path)

    def deliver(self, octets, name="INBOX", info="", how="rename", mtime=None, sub=None, served=True):
        """Brings a message into the mailbox in one of the ways that programs have. Returns its path."""
        if served:
            octets = lf(octets)
        sub = sub or ("cur" if info else "new")
        base = f"{int(time.time())}.{token_of(octets) or 'x'}_{os.getpid()}.test"
        final = self.box(name) / sub / (f"{base}:2,{info}" if info or sub == "cur" else base)
        scratch = final if how == "direct" else self.box(name) / "tmp" / base
        with open(scratch, "xb") as out:
            out.write(octets)
            if how != "direct":
                out.flush()
                os.fsync(out.fileno())
        if mtime is not None:
            os.utime(scratch, (mtime, mtime))
        if how == "rename":
            os.rename(scratch, final)
        elif how == "link":
            os.link(scratch, final)
            os.unlink(scratch)
        return final
