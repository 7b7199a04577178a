"""The commands, as people and scripts see them."""
import json
import os
import re
import signal
import socket
import subprocess
import threading

import pytest

from support import eventually, mail, mountinfo

COMMANDS = ["mount", "umount", "status", "sync", "doctor", "config", "help"]


def test_help(world):
    m = world.mailmount
    for arguments in (["help"], ["--help"]):
        result = m.run(*arguments)
        assert result.returncode == 0
        for command in COMMANDS:
            assert command in result.stdout
    for command in COMMANDS:
        result = m.run("help", command)
        assert (result.returncode, result.stderr) == (0, "")
        assert command in result.stdout


def test_version(world):
    result = world.mailmount.run("--version")
    assert result.returncode == 0
    assert re.match(r"mailmount \d+\.\d+", result.stdout)


@pytest.mark.parametrize("arguments", [
    [], ["nonsense"], ["--nonsense"], ["mount"], ["mount", "a", "b", "c"], ["umount"], ["status", "a", "b"],
    ["sync", "--wait=soon"], ["held", "frobnicate"], ["help", "nonsense"], ["status", "--nonsense"],
], ids=" ".join)
def test_usage(world, arguments):
    result = world.mailmount.run(*arguments)
    assert result.returncode == 64, result.stderr
    assert "mailmount" in result.stderr
    assert result.stdout == ""


def test_unknown_account(world):
    for command in ("status", "sync", "held", "doctor", "config"):
        result = world.mailmount.run(command, *(["nobody"] if command != "config" else []))
        assert result.returncode == (64 if command != "config" else 0), (command, result.stderr)


def test_mount_in_the_background(world):
    """Returns when the tree is ready to list; the daemon's log is in the data directory."""
    world.witness.append("INBOX", mail("x"))
    m = world.mailmount
    result = m.run("mount", "test", m.root)
    try:
        assert result.returncode == 0, result.stderr
        assert m.is_mounted()
        assert "INBOX" in os.listdir(m.root)
        m.sync()
        assert m.tokens() == ["x"]
        assert (m.data / "log").stat().st_size > 0
    finally:
        ended = m.run("umount", m.root)
    assert ended.returncode == 0, ended.stderr
    assert not m.is_mounted()


def test_mount_in_the_background_reports_failures(world):
    world.mailmount.set(password="wrong")
    result = world.mailmount.run("mount", "test", world.mailmount.root)
    assert result.returncode == 77
    assert result.stderr.startswith("mailmount: ")
    assert not world.mailmount.is_mounted()


def test_account_may_be_left_out(world):
    m = world.mailmount
    m.process = subprocess.Popen([m.program, "mount", "-f", str(m.root)], env=m.environment, stdin=subprocess.DEVNULL,
                                 stderr=open(m.log_file, "wb"), cwd="/")
    eventually(m.is_mounted)
    assert m.run("status").returncode == 0
    m.umount()


def test_name_in_the_mount_table(mounted):
    m = mounted.mailmount
    with open("/proc/self/mountinfo", encoding="utf-8") as lines:
        line = next(line for line in lines if f" {m.root} " in line)
    assert " fuse.mailmount mailmount#test " in line or " fuse.mailmount " in line


def test_umount(mounted):
    m = mounted.mailmount
    m.deliver(mail("x"), info="S")
    m.umount()
    result = m.run("umount", m.root)
    assert result.returncode != 0 and result.stderr.startswith("mailmount: ")
    m.mount()
    assert mounted.witness.tokens("INBOX") == ["x"]


def test_umount_of_a_busy_mount(mounted):
    m = mounted.mailmount
    with open(m.box() / "tmp" / "open", "w"):
        result = m.run("umount", m.root)
        assert result.returncode in (74, 75), result.stderr
        assert "busy" in result.stderr or "in use" in result.stderr
        assert m.is_mounted() and "INBOX" in os.listdir(m.root)
    m.umount()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals(mounted, number):
    m = mounted.mailmount
    m.deliver(mail("x"), info="S")
    m.process.send_signal(number)
    assert m.process.wait(20) == 0, m.log()
    m.process = None
    assert not m.is_mounted()


def test_status(mounted):
    m = mounted.mailmount
    mounted.witness.append("INBOX", mail("x"))
    m.sync()
    text = m.run("status")
    assert text.returncode == 0 and "test" in text.stdout
    status = m.status()
    assert isinstance(status, dict)
    assert "secret" not in json.dumps(status)
    assert json.loads((m.root / ".mailmount" / "status").read_text()).keys() == status.keys()


