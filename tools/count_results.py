#!/usr/bin/python3
"""Adds up test results for tools/check: count_results.py FILE... prints "PASSED FAILED".

Understands meson's testlog.json, where an executable of cmocka counts with each of its tests, and JUnit XML as pytest
writes it. A file that is not there or cannot be read means that the run died before it had results: one failure.
Names of what failed go to standard error.
"""
import json
import re
import sys
import xml.etree.ElementTree as ElementTree

GOOD = {"OK", "EXPECTEDFAIL"}
CMOCKA_PASSED = re.compile(r"\[  PASSED  \] (\d+) test\(s\)")
CMOCKA_FAILED = re.compile(r"\[  FAILED  \] .*?(\d+) test\(s\), listed below")


def count_meson_test(test):
    if test["result"] == "SKIP":
        return 0, 0
    output = (test.get("stdout") or "") + (test.get("stderr") or "")
    passed = sum(map(int, CMOCKA_PASSED.findall(output)))
    failed = sum(map(int, CMOCKA_FAILED.findall(output)))
    if test["result"] in GOOD:
        return (passed or 1), 0
    return passed, failed or 1


def count_meson(path):
    total = [0, 0]
    with open(path, encoding="utf-8", errors="replace") as lines:
        for test in map(json.loads, lines):
            passed, failed = count_meson_test(test)
            total[0] += passed
            total[1] += failed
            if failed:
                print(f"FAILED {test['name']} ({test['result']})", file=sys.stderr)
    return total


def count_junit(path):
    total = [0, 0]
    for case in ElementTree.parse(path).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            total[1] += 1
            print(f"FAILED {case.get('classname')}::{case.get('name')}", file=sys.stderr)
        elif case.find("skipped") is None:
            total[0] += 1
    return total


def main():
    passed = failed = 0
    for path in sys.argv[1:]:
        try:
            p, f = (count_meson if path.endswith(".json") else count_junit)(path)
        except (OSError, ValueError, ElementTree.ParseError) as error:
            print(f"FAILED to have results: {error}", file=sys.stderr)
            p, f = 0, 1
        passed, failed = passed + p, failed + f
    print(passed, failed)


if __name__ == "__main__":
    main()
