"""A private Cyrus server: on 127.0.0.1, in one folder, as the user who starts it, for any user name with one password.

Debian's packages of Cyrus and Dovecot exclude each other, so tools/check unpacks Cyrus aside, without installing it, into
the folder that MAILMOUNT_CYRUS names.
"""
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from imapclient import Witness
from private_dovecot import die_with_parent, free_port, make_authority, make_certificate

CONFIGURATION = """
configdirectory: {dir}/conf
defaultpartition: default
partition-default: {dir}/mail
proc_path: {dir}/proc
mboxname_lockpath: {dir}/lock
lmtpsocket: {run}/lmtp
idlesocket: {run}/idle
notifysocket: {run}/notify
servername: localhost
admins: {admin}
allowplaintext: yes
sasl_pwcheck_method: saslauthd
sasl_saslauthd_path: {run}/mux
sasl_mech_list: PLAIN
unixhierarchysep: yes
altnamespace: yes
autocreate_quota: 0
autocreate_users: anyone
duplicatesuppression: no
tls_server_cert: {dir}/server.pem
tls_server_key: {dir}/server.key
tls_session_timeout: 0
imapidlepoll: 1
maxlogins_per_user: 0
"""
SERVICES = """
START {{
  recover cmd="{bin}/ctl_cyrusdb -C {conf} -r"
}}
SERVICES {{
  imap cmd="{bin}/imapd -C {conf}" listen="127.0.0.1:{plain_port}"
  imaps cmd="{bin}/imapd -s -C {conf}" listen="127.0.0.1:{tls_port}"
}}
DAEMON {{
  idled cmd="{bin}/idled -C {conf}"
}}
"""
ADMIN = "admin"


class Unavailable(Exception):
    """There is no Cyrus here, and why."""


def unpacked():
    """(its programs' folder, its libraries' folder)"""
    root = os.environ.get("MAILMOUNT_CYRUS")
    if not root:
        raise Unavailable("MAILMOUNT_CYRUS names no folder with Cyrus: tools/check unpacks one")
    programs = Path(root) / "usr/lib/cyrus/bin"
    libraries = next(Path(root).glob("usr/lib/*/libcyrus.so.0"), None)
    if not os.access(programs / "imapd", os.X_OK) or not libraries:
        raise Unavailable(f"no Cyrus in {root}: tools/check could not download it")
    return programs, libraries.parent


class Porter:
    """Answers Cyrus, as saslauthd would, whether user and password are right: any user's, with the one password."""

    def __init__(self, path, password):
        self.password = password.encode()
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen(64)
        threading.Thread(target=self._serve, daemon=True).start()

    @staticmethod
    def _counted(stream):
        return stream.read(struct.unpack("!H", stream.read(2))[0])

    def _serve(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            with client, client.makefile("rb") as stream:
                try:
                    _, password, _, _ = (self._counted(stream) for _ in range(4))
                    answer = b"OK" if password == self.password else b"NO"
                    client.sendall(struct.pack("!H", len(answer)) + answer)
                except (OSError, struct.error):
                    pass

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class PrivateCyrus:
    """start() returns when it greets; stop() when all its processes are gone, at the latest with this process."""

    def __init__(self, folder, password="secret", **settings):
        self.programs, self.libraries = unpacked()
        self.dir = Path(folder)
        self.password = password
        self.settings = settings
        self.process = self.porter = self.run = None
        self.tls_port = self.plain_port = None

    @property
    def ca_file(self):
        return self.dir / "ca.pem"

    def log(self):
        try:
            return (self.dir / "master.log").read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def _prepare(self):
        for name in ("conf/db", "conf/socket", "conf/log", "mail", "proc", "lock"):
            (self.dir / name).mkdir(parents=True, exist_ok=True)
        if not self.ca_file.exists():
            make_authority(self.dir)
        if not (self.dir / "server.pem").exists():
            make_certificate(self.dir)
        self.tls_port, self.plain_port = free_port(), free_port()
        conf = self.dir / "imapd.conf"
        text = CONFIGURATION.format(dir=self.dir, run=self.run, admin=ADMIN)
        lines = dict(line.split(": ", 1) for line in text.split("\n") if line) | self.settings  # a key that is there twice is an error
        conf.write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))
        (self.dir / "cyrus.conf").write_text(SERVICES.format(
            bin=self.programs, conf=conf, plain_port=self.plain_port, tls_port=self.tls_port))

    def _greets(self):
        try:
            with socket.create_connection(("127.0.0.1", self.plain_port), 2) as s:
                s.settimeout(10)
                return s.recv(64).startswith(b"* OK")
        except OSError:
            return False

    def start(self, timeout=20):
        self.run = Path(tempfile.mkdtemp(prefix="cyrus-", dir=self.dir))
        self.porter = Porter(self.run / "mux", self.password)
        environment = {"PATH": os.defpath, "LD_LIBRARY_PATH": str(self.libraries),
                       "CYRUS_USER": pwd.getpwuid(os.getuid()).pw_name, "CYRUS_VERBOSE": "1"}
        for _ in range(5):  # somebody can be faster with a port
            self._prepare()
            with open(self.dir / "master.log", "ab") as log:
                self.process = subprocess.Popen(
                    [str(self.programs / "master"), "-C", str(self.dir / "imapd.conf"), "-M", str(self.dir / "cyrus.conf"),
                     "-p", str(self.dir / "master.pid"), "-D"],
                    env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                    preexec_fn=die_with_parent, cwd=self.dir)
            deadline = time.monotonic() + timeout
            while time.monotonic() < deadline and self.process.poll() is None:
                if self._greets():
                    return self
                time.sleep(0.05)
            self._end_processes()
        self.stop()
        raise RuntimeError(f"cyrus did not start:\n{self.log()}")

    def set_quota(self, user, kilobytes):
        admin = Witness(self.plain_port, ADMIN, self.password)
        admin.command("SETQUOTA", f"user/{user}", f"(STORAGE {kilobytes})")
        admin.close()

    def _end_processes(self):
        """The master and its children are a session and a group of their own."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def stop(self):
        if self.process:
            self._end_processes()
            self.process = None
        if self.porter:
            self.porter.close()
            self.porter = None
        shutil.rmtree(self.run, ignore_errors=True)