def test_status_without_a_mount(world):
    result = world.mailmount.run("status")
    assert result.returncode in (0, 69), result.stderr
    assert "not mounted" in (result.stdout + result.stderr).lower()
    assert json.loads(world.mailmount.run("status", "--json").stdout)


def test_status_tells_what_waits(world):
    wire = world.new_proxy()
    m = world.through(wire)
    m.mount()
    quiet = m.run("status").stdout
    wire.cut()
    m.deliver(mail("x"), info="S")
    eventually(lambda: re.search("off.?line", m.run("status").stdout.lower()))
    assert m.run("status").stdout != quiet
    wire.plug()
    m.sync()
    assert not re.search("off.?line", m.run("status").stdout.lower())


def test_status_watch(mounted):
    m = mounted.mailmount
    with subprocess.Popen([m.program, "status", "--watch"], env=m.environment, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL) as watch:
        assert watch.stdout.read(10)
        assert watch.poll() is None
        watch.terminate()


def test_sync(mounted):
    m = mounted.mailmount
    mounted.witness.append("INBOX", mail("x"))
    assert m.run("sync").returncode == 0
    result = m.run("sync", "--wait")
    assert result.returncode == 0, result.stderr
    assert m.tokens() == ["x"]


def test_sync_waits_for_what_was_just_done(mounted):
    """When --wait returns, both sides agree, the half second of quiet included."""
    m = mounted.mailmount
    for number in range(5):
        m.deliver(mail(f"n{number}"), info="S")
        m.sync()
        assert f"n{number}" in mounted.witness.tokens("INBOX")
        m.retag(f"n{number}", "FS")
        m.sync()
        assert "\\Flagged" in mounted.witness.flags("INBOX", f"n{number}")


def test_sync_without_a_mount(world):
    """It does the work itself; a mount afterwards has it all."""
    world.witness.append("INBOX", mail("x"))
    m = world.mailmount
    m.sync()
    wire = world.new_proxy()
    wire.cut()
    m.set(port=wire.port)
    m.start()
    assert m.tokens() == ["x"]


def test_sync_without_a_mount_and_without_a_server(world):
    wire = world.new_proxy()
    wire.cut()
    m = world.through(wire)
    result = m.run("sync", "--wait")
    assert result.returncode == 69, result.stderr
    result = m.run("sync", "--wait=2")
    assert result.returncode == 75, result.stderr
    assert result.stderr.splitlines()[-1].startswith("mailmount: ")


@pytest.mark.parametrize("wrong, status, words", [
    ({"password": "wrong"}, 77, "login refused"), ({"ca_file": None}, 77, "certificate"), ({"port": 1}, 69, "refused")],
    ids=["password", "certificate", "port"])
def test_sync_of_a_mount_that_is_off_line(world, wrong, status, words):
    """The exit status tells why: whoever has to be asked for a new password is found at once."""
    m = world.mailmount
    m.sync()
    m.set(**wrong)
    m.start()
    result = m.run("sync", "--wait")
    assert result.returncode == status, result.stderr
    assert re.fullmatch(f"mailmount: test: off line: .*{words}.*\n", result.stderr)


def test_doctor(world):
    result = world.mailmount.run("doctor")
    assert result.returncode == 0, result.stderr
    for word in ("TLS", "QRESYNC"):
        assert word in result.stdout
    assert world.server.password not in result.stdout


def doctor(m):
    """Exit status, {label: text} of the good lines and the notes below "Connection", (label, text) of the last line, a bad
    one, which is what standard error says, too."""
    result = m.run("doctor")
    lines = result.stdout.partition("\nConnection\n")[2].splitlines()
    found = [re.fullmatch(r"  (\S+) (.{14}) (.*)", line).groups() for line in lines]
    assert [mark in ("✗", "!!") for mark, _, _ in found] == [False] * (len(found) - 1) + [True], result.stdout
    assert result.stderr == f"mailmount: {found[-1][2]}\n"
    return result.returncode, {label.strip(): text for _, label, text in found[:-1]}, (found[-1][1].strip(), found[-1][2])


def test_doctor_with_a_wrong_password(world):
    """All that worked on the way there is shown, and then what did not."""
    for tls in ({}, {"tls": "starttls", "port": world.server.plain_port}):
        status, good, (bad, why) = doctor(world.new_mailmount(password="wrong", **tls))
        assert status == 77
        assert list(good) == ["address", "connected", "encryption", "certificate", "capabilities"]
        assert re.match(r"TLSv1\.\d \w+" + (", by STARTTLS$" if tls else "$"), good["encryption"])
        assert re.match(r"SHA256:\w{64}, until .*subject .*issuer ", good["certificate"])
        assert "AUTH=PLAIN" in good["capabilities"]
        assert bad == "not logged in" and "login refused" in why
        assert "wrong" not in why.replace("wrong password", "")


