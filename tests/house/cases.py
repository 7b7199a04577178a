#!/usr/bin/env python3
"""The cases of the merge: those that MERGE.md has, those that the code cites and those that the tests cite are the same.

The code is base, cache, sync, fs and main. It cites a case in a comment or a log line ("case 40", "cases 12, 13 and 50", "cases 0 to 7"), and
sync as the number of an operation (`.number = 44`). Before that, small trees that break the rule are checked and must be
rejected.
"""
import argparse
import pathlib
import re
import sys
import tempfile

ROW = re.compile(r"^\| (\d+) \|", re.MULTILINE)
CITED = re.compile(r"\b[Cc]ases? (\d+(?:(?:, and |, | and | to | or )\d+)*)")
NAMED = re.compile(r"\bcases?_(\d+)(?:_and_(\d+))?")
NUMBER = re.compile(r"number = ([^;,}]*)")
WRAP = re.compile(r"\n\s*(?:\*|//|#)?\s*")
CODE = ("base", "cache", "sync", "fs", "main")


def numbers(text):
    """Those of "12, 13 and 50" or "0 to 7"."""
    found, last, is_range = set(), None, False
    for word in re.findall(r"\d+|to", text):
        if word == "to":
            is_range = True
            continue
        found |= set(range(last, int(word) + 1)) if is_range else {int(word)}
        last, is_range = int(word), False
    return found


def cited_in(path, operations):
    text = WRAP.sub(" ", path.read_text(errors="replace"))
    found = set().union(*(numbers(m[1]) for m in CITED.finditer(text)))
    found |= {int(n) for m in NAMED.finditer(text) for n in m.groups() if n}
    if operations:
        found |= {int(n) for m in NUMBER.finditer(text) for n in re.findall(r"\b\d+\b", m[1])}
    return found


def cited(root, folders, suffixes):
    found = {}
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in suffixes and path.is_file() and path.name != "cases.py":
                for number in cited_in(path, folder == "sync"):
                    found.setdefault(number, path.relative_to(root))
    return found


def check(root):
    """What is wrong, and how many cases there are."""
    told = {int(n) for n in ROW.findall((root / "MERGE.md").read_text())}
    wrong = []
    for where, found in (("the code", cited(root, CODE, {".c", ".h"})), ("the tests", cited(root, ["tests"], {".c", ".h", ".py"}))):
        wrong += [f"case {n} of MERGE.md is not cited in {where}" for n in sorted(told - set(found))]
        wrong += [f"case {n}, cited in {found[n]}, is not in MERGE.md" for n in sorted(set(found) - told)]
    return wrong, len(told)


# ---- negative control ----

GOOD = {"MERGE.md": "| case | what |\n|---|---|\n| 1 | a |\n| 2 | b |\n| 3 | c |\n",
        "base/a.h": "/* as in cases 1\n * to 2 */\n", "sync/brain/a.c": "x = (struct op){.number = late ? 3 : 2};\n",
        "tests/a.c": "static void case_1(void)\n/* Case 2: 4 octets */\n", "tests/b.py": '"""Cases 2 and 3."""\n'}
BAD = {
    "a case that no code decides": {"sync/brain/a.c": ""},
    "a case that no test proves": {"tests/b.py": ""},
    "a case that is not documented": {"base/a.h": "/* cases 1 to 2, and case 4 */"},
    "a test of nothing": {"tests/a.c": "/* case 1, case 9 */"},
    "a row that nobody cites": {"MERGE.md": GOOD["MERGE.md"] + "| 5 | d |\n"},
}


def make_tree(folder, files):
    root = pathlib.Path(folder)
    for name in CODE:
        (root / name).mkdir(parents=True)
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def check_negative_control():
    for what, change in {"nothing": {}, **BAD}.items():
        with tempfile.TemporaryDirectory() as folder:
            wrong, _ = check(make_tree(pathlib.Path(folder) / "tree", {**GOOD, **change}))
        if bool(wrong) != (what != "nothing"):
            sys.exit(f"the check itself is broken: {what}: {wrong}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=pathlib.Path, required=True)
    root = parser.parse_args().root
    check_negative_control()
    wrong, cases = check(root)
    for line in wrong:
        print(line)
    print(f"{cases} cases")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
