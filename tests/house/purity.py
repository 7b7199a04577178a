#!/usr/bin/env python3
"""The brain is pure: its objects may call the arena, a few functions on memory and strings, and nothing else.

No system call, no clock, no random source and no global state can hide in code that is linked from this list only. Before
the real library is looked at, objects that break the rule are compiled and must be rejected.
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

ALLOWED = re.compile(
    r"arena_(alloc|strdup)"
    r"|mem(cpy|move|cmp|set|chr)|__mem(cpy|move|set)_chk"
    r"|str(cmp|ncmp|len|nlen|chr|rchr)"
    r"|qsort|bsearch"
    r"|__stack_chk_fail(_local)?|_GLOBAL_OFFSET_TABLE_"
    r"|__(asan|ubsan|lsan|sanitizer|gcov|llvm_(gcov|profile))_\w+"
)
WRITABLE = "BbCDdGgSs"  # symbol types of data that can change
TOOLS = re.compile(r"\.L|__(asan|ubsan|gcov|llvm|odr_asan|profc|profd)|_sub_[ID]_")

BAD = {
    "clock": "#include <time.h>\nlong brain_now(void); long brain_now(void) { return time(0); }",
    "system call": "#include <unistd.h>\nint brain_pid(void); int brain_pid(void) { return getpid(); }",
    "random": "#include <stdlib.h>\nint brain_dice(void); int brain_dice(void) { return rand(); }",
    "state": "int brain_next(void); int brain_next(void) { static int n; return ++n; }",
}
GOOD = "#include <string.h>\nint brain_same(const char *a, const char *b);\n" \
       "int brain_same(const char *a, const char *b) { return strcmp(a, b) == 0; }"


def symbols(nm, path):
    """(type, name) of each symbol of an object or library."""
    text = subprocess.run([nm, str(path)], check=True, capture_output=True, text=True).stdout
    return re.findall(r"^[0-9a-fA-F ]*([A-Za-z?]) (\S+)$", text, re.MULTILINE)


def complaints(nm, path):
    found = symbols(nm, path)
    own = {name for kind, name in found if kind in "TtRr"}
    wrong = [f"calls {name}" for kind, name in found
             if kind in "Uuwv" and name not in own and not ALLOWED.fullmatch(name)]
    wrong += [f"keeps state in {name}" for kind, name in found if kind in WRITABLE and not TOOLS.match(name)]
    return wrong, len(own)


def compile_one(cc, folder, name, text):
    source, target = folder / (name + ".c"), folder / (name + ".o")
    source.write_text(text)
    subprocess.run([*cc, "-c", str(source), "-o", str(target)], check=True)
    return target


def negative_control(nm, cc):
    with tempfile.TemporaryDirectory() as folder:
        for name, text in BAD.items():
            wrong, _ = complaints(nm, compile_one(cc, pathlib.Path(folder), name.replace(" ", "_"), text))
            if not wrong:
                sys.exit(f"purity: the check does not find a {name} in an object that has one")
        wrong, _ = complaints(nm, compile_one(cc, pathlib.Path(folder), "good", GOOD))
        if wrong:
            sys.exit(f"purity: the check rejects a pure object: {wrong}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nm", default="nm")
    parser.add_argument("--library", required=True)
    parser.add_argument("--cc", nargs="+", default=["cc"])
    arguments = parser.parse_args()

    negative_control(arguments.nm, arguments.cc)
    wrong, functions = complaints(arguments.nm, arguments.library)
    if functions < 20:
        sys.exit(f"purity: only {functions} functions in {arguments.library}: is that the brain?")
    for line in wrong:
        print(f"purity: the brain {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
