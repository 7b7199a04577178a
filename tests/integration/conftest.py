"""Fixtures: servers, accounts, mounts; and the order in the house afterwards, whatever happened.

MAILMOUNT names the program under test (default: the newest of build*/main/mailmount). Everything lives in one folder below
$TMPDIR that carries the test process' id; the next run removes what a killed one left.
"""
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "tools")]

import janitor  # noqa: E402
import share  # noqa: E402
from daemon import Mailmount  # noqa: E402
from imapclient import Witness  # noqa: E402
from private_cyrus import PrivateCyrus, Unavailable  # noqa: E402
from private_dovecot import PrivateDovecot, make_authority, make_certificate  # noqa: E402
from proxy import Proxy  # noqa: E402

TEST_SECONDS = 150  # a test that takes longer hangs: its daemons are killed, which ends every file operation it waits for
NUMBERS = itertools.count(1)

# Capabilities as servers offer them, for tests that have to hold at every speed.
CORE = "IMAP4rev1 SASL-IR LITERAL+ ID ENABLE NAMESPACE CHILDREN UNSELECT"
SERVERS = {
    "full": None,
    "no-notify": CORE + " IDLE UIDPLUS MOVE CONDSTORE QRESYNC ESEARCH LIST-EXTENDED LIST-STATUS SPECIAL-USE BINARY",
    "condstore": CORE + " IDLE UIDPLUS MOVE CONDSTORE ESEARCH LIST-EXTENDED SPECIAL-USE",
    "plain": "IMAP4rev1 IDLE UIDPLUS",
    "bare": "IMAP4rev1",
}


def find_program():
    if os.environ.get("MAILMOUNT"):
        return Path(os.environ["MAILMOUNT"])
    built = sorted(HERE.parents[1].glob("build*/main/mailmount"), key=lambda p: p.stat().st_mtime)
    return built[-1] if built else None


@pytest.fixture(scope="session")
def program():
    found = find_program()
    assert found and os.access(found, os.X_OK), "no mailmount to test: build it, or set MAILMOUNT"
    return found


@pytest.fixture(scope="session")
def workplace():
    """The folder of this test process; short, for it holds sockets."""
    janitor.clean()
    folder = Path(tempfile.mkdtemp(prefix=janitor.PREFIX))
    folder.chmod(0o755)
    janitor.claim(folder)
    make_authority(folder)
    make_certificate(folder)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


class Servers:
    """Starts each kind of server once, when it is first asked for."""

    def __init__(self, workplace):
        self.workplace = workplace
        self.running = {}

    def folder(self, name):
        """One for a server, with its certificate."""
        folder = self.workplace / name
        folder.mkdir(exist_ok=True)
        for name in ("ca.pem", "ca.key", "server.pem", "server.key"):
            shutil.copy2(self.workplace / name, folder / name)
        return folder

    def get(self, kind="full", **options):
        if kind not in self.running:
            options.setdefault("capability", SERVERS.get(kind))
            folder = self.folder(f"dovecot-{kind}")
            user = {"as_user": "nobody"} if os.getuid() == 0 else {}
            self.running[kind] = PrivateDovecot(folder, **user, **options).start()
        return self.running[kind]

    def without(self, *names):
        """Dovecot with all that it offers but these capabilities."""
        if not names:
            return self.get("full")
        witness = Witness(self.get("full").plain_port, "capabilities", self.get("full").password)
        offered = witness.command("CAPABILITY")[0][0][0].decode().split()[1:]
        witness.close()
        assert not set(names) - set(offered), "this Dovecot does not offer them anyway"
        return self.get("-".join(("no", *names)), capability=" ".join(name for name in offered if name not in names))

    def cyrus(self):
        """Skips the test where Cyrus is not to be had."""
        if "cyrus" not in self.running:
            try:
                self.running["cyrus"] = PrivateCyrus(self.folder("cyrus")).start()
            except Unavailable as reason:
                pytest.skip(str(reason))
        return self.running["cyrus"]

    def stop(self):
        for server in self.running.values():
            server.stop()


@pytest.fixture(scope="session")
def servers(workplace):
    result = Servers(workplace)
    yield result
    result.stop()


