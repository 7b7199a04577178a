#!/usr/bin/env python3
"""tools/count_results.py counts what there was: results as meson, cmocka and pytest write them, and none at all."""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

CMOCKA = """[==========] Running 3 test(s).
[ RUN      ] good
[       OK ] good
[ RUN      ] not_here
no such thing on this machine
[  SKIPPED ] not_here
[ RUN      ] silent
[  SKIPPED ] silent
[==========] 3 test(s) run.
[  PASSED  ] 1 test(s).
[  SKIPPED ] 2 test(s), listed below:
[  SKIPPED ] not_here
[  SKIPPED ] silent

 2 SKIPPED TEST(S)
"""
MESON = [
    {"name": "unit / some", "result": "OK", "stdout": CMOCKA, "stderr": ""},
    {"name": "unit / three", "result": "OK", "stdout": "[  PASSED  ] 3 test(s).\n"},
    {"name": "unit / two of five", "result": "FAIL", "stdout": "[  PASSED  ] 2 test(s).\n",
     "stderr": "[  FAILED  ] 3 test(s), listed below:\n"},
    {"name": "unit / late", "result": "TIMEOUT", "stdout": "[ RUN      ] a\n"},
    {"name": "house / plain", "result": "OK"},
    {"name": "unit / none", "result": "SKIP", "stdout": "no server\n"},
]
JUNIT = """<testsuites><testsuite><testcase classname="a" name="good"/><testcase classname="a" name="bad"><failure/></testcase>
<testcase classname="a" name="broken"><error/></testcase><testcase classname="b" name="not_here"><skipped message="no &amp;"/>
</testcase></testsuite></testsuites>"""
CASES = [
    ({"all.json": "\n".join(map(json.dumps, MESON))}, [
        "7 4 3", "unit / some, not_here: no such thing on this machine", "unit / some, silent: its source says why",
        "unit / none: no server"]),
    ({"r.xml": JUNIT}, ["1 2 1", "b::not_here: no &"]),
    ({"r.xml": JUNIT, "all.json": json.dumps(MESON[1])}, ["4 2 1", "b::not_here: no &"]),
    ({"none.json": None}, ["0 1 0"]),
    ({"cut.xml": JUNIT[:50], "cut.json": json.dumps(MESON[1])[:-5]}, ["0 2 0"]),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=pathlib.Path, required=True)
    program = parser.parse_args().root / "tools" / "count_results.py"
    wrong = 0
    for files, expected in CASES:
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                if text is not None:
                    pathlib.Path(folder, name).write_text(text)
            got = subprocess.run([sys.executable, program, *(f"{folder}/{name}" for name in files)], check=True,
                                 capture_output=True, text=True).stdout.splitlines()
        if got != expected:
            print(f"counting: {list(files)}: {got} instead of {expected}", file=sys.stderr)
            wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main())
