#!/usr/bin/env python3
"""ARCHITECTURE.md shows four ways through the house; what they name must be there.

In the section "The four ways through the house", a paragraph, list item or table row with references of the form
`file.c:function` is a way. There are four of them, each through four files at most, and each function is defined in its
file. Before that, small documents that break each rule are checked and must be rejected.
"""
import argparse
import pathlib
import re
import sys
import tempfile

WAYS = 4
FILES_MAX = 4
TITLE = "The four ways through the house"
REFERENCE = re.compile(r"`([A-Za-z0-9_./-]+\.[ch]):([A-Za-z_]\w*)(?:\(\))?`")


def section(text):
    """The lines below the heading, to the next one of its level or above; None when there is no such heading."""
    lines, level = None, 0
    fenced = False
    for line in text.splitlines():
        fenced ^= line.lstrip().startswith("```")
        heading = None if fenced else re.match(r"(#+)\s+(.*?)\s*#*$", line)
        if lines is None:
            if heading and heading[2] == TITLE:
                lines, level = [], len(heading[1])
        elif heading and len(heading[1]) <= level:
            break
        else:
            lines.append(line)
    return lines


def ways(lines):
    """The references of each block that has some."""
    blocks = [[]]
    for line in lines:
        if not line.strip() or re.match(r"\s*([-*+]|\d+[.)]|\||#)", line):
            blocks.append([])
        blocks[-1].append(line)
    found = [REFERENCE.findall("\n".join(block)) for block in blocks]
    return [references for references in found if references]


def find_source(root, name):
    """The file by its path from the root, or by its name when only one file has it."""
    if (root / name).is_file():
        return root / name
    hits = [path for folder in ("base", "cache", "fs", "sync", "main") for path in (root / folder).rglob(name)]
    return hits[0] if len(hits) == 1 else None


def defines(path, function):
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(errors="replace"), flags=re.DOTALL)
    return re.search(r"^[A-Za-z_][^;{}#=]*\b" + function + r"\s*\([^;{}]*\)\s*\{", text, re.MULTILINE) is not None


def check(root):
    document = root / "ARCHITECTURE.md"
    if not document.is_file():
        return ["there is no ARCHITECTURE.md"]
    lines = section(document.read_text())
    if lines is None:
        return [f'there is no section "{TITLE}"']
    wrong, found = [], ways(lines)
    if len(found) != WAYS:
        wrong.append(f"{len(found)} ways instead of {WAYS}")
    for number, references in enumerate(found, 1):
        files = {name for name, _ in references}
        if len(files) > FILES_MAX:
            wrong.append(f"way {number} leads through {len(files)} files")
        for name, function in references:
            path = find_source(root, name)
            if not path:
                wrong.append(f"way {number}: {name} is not there, or several files have that name")
            elif not defines(path, function):
                wrong.append(f"way {number}: {name} does not define {function}")
    return wrong


# ---- negative control ----

GOOD = f"""# House
`gone.c:gone` is not in the section.
## {TITLE}
They are short.

- first: `fs/a.c:one` then
  `b.c:two()`
- second: `b.c:two`
- third: `fs/a.c:one`
- fourth: `fs/a.c:three`
## After
`gone.c:gone`
"""
SOURCES = {
    "fs/a.c": "static int one(int a,\n               char *b)\n{\n}\nstruct x *three(void) {\n}\nint called(void);\n"
              "static int user(void)\n{\n    return other(1);\n}\n/* int dead(void)\n{ */\n",
    "sync/b.c": "void two(void)\n{\n}\n", "fs/twin.c": "int t(void)\n{\n}\n", "sync/twin.c": "int t(void)\n{\n}\n",
    "fs/c.c": "int c(void)\n{\n}\n", "fs/d.c": "int d(void)\n{\n}\n", "fs/e.c": "int e(void)\n{\n}\n",
}
BAD = {
    "no section": GOOD.replace(TITLE, "Ways"),
    "three ways": GOOD.replace("- second: `b.c:two`\n", ""),
    "five ways": GOOD.replace("- second", "- fifth: `b.c:two`\n- second"),
    "a file that is gone": GOOD.replace("second: `b.c", "second: `bb.c"),
    "a function that is gone": GOOD.replace("second: `b.c:two", "second: `b.c:too"),
    "a function that is only declared": GOOD.replace("a.c:three", "a.c:called"),
    "a function that is only called": GOOD.replace("a.c:three", "a.c:other"),
    "a function in a comment": GOOD.replace("a.c:three", "a.c:dead"),
    "an ambiguous name": GOOD.replace("second: `b.c:two", "second: `twin.c:t"),
    "five files": GOOD.replace("second: `b.c:two`", "second: `b.c:two` `fs/a.c:one` `c.c:c` `d.c:d` `e.c:e`"),
}


def negative_control():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, text in SOURCES.items():
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text(text)
        if not check(root):
            sys.exit("four_ways: the check does not miss ARCHITECTURE.md")
        (root / "ARCHITECTURE.md").write_text(GOOD)
        if check(root):
            sys.exit(f"four_ways: the check rejects a good document: {check(root)}")
        for name, text in BAD.items():
            (root / "ARCHITECTURE.md").write_text(text)
            if not check(root):
                sys.exit(f"four_ways: the check does not find {name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=pathlib.Path, required=True)
    root = parser.parse_args().root

    negative_control()
    wrong = check(root)
    for line in wrong:
        print(f"four_ways: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
