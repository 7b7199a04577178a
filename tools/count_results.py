#!/usr/bin/python3
"""Adds up test results for tools/check: count_results.py FILE... prints "PASSED FAILED SKIPPED", and then a line
"NAME: REASON" for each test that was skipped.

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
CMOCKA_SKIPPED = re.compile(r"\[ RUN      \] (\S+)\n(?:(?!\[)(.*)\n)*\[  SKIPPED \] \1\n")  # and the line before, a reason
NO_REASON = "its source says why"


class Results:
    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = {}  # name: reason

    def add_meson(self, test):
        """One of meson's tests. With cmocka, each of its own counts."""
        output = (test.get("stdout") or "") + (test.get("stderr") or "")
        if test["result"] == "SKIP":
            said = output.split("\n")
            self.skipped[test["name"]] = next((line.strip() for line in reversed(said) if line.strip()), NO_REASON)
            return
        passed = sum(map(int, CMOCKA_PASSED.findall(output)))
        failed = sum(map(int, CMOCKA_FAILED.findall(output)))
        skipped = {f"{test['name']}, {name}": reason or NO_REASON for name, reason in CMOCKA_SKIPPED.findall(output)}
        self.skipped.update(skipped)
        if test["result"] in GOOD:
            self.passed += passed or (0 if skipped else 1)
        else:
            self.passed += passed
            self.failed += [f"{test['name']} ({test['result']})"] * (failed or 1)

    def add_case(self, case):
        """One of JUnit's."""
        name = f"{case.get('classname')}::{case.get('name')}"
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            self.failed.append(name)
        elif skipped is not None:
            self.skipped[name] = skipped.get("message") or NO_REASON
        else:
            self.passed += 1

    def read(self, path):
        if path.endswith(".json"):
            with open(path, encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    self.add_meson(json.loads(line))
        else:
            for case in ElementTree.parse(path).iter("testcase"):
                self.add_case(case)


def main():
    results = Results()
    for path in sys.argv[1:]:
        try:
            results.read(path)
        except (OSError, ValueError, ElementTree.ParseError) as error:
            results.failed.append(f"to have results: {error}")
    for name in dict.fromkeys(results.failed):
        print(f"FAILED {name}", file=sys.stderr)
    print(results.passed, len(results.failed), len(results.skipped))
    for name, reason in results.skipped.items():
        print(f"{name}: {reason}")


if __name__ == "__main__":
    main()
