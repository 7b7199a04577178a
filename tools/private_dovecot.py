#!/usr/bin/python3
"""A Dovecot of one's own: unprivileged, on loopback, everything in one folder (but for sockets, where that is deep).

tools/quickstart starts one for people who want to try mailmount without an account, and the integration
tests start several. It shares nothing with a Dovecot that the machine may run already.

    private_dovecot.py start DIR --user NAME --password-file FILE [--as-user NOBODY]
    private_dovecot.py stop DIR

"start" prints the port for IMAP over TLS. DIR/ca.pem is the certificate authority, made on the spot, which
signed the server's certificate for 127.0.0.1 and localhost. With --as-user, root hands the whole server
over to that user, for a mail server must not touch mail as root.
"""
import argparse
import ctypes
import os
import pwd
import grp
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIGURATION = """
base_dir = {run}
state_dir = {dir}/state
log_path = {dir}/dovecot.log
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <{cert}
ssl_key = <{key}
disable_plaintext_auth = no
auth_mechanisms = plain login
mail_location = {location}
mailbox_list_index = yes
mail_plugins = $mail_plugins {plugins}
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
first_valid_gid = 1
default_process_limit = 200
default_client_limit = 1000
auth_failure_delay = 0
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={dir}/home/%u
}}
service anvil {{
  chroot =
}}
service auth {{
  unix_listener auth-userdb {{
    mode = 0600
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0600
  }}
}}
service imap-login {{
  chroot =
  service_count = 0
  inet_listener imap {{
    port = {plain_port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
protocol imap {{
  mail_max_userip_connections = 200
  mail_plugins = $mail_plugins {imap_plugins}
{capability}
}}
namespace inbox {{
  inbox = yes
  separator = {separator}
  mailbox Trash {{
    special_use = \\Trash
  }}
  mailbox Sent {{
    special_use = \\Sent
  }}
  mailbox Drafts {{
    special_use = \\Drafts
  }}
}}
{extra}
"""


LONGEST_SOCKET = "token-login/imap-urlauth"  # of those in base_dir
SOCKET_PATH_MAX = 107


