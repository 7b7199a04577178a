#!/usr/bin/env python3
"""What people are told is there, and what is there people are told.

Every key of base/config_keys.c is a tag in man/mailmount.5, and every tag there is a key. Every command of main/main.c has a
section and a line of the synopsis in man/mailmount.1, stands in README.md, and has words for `mailmount help`; and every
section "mailmount NAME" is a command. Before that, small trees that break each rule are checked and must be rejected.
"""
import argparse
import pathlib
import re
import sys
import tempfile

KEY = re.compile(r'^\s*\[KEY_\w+\]\s*=\s*\{\s*"([^"]+)"', re.MULTILINE)
TABLE = re.compile(r"^const struct command commands\[\] = \{\n(.*?)^\};", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r'^ {4}\{"([^"]+)",\s*"((?:[^"\\]|\\.)*)",\s*"((?:[^"\\]|\\.)*)"', re.MULTILINE)
KEY_TAG = re.compile(r"^\.It Cm ([\w , ]+)$", re.MULTILINE)
SECTION = re.compile(r"^\.Ss mailmount (\w+)$", re.MULTILINE)
SYNOPSIS = re.compile(r"^\.Sh SYNOPSIS$(.*?)^\.Sh ", re.MULTILINE | re.DOTALL)
NOT_IN_README = {"help"}  # which is where one gets when nothing else is known


def differences(there, told, where):
    return [f"{name} is not in {where}" for name in there if name not in told] + \
           [f"{where} has {name}, which is not there" for name in told if name not in there]


def check_keys(root):
    keys = KEY.findall((root / "base/config_keys.c").read_text())
    tags = [name.strip() for line in KEY_TAG.findall((root / "man/mailmount.5").read_text()) for name in line.split(",")]
    return differences(keys, tags, "mailmount.5"), len(keys)


def check_commands(root):
    table = TABLE.search((root / "main/main.c").read_text())
    found = COMMAND.findall(table[1]) if table else []
    names = [name for name, _, _ in found]
    page, readme = (root / "man/mailmount.1").read_text(), (root / "README.md").read_text()
    synopsis = SYNOPSIS.search(page)
    wrong = differences(names, SECTION.findall(page), "mailmount.1")
    wrong += [f"{name} is not in the synopsis of mailmount.1" for name in names
              if not synopsis or f"\n.Cm {name}\n" not in synopsis[1]]
    wrong += [f"{name} is not in README.md" for name in names
              if name not in NOT_IN_README and not re.search(rf"\bmailmount {name}\b", readme)]
    wrong += [f"{name} has no summary for `mailmount help`" for name, _, summary in found if not summary]
    return wrong, len(names)


def check(root):
    wrong_keys, keys = check_keys(root)
    wrong_commands, commands = check_commands(root)
    return wrong_keys + wrong_commands, keys, commands


# ---- negative control ----

GOOD = {
    "base/config_keys.c": '    [KEY_HOST] = {"host", NULL, NULL, set_text},\n'
                          '    [KEY_TLS] = {"tls",\n  NULL, NULL, set_choice},\n',
    "main/main.c": 'const struct command commands[] = {\n'
                   '    {"mount", "[-f] \\"A\\"", "mount it",\n     "It is. {", cmd_mount},\n'
                   '    {"help", "", "all commands", "", cmd_help},\n    {NULL, NULL, NULL, NULL, NULL},\n};\n'
                   'const struct other others[] = {\n    {"none", "x", "y"},\n};\n',
    "man/mailmount.1": ".Sh SYNOPSIS\n.Nm\n.Cm mount\n.Ar dir\n.Nm\n.Cm help\n.Sh DESCRIPTION\n"
                       ".Ss mailmount mount\nMounts.\n.Ss mailmount help\nHelps.\n.Ss Other things\n",
    "man/mailmount.5": ".Bl -tag\n.It Cm host\nThe server.\n.It Cm tls\nTLS.\n.El\n",
    "README.md": "Then `mailmount mount ~/Mail`.\n",
}
BAD = {
    "a key that is not told": ("man/mailmount.5", ".It Cm tls\n", ""),
    "a key that is only mentioned": ("man/mailmount.5", ".It Cm tls\n", ".Cm tls\n"),
    "a key with another name": ("man/mailmount.5", "Cm host", "Cm hosts"),
    "a key that is not there": ("base/config_keys.c", '    [KEY_HOST] = {"host", NULL, NULL, set_text},\n', ""),
    "a command without a section": ("man/mailmount.1", ".Ss mailmount mount\n", ""),
    "a command that is not in the synopsis": ("man/mailmount.1", ".Cm mount\n.Ar dir\n", ""),
    "no synopsis": ("man/mailmount.1", "SYNOPSIS", "SUMMARY"),
    "a section of no command": ("main/main.c", '{"help", "", "all commands", "", cmd_help},\n', ""),
    "a command that is not in README.md": ("README.md", "mailmount mount", "mailmount mounts"),
    "a command without a summary": ("main/main.c", '"mount it"', '""'),
    "no commands": ("main/main.c", "const struct command commands", "const struct command many"),
}


def negative_control():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, text in GOOD.items():
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text(text)
        if check(root) != ([], 2, 2):
            sys.exit(f"manuals: the check rejects a good tree: {check(root)}")
        for what, (name, old, new) in BAD.items():
            assert old in GOOD[name], what
            (root / name).write_text(GOOD[name].replace(old, new))
            if not check(root)[0]:
                sys.exit(f"manuals: the check does not find {what}")
            (root / name).write_text(GOOD[name])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=pathlib.Path, required=True)
    root = parser.parse_args().root

    negative_control()
    wrong, keys, commands = check(root)
    if keys < 20 or commands < 9:
        sys.exit(f"manuals: only {keys} keys and {commands} commands found: is that the project?")
    for line in wrong:
        print(f"manuals: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