class World:
    """What a test has: a server with a user nobody else uses, a witness, an account, and a wire to pull."""

    def __init__(self, program, folder, server, number):
        self.program = program
        self.folder = folder
        self.server = server
        self.user = f"u{os.getpid()}x{number}"
        self.witnesses, self.proxies, self.daemons = [], [], []
        self._witness = self._mailmount = None

    @property
    def witness(self):
        if not self._witness:
            self._witness = self.new_witness()
        return self._witness

    def new_witness(self):
        self.witnesses.append(Witness(self.server.plain_port, self.user, self.server.password))
        return self.witnesses[-1]

    def new_proxy(self):
        """A wire to the server's plaintext port."""
        self.proxies.append(Proxy(self.server.plain_port))
        return self.proxies[-1]

    def new_mailmount(self, **settings):
        """Another installation for the same user, by default over TLS with the server's authority."""
        defaults = {"host": "127.0.0.1", "port": self.server.tls_port, "ca_file": self.server.ca_file,
                    "user": self.user, "password": self.server.password, "poll": 2}
        number = len(self.daemons)
        made = Mailmount(self.program, self.folder / f"m{number}", **{**defaults, **settings})
        self.daemons.append(made)
        return made

    def through(self, proxy, **settings):
        return self.new_mailmount(port=proxy.port, tls="none", ca_file=None, **settings)

    @property
    def mailmount(self):
        if not self._mailmount:
            self._mailmount = self.new_mailmount()
        return self._mailmount

    def kill(self):
        for daemon in self.daemons:
            if daemon.process and daemon.process.poll() is None:
                daemon.died_expected = True
                daemon.process.kill()

    def logs(self):
        for daemon in self.daemons:
            yield f"mailmount {daemon.folder.name}", daemon.log()[-30_000:]
        lines = [line for line in self.server.log().splitlines() if self.user in line]
        yield "server", "\n".join(lines[-60:])

    def tear_down(self):
        problems = "".join(daemon.tear_down() for daemon in self.daemons)
        for thing in self.witnesses + self.proxies:
            thing.close()
        return problems


def _world(request, program, workplace, server):
    number = next(NUMBERS)
    folder = workplace / f"t{number}"
    folder.mkdir()
    world = World(program, folder, server, number)
    request.node.world = world
    hung = threading.Event()

    def give_up():
        hung.set()
        world.kill()
    marker = request.node.get_closest_marker("seconds")
    seconds = marker.args[0] if marker else TEST_SECONDS
    watchdog = threading.Timer(seconds, give_up)
    watchdog.daemon = True
    watchdog.start()
    yield world
    watchdog.cancel()
    problems = world.tear_down()
    shutil.rmtree(folder, ignore_errors=True)
    assert not hung.is_set(), f"took longer than {seconds} s"
    assert not problems, problems


@pytest.fixture
def world(request, program, workplace, servers):
    yield from _world(request, program, workplace, servers.get("full"))


@pytest.fixture(params=list(SERVERS))
def any_world(request, program, workplace, servers):
    """The same, once with each kind of server."""
    yield from _world(request, program, workplace, servers.get(request.param))


@pytest.fixture
def world_at(request, program, workplace):
    """For tests that bring their own server: world_at(server) makes the world."""
    made = []

    def make(server):
        made.append(_world(request, program, workplace, server))
        return next(made[-1])
    yield make
    for generator in made:
        next(generator, None)


@pytest.fixture
def mounted(world):
    """An empty account, mounted and in sync."""
    world.mailmount.mount()
    return world


def pytest_collection_modifyitems(config, items):
    if not os.environ.get("PYTEST_XDIST_WORKER"):
        return
    taken = share.chosen(items)
    config.hook.pytest_deselected(items=[item for item in items if item not in taken])
    items[:] = taken


def pytest_configure(config):
    config.addinivalue_line("markers", "xdist_group(name): tests that one worker runs, one after the other")
    config.addinivalue_line("markers", "seconds(n): how long the test may take, instead of TEST_SECONDS")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure comes with what the daemons and the server had to say."""
    outcome = yield
    report = outcome.get_result()
    world = getattr(item, "world", None)
    if report.failed and world:
        if call.when == "call":
            item.world_logs = list(world.logs())
        for title, text in getattr(item, "world_logs", ()) if call.when == "call" else ():
            report.sections.append((title, text))


def pytest_terminal_summary(terminalreporter):
    """What tests counted, crash points, cut positions and lies, also in other processes."""
    lies = set()
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, value in report.user_properties if report.when == "call" else ():
            if name in ("crash points", "cut positions"):
                terminalreporter.write_line(f"{name}, {value}")
            elif name == "lie":
                lies.add(tuple(value))
    if lies:
        terminalreporter.write_line(f"lies, of one server each: {len({lie for lie, _ in lies})}, {len(lies)} with its kinds of server")