def die_with_parent():
    """For subprocess' preexec_fn: the child is ended when the thread that started it is gone."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGTERM)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def openssl(*arguments, **keywords):
    result = subprocess.run(["openssl", *arguments], capture_output=True, text=True, **keywords)
    if result.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]}: {result.stderr.strip()}")


def make_authority(folder):
    """Writes ca.pem and ca.key into folder."""
    folder = Path(folder)
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650",
            "-subj", "/CN=private mailmount authority", "-keyout", str(folder / "ca.key"),
            "-out", str(folder / "ca.pem"), "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    os.chmod(folder / "ca.key", 0o600)


def make_certificate(folder, stem="server", names="IP:127.0.0.1,DNS:localhost", days=3650):
    """Writes STEM.pem and STEM.key into folder, signed by the authority there."""
    folder = Path(folder)
    request = folder / f"{stem}.csr"
    extensions = folder / f"{stem}.ext"
    extensions.write_text(f"subjectAltName={names}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={stem}",
            "-keyout", str(folder / f"{stem}.key"), "-out", str(request))
    openssl("x509", "-req", "-in", str(request), "-CA", str(folder / "ca.pem"), "-CAkey", str(folder / "ca.key"),
            "-CAcreateserial", "-days", str(days), "-extfile", str(extensions), "-out", str(folder / f"{stem}.pem"))
    os.chmod(folder / f"{stem}.key", 0o600)
    request.unlink()
    extensions.unlink()


class PrivateDovecot:
    """One server. start() returns when it greets; stop() when all its processes are gone."""

    def __init__(self, folder, password="secret", *, as_user=None, location="sdbox:~/mail", separator="/",
                 capability=None, plugins="", imap_plugins="", extra="", certificate="server"):
        self.dir = Path(folder)
        self.password = password
        self.account = pwd.getpwnam(as_user) if as_user else pwd.getpwuid(os.getuid())
        self.location = location
        self.separator = separator
        self.capability = capability
        self.plugins = plugins
        self.imap_plugins = imap_plugins
        self.extra = extra
        self.certificate = certificate
        self.process = None
        self.tls_port = self.plain_port = None

    @property
    def config(self):
        return self.dir / "dovecot.conf"

    @property
    def ca_file(self):
        return self.dir / "ca.pem"

    def log(self):
        try:
            return (self.dir / "dovecot.log").read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def _make_run(self):
        """A socket's path must be short. In a folder that is deep, run is a link to one that is not."""
        run = self.dir / "run"
        if run.exists():
            return
        if len(os.fsencode(run / LONGEST_SOCKET)) <= SOCKET_PATH_MAX:
            run.mkdir()
            return
        run.unlink(missing_ok=True)  # dangling, when the machine was started anew
        run.symlink_to(tempfile.mkdtemp(prefix="mailmount-dovecot-", dir="/tmp"))

    def _remove_run(self):
        run = self.dir / "run"
        if run.is_symlink():
            shutil.rmtree(run.resolve(), ignore_errors=True)
            run.unlink()

    def _prepare(self):
        self.dir.mkdir(parents=True, exist_ok=True)
        if not self.ca_file.exists():
            make_authority(self.dir)
        if not (self.dir / f"{self.certificate}.pem").exists():
            make_certificate(self.dir, self.certificate)
        for name in ("state", "home"):
            (self.dir / name).mkdir(exist_ok=True)
        self._make_run()
        self.tls_port, self.plain_port = self.tls_port or free_port(), self.plain_port or free_port()
        capability = f"  imap_capability = {self.capability}" if self.capability else ""
        self.config.touch(mode=0o600)
        self.config.write_text(CONFIGURATION.format(
            dir=self.dir, run=(self.dir / "run").resolve(), cert=self.dir / f"{self.certificate}.pem", key=self.dir / f"{self.certificate}.key",
            location=self.location, separator=self.separator, user=self.account.pw_name,
            group=grp.getgrgid(self.account.pw_gid).gr_name, uid=self.account.pw_uid, gid=self.account.pw_gid,
            password=self.password, plain_port=self.plain_port, tls_port=self.tls_port, capability=capability,
            plugins=self.plugins, imap_plugins=self.imap_plugins, extra=self.extra))
        if os.getuid() == 0 and self.account.pw_uid != 0:
            for path in (self.dir, (self.dir / "run").resolve(), *self.dir.rglob("*")):
                os.chown(path, self.account.pw_uid, self.account.pw_gid, follow_symlinks=False)

    def _command(self, *arguments, options=()):
        command = [*arguments]
        if os.getuid() == 0 and self.account.pw_uid != 0:
            command = ["setpriv", f"--reuid={self.account.pw_uid}", f"--regid={self.account.pw_gid}",
                       "--clear-groups", *options, *command]
        return command

    def _greets(self):
        try:
            with socket.create_connection(("127.0.0.1", self.plain_port), 2) as s:
                return s.recv(64).startswith(b"* OK")
        except OSError:
            return False

    def start(self, *, stay=False, timeout=20):
        """With stay, the server outlives this process; else it ends with it."""
        program = shutil.which("dovecot") or "/usr/sbin/dovecot"
        dying = () if stay else ("--pdeathsig", "TERM")  # a change of user forgets what die_with_parent() has asked for
        for _ in range(5):
            self._prepare()
            self.process = subprocess.Popen(
                self._command(program, "-F", "-c", str(self.config), options=dying), stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
                preexec_fn=None if stay else die_with_parent, cwd="/")
            deadline = time.monotonic() + timeout
            while time.monotonic() < deadline and self.process.poll() is None:
                if self._greets():
                    return self
                time.sleep(0.02)
            if self.process.poll() is None or "Address already in use" not in self.log():
                break
            self.tls_port = self.plain_port = None  # somebody was faster: other ports
            (self.dir / "dovecot.log").unlink()
        self.stop()
        raise RuntimeError(f"dovecot did not start:\n{self.log()}")

    def pid(self):
        if self.process:
            return self.process.pid
        try:
            return int((self.dir / "run" / "master.pid").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def _is_ours(self, pid):
        try:
            return str(self.config).encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False

    def stop(self, timeout=10):
        """Ends the server, by its process id and only if that is still this server. The master takes its processes with it."""
        pid = self.pid()
        if pid and self._is_ours(pid):
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + timeout
            while self._is_ours(pid) and time.monotonic() < deadline:
                if self.process and self.process.poll() is not None:
                    break
                time.sleep(0.02)
            if self._is_ours(pid):
                os.kill(pid, signal.SIGKILL)
        if self.process:
            self.process.wait()
            self.process = None
        self._remove_run()

    def doveadm(self, *arguments, check=True, **keywords):
        """Runs doveadm on this server, as the owner of the mail, untouched by the surrounding environment."""
        program = shutil.which("doveadm") or "/usr/bin/doveadm"
        return subprocess.run(self._command("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", program, "-c",
                                            str(self.config), *arguments),
                              check=check, capture_output=True, cwd="/", **keywords)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("start", "stop"))
    parser.add_argument("dir", type=Path)
    parser.add_argument("--password-file", type=Path)
    parser.add_argument("--as-user")
    arguments = parser.parse_args()
    if arguments.command == "stop":
        PrivateDovecot(arguments.dir.absolute()).stop()
        return
    password = arguments.password_file.read_text().strip() if arguments.password_file else "secret"
    server = PrivateDovecot(arguments.dir.absolute(), password, as_user=arguments.as_user)
    server.start(stay=True)
    print(server.tls_port)


if __name__ == "__main__":
    try:
        main()
    except (OSError, RuntimeError) as error:
        sys.exit(f"private_dovecot: {error}")
