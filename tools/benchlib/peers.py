"""The programs that people use today, each with a configuration that its manual would give for the task, and its own folder."""
import os

from benchlib.timing import run

LOCAL_FLAGS = "Create Near\nExpunge Both\nSync All\nSyncState *\n"


class Mbsync:
    """isync, at its defaults (it syncs what it writes to disk)."""
    name, program = "mbsync", "mbsync"

    def __init__(self, folder, server, user, *, port=None, tls=True):
        self.folder = folder
        self.folder.mkdir()
        self.tree = folder / "Mail"
        self.tree.mkdir()
        self.config = folder / "mbsyncrc"
        security = f"SSLType IMAPS\nCertificateFile {server.ca_file}\n" if tls else "SSLType None\n"
        self.config.write_text(
            f"IMAPStore far\nHost localhost\nPort {port or (server.tls_port if tls else server.plain_port)}\nUser {user}\n"
            f"Pass {server.password}\nAuthMechs LOGIN\n{security}\n"
            f"MaildirStore near\nPath {self.tree}/\nInbox {self.tree}/INBOX\nSubFolders Verbatim\n\n"
            f"Channel c\nFar :far:\nNear :near:\nPatterns *\n{LOCAL_FLAGS}")

    def sync(self):
        run("mbsync", "-q", "-c", self.config, "-a")


class Offlineimap:
    name, program = "offlineimap", "offlineimap"

    def __init__(self, folder, server, user, *, port=None, tls=True):
        self.folder = folder
        self.folder.mkdir()
        self.tree = folder / "Mail"
        self.config = folder / "offlineimaprc"
        security = f"ssl = yes\nsslcacertfile = {server.ca_file}\n" if tls else "ssl = no\nstarttls = no\nauth_mechanisms = LOGIN\n"
        self.config.write_text(
            f"[general]\naccounts = a\nmetadata = {folder}/metadata\n\n[Account a]\nlocalrepository = near\nremoterepository = far\n\n"
            f"[Repository near]\ntype = Maildir\nlocalfolders = {self.tree}\nsep = /\n\n"
            f"[Repository far]\ntype = IMAP\nremotehost = localhost\n"
            f"remoteport = {port or (server.tls_port if tls else server.plain_port)}\n"
            f"remoteuser = {user}\nremotepass = {server.password}\n{security}")

    def sync(self):
        run("offlineimap", "-o", "-c", self.config, "-u", "quiet")


class Interimap:
    """It knows no Maildir: it syncs with another user of the same server. Only for what goes over the line."""
    name, program = "interimap", "interimap"

    def __init__(self, folder, server, user, *, port, tls=False):
        assert not tls
        self.folder = folder
        self.folder.mkdir()
        self.near = f"{user}near"
        self.config = folder / "config"
        common = f"type = imap\nhost = 127.0.0.1\nSTARTTLS = NO\npassword = {server.password}\n"
        self.config.touch(mode=0o600)
        self.config.write_text(
            f"database = {folder}/interimap.db\n\n[local]\n{common}port = {server.plain_port}\nusername = {self.near}\n\n"
            f"[remote]\n{common}port = {port}\nusername = {user}\n")

    def sync(self):
        run("interimap", "--quiet", f"--config={self.config}", env={"XDG_CONFIG_HOME": self.folder, "XDG_DATA_HOME": self.folder})


def count_files(tree):
    """Messages in a tree of Maildirs."""
    return sum(len(names) for folder, _, names in os.walk(tree) if os.path.basename(folder) in ("cur", "new"))