def test_doctor_with_a_certificate_that_is_not_trusted(world):
    """It is shown, for somebody has to decide whether it is the right one."""
    for wrong, words in (({"ca_file": None}, "is not trusted"), ({"fingerprint": "00" * 32}, "not the one of fingerprint")):
        status, good, (bad, why) = doctor(world.new_mailmount(**wrong))
        assert status == 77
        assert list(good) == ["address", "connected", "encryption", "certificate"]
        assert good["encryption"].startswith("TLSv1.")
        assert re.match(r"SHA256:(\w{64}), until .*subject .*issuer ", good["certificate"])[1] in why
        assert bad == "not trusted" and words in why


def test_doctor_and_the_other_steps(world):
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
    for wrong, status, steps, label in (
            ({"host": "no-such-host.invalid"}, 69, [], "no address"),
            ({"port": 1}, 69, ["address"], "not connected"),
            ({"port": world.server.plain_port}, 69, ["address", "connected"], "not encrypted"),
            ({"port": port, "tls": "starttls"}, 69, ["address", "connected"], "no IMAP"),
            ({"port": port, "tls": "none"}, 69, ["address", "connected", "encryption"], "no IMAP"),
            ({"password": None, "password_command": "false"}, 77,
             ["address", "connected", "encryption", "certificate", "capabilities"], "not logged in")):
        found, good, (bad, _) = doctor(world.new_mailmount(**wrong))
        assert (found, list(good), bad) == (status, steps, label)
    listener.close()


def test_doctor_while_mounted(mounted):
    assert mounted.mailmount.run("doctor").returncode == 0


def test_config(world):
    result = world.mailmount.run("config")
    assert result.returncode == 0, result.stderr
    assert world.server.password not in result.stdout
    assert re.search(r"(?m)^\s*password\b.*\bset\b", result.stdout)
    assert re.search(r"(?m)^\s*host\b.*127\.0\.0\.1.*config:\d", result.stdout)
    assert re.search(r"(?m)^\s*layout\b.*fs.*default", result.stdout)


def test_no_secret_anywhere(world):
    """Not in logs, not in status, not in the data directory, not in a command line."""
    world.witness.append("INBOX", mail("sought", "a very private sentence\r\n", subject="private subject"))
    m = world.new_mailmount()
    assert world.server.password == "secret"
    m.mount()
    m.umount()
    for text in (m.log(), m.run("status").stdout, m.run("config").stdout):
        assert "private subject" not in text and "a very private sentence" not in text
        assert not re.search(r"\bsecret\b", text.replace("secret-tool", "")), "the password"


def test_data_directory_is_private(mounted):
    m = mounted.mailmount
    assert m.data.stat().st_mode & 0o077 == 0


def test_held_and_restore_are_empty_at_first(mounted):
    mounted.mailmount.need("held")
    mounted.mailmount.need("restore")
    for arguments in (["held"], ["restore", "--list"]):
        result = mounted.mailmount.run(*arguments)
        assert (result.returncode, result.stderr) == (0, "")
    for arguments in (["held", "approve", "123456"], ["restore", "123456"]):
        result = mounted.mailmount.run(*arguments)
        assert result.returncode not in (0, 64), result.stdout
        assert result.stderr.startswith("mailmount: ")


def test_check(mounted):
    mounted.mailmount.need("check")
    mounted.witness.append("INBOX", mail("x"))
    mounted.mailmount.sync()
    assert mounted.mailmount.run("check").returncode == 0
    mounted.mailmount.umount()
    assert mounted.mailmount.run("check").returncode == 0


def test_two_accounts(world):
    """One configuration, two sections; each mount is its own."""
    m = world.mailmount
    text = m.config_file.read_text()
    other = text.replace("[test]", "[other]").replace(f"data_dir = {m.data}", f"data_dir = {m.folder}/other")
    m.write_config(text + other)
    second = m.folder / "Second"
    second.mkdir()
    assert m.run("mount", second).returncode == 64, "which of the two?"
    assert m.run("mount", "other", second).returncode == 0
    try:
        m.start()
        assert m.run("status", "other").returncode == 0
        assert m.run("status", "test").returncode == 0
    finally:
        assert m.run("umount", second).returncode == 0
    assert str(second) not in mountinfo()


def test_progress_goes_to_standard_error_as_lines(world):
    for number in range(50):
        world.witness.append("INBOX", mail(f"n{number}", "x" * 20_000))
    m = world.mailmount
    m.start()
    result = m.run("sync", "--wait=40")
    assert result.returncode == 0
    assert "\x1b" not in result.stderr and "\r" not in result.stderr, "no terminal, no bar"
