"""Mistakes in the configuration, the account, the mount point: one clear line each, and the right exit status."""
import os
import re
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from private_dovecot import PrivateDovecot, free_port, make_authority, make_certificate
from support import eventually, mail

USAGE, DATA, UNAVAILABLE, CREATE, IO, AGAIN, DENIED, CONFIG = 64, 65, 69, 73, 74, 75, 77, 78


def fails(m, status, *words, arguments=None, others=""):
    """mount must fail with this status, on one line with these words, and leave nothing mounted. Beside that line there
    are those of the log, and of others: what was run for it."""
    result = m.run(*(arguments or ("mount", "-f", "test", m.root)), timeout=60)
    assert not m.is_mounted()
    assert result.returncode == status, result.stderr
    lines = [line for line in result.stderr.replace(others, "", 1).splitlines() if not re.match(r"\d{4}-\d\d-\d\dT", line)]
    assert len(lines) == 1 and lines[0].startswith("mailmount: "), f"not one message: {result.stderr!r}"
    assert result.stdout == ""
    message = lines[0].lower()
    for word in words:
        assert re.search(word.lower(), message), f"{word!r} is not in {message!r}"
    return message


CONFIGURATIONS = {
    "unknown key": ("[test]\nhost = h\nuser = u\nhots = x\n", ["hots", ":4"]),
    "bad number": ("[test]\nhost = h\nuser = u\nport = many\n", ["port", ":4"]),
    "bad port": ("[test]\nhost = h\nport = 70000\nuser = u\n", ["port", ":3"]),
    "bad choice": ("[test]\nhost = h\nuser = u\ntls = maybe\n", ["tls", ":4"]),
    "double key": ("[test]\nhost = h\nhost = i\nuser = u\n", ["host", ":3"]),
    "double section": ("[test]\nhost = h\nuser = u\n[test]\nhost = h\n", ["test", ":4"]),
    "no host": ("[test]\nuser = u\n", ["host"]),
    "no user": ("[test]\nhost = h\npassword = x\n", ["user"]),
    "no section": ("host = h\n", [":1"]),
    "empty": ("", ["account|section"]),
    "no INI": ("[test\nhost = h\n", [":1"]),
    "plaintext": ("[test]\nhost = imap.example.org\nuser = u\npassword = x\ntls = none\n", ["tls|plaintext"]),
    "binary": ("\x01\x02\x03\n", [":1"]),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_configuration(world, name):
    text, words = CONFIGURATIONS[name]
    world.mailmount.write_config(text)
    fails(world.mailmount, CONFIG, *words)


def test_no_configuration(world):
    world.mailmount.config_file.unlink()
    fails(world.mailmount, CONFIG, "config")


def test_a_directory_as_configuration(world):
    world.mailmount.config_file.unlink()
    world.mailmount.config_file.mkdir()
    fails(world.mailmount, CONFIG, "config")


def test_password_that_others_can_read(world):
    world.mailmount.config_file.chmod(0o644)
    fails(world.mailmount, CONFIG, "password")


def test_bad_option(world):
    fails(world.mailmount, USAGE, "port", arguments=("mount", "-f", "-o", "port=x", "test", world.mailmount.root))
    fails(world.mailmount, USAGE, "nonsense", arguments=("mount", "-f", "-o", "nonsense=1", "test", world.mailmount.root))


@pytest.mark.skipif(os.getuid() == 0, reason="root may mount anywhere, for everybody")
def test_what_fusermount3_refuses(world):
    """Its words are part of the one line, in the foreground and in the background."""
    m = world.mailmount
    m.sync()
    m.root.chmod(0o555)
    for arguments in (("mount", "-f", "test", m.root), ("mount", "test", m.root),
                      ("mount", "-o", "auto_unmount", "test", m.root)):
        fails(m, CREATE, "cannot be mounted on: fusermount3: .*no write access", arguments=arguments)


def everybody_may_allow_others():
    try:
        return re.search(r"(?m)^\s*user_allow_other", Path("/etc/fuse.conf").read_text())
    except OSError:
        return False


@pytest.mark.skipif(os.getuid() == 0 or everybody_may_allow_others(), reason="here allow_other is allowed")
@pytest.mark.parametrize("option", ["allow_other", "allow_root"])
def test_options_that_this_machine_does_not_allow(world, option):
    m = world.mailmount
    m.sync()
    fails(m, CREATE, "user_allow_other.* /etc/fuse.conf", arguments=("mount", "-o", option, "test", m.root))


def test_options_of_fstab(world):
    """Words that others on such a line are meant for are no reason to fail, and nothing is said about them."""
    m = world.mailmount
    m.sync()
    options = "rw,noauto,user,nofail,_netdev,nosuid,nodev,noexec,noatime,nodiratime,relatime,sync,dirsync,x-systemd.automount"
    result = m.run("mount", "-o", options, "test", m.root)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    m.umount()


def test_options_override(world):
    world.witness.append("INBOX", mail("x"))
    m = world.mailmount
    m.set(port=1)
    m.start(options=["-o", f"port={world.server.tls_port},line_endings=crlf"])
    eventually(lambda: m.read() == {"x": mail("x")})


def test_wrong_password(world):
    world.mailmount.set(password="wrong")
    message = fails(world.mailmount, DENIED)
    assert "wrong" not in message.replace("wrong password", ""), "the password itself is not told"


def test_password_command(world):
    world.witness.append("INBOX", mail("x"))
    m = world.new_mailmount(password=None, password_command=f"echo {world.server.password}; echo second line")
    m.mount()
    assert m.tokens() == ["x"]


def test_password_command_fails(world):
    fails(world.new_mailmount(password=None, password_command="echo no such key >&2; exit 3"), DENIED, "password_command",
          others="no such key\n")
    fails(world.new_mailmount(password=None, password_command="true"), DENIED, "password_command")


def test_untrusted_certificate(world, tmp_path):
    make_authority(tmp_path)
    fails(world.new_mailmount(ca_file=tmp_path / "ca.pem"), DENIED, "certificate")
    fails(world.new_mailmount(ca_file=None), DENIED, "certificate")


def test_certificate_for_another_name(world, workplace, world_at):
    folder = workplace / "dovecot-wrong-name"
    folder.mkdir()
    make_authority(folder)
    make_certificate(folder, names="DNS:imap.example.org")
    user = {"as_user": "nobody"} if os.getuid() == 0 else {}
    server = PrivateDovecot(folder, **user).start()
    try:
        other = world_at(server)
        fails(other.mailmount, DENIED, "certificate|name", "127.0.0.1|name")
    finally:
        server.stop()


def fingerprint(path):
    text = subprocess.run(["openssl", "x509", "-in", str(path), "-noout", "-fingerprint", "-sha256"], check=True,
                          capture_output=True, text=True).stdout
    return text.partition("=")[2].strip()


def test_pinned_certificate(world):
    right = fingerprint(world.server.dir / "server.pem")
    wrong = fingerprint(world.server.ca_file)
    fails(world.new_mailmount(fingerprint=wrong), DENIED, "fingerprint|pin")
    m = world.new_mailmount(fingerprint=right)
    m.mount()


def test_starttls(world):
    world.witness.append("INBOX", mail("x"))
    m = world.new_mailmount(tls="starttls", port=world.server.plain_port)
    m.mount()
    assert m.tokens() == ["x"]
    fails(world.new_mailmount(tls="starttls", port=world.server.plain_port, ca_file=None), DENIED, "certificate")


@pytest.mark.parametrize("auth", ["plain", "login", "auto"])
def test_auth(world, auth):
    m = world.new_mailmount(auth=auth)
    m.mount()


def test_tunnel(world):
    """A command that speaks IMAP on its standard input and output."""
    world.witness.append("INBOX", mail("x"))
    relay = ("import socket,sys,threading,os\n"
             f"s=socket.create_connection(('127.0.0.1',{world.server.plain_port}))\n"
             "def up():\n"
             "    while (d:=os.read(0,65536)): s.sendall(d)\n"
             "    s.shutdown(1)\n"
             "threading.Thread(target=up,daemon=True).start()\n"
             "while (d:=s.recv(65536)): os.write(1,d)\n")
    script = world.folder / "relay.py"
    script.write_text(relay)
    m = world.new_mailmount(host=None, port=None, ca_file=None, tunnel=f"exec /usr/bin/python3 {script}")
    m.mount()
    assert m.tokens() == ["x"]
    world.witness.append("INBOX", mail("y"))
    eventually(lambda: m.tokens() == ["x", "y"])


def test_nobody_listening(world):
    fails(world.new_mailmount(port=free_port()), UNAVAILABLE, "refused|connect")


def test_no_such_host(world):
    fails(world.new_mailmount(host="no-such-host.invalid"), UNAVAILABLE, "no-such-host.invalid")


def test_not_an_imap_server(world):
    listener = socket.create_server(("127.0.0.1", 0))

    def answer():
        while True:
            try:
                connection, _ = listener.accept()
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                connection.close()
            except OSError:
                return
    threading.Thread(target=answer, daemon=True).start()
    port = listener.getsockname()[1]
    fails(world.new_mailmount(port=port, tls="none", ca_file=None), UNAVAILABLE)
    fails(world.new_mailmount(port=port), UNAVAILABLE)
    listener.close()


def test_mount_point_does_not_exist(world):
    m = world.mailmount
    fails(m, CREATE, "no such|does not exist", arguments=("mount", "-f", "test", world.folder / "nowhere"))


def test_mount_point_is_a_file(world):
    path = world.folder / "file"
    path.touch()
    fails(world.mailmount, CREATE, "not a directory", arguments=("mount", "-f", "test", path))


def test_mount_point_is_not_empty(world):
    (world.mailmount.root / "precious").write_text("x")
    fails(world.mailmount, CREATE, "not empty")
    assert (world.mailmount.root / "precious").read_text() == "x"


def test_mount_point_is_in_use(mounted):
    m = mounted.mailmount
    other = mounted.new_mailmount()
    result = other.run("mount", "-f", "test", m.root)
    assert result.returncode == CREATE, result.stderr
    assert "mount" in result.stderr
    assert m.is_mounted() and os.listdir(m.root)


def test_two_mounts_of_one_cache(mounted):
    """Case 76."""
    m = mounted.mailmount
    second = mounted.folder / "second"
    second.mkdir()
    result = m.run("mount", "-f", "test", second)
    assert result.returncode in (CREATE, AGAIN), result.stderr
    assert result.stderr.startswith("mailmount: ")
    assert m.tokens() == []


def test_data_dir_cannot_be_made(world):
    path = world.folder / "file"
    path.touch()
    fails(world.new_mailmount(data_dir=path / "below"), CREATE, "below")


def test_stale_mount_point_is_cleaned(mounted):
    """A killed daemon leaves ENOTCONN; the next mount cleans it up by itself."""
    m = mounted.mailmount
    m.died_expected = True
    m.kill9()
    with pytest.raises(OSError):
        os.listdir(m.root)
    m.start()
    assert "INBOX" in os.listdir(m.root)
