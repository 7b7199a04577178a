#!/usr/bin/env python3
"""Includes point down: base < cache < {fs, sync} < main; fs and sync never meet; the brain knows base only.

Two things are looked at: the include lines of all sources, and the include folders that the build gives to the compiler
(compile_commands.json). Before that, small trees that break each rule are made and must be rejected.
"""
import argparse
import json
import os
import pathlib
import re
import shlex
import sys
import tempfile

# What the files of a folder may include, besides their own folder's headers. More specific folders first.
LAYERS = {
    "sync/brain": ["base"],
    "sync/imap": ["base", "sync/worker.h"],
    "base": [],
    "cache": ["base"],
    "fs": ["base", "cache"],
    "sync": ["base", "cache", "sync/brain", "sync/imap"],
    "main": ["base", "cache", "fs", "sync", "sync/brain", "sync/imap"],
}
# A library that is one layer's business.
LIBRARIES = {
    r"sqlite3\.h": ["cache"],
    r"libetpan/.*": ["sync/imap"],
    r"fuse.*": ["fs", "main"],
}
# System headers that the brain may include: types, memory and strings.
BRAIN_SYSTEM = {"errno.h", "limits.h", "stdbool.h", "stddef.h", "stdint.h", "stdlib.h", "string.h"}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.MULTILINE)


def layer_of(path):
    """The layer of a path relative to the root ("sync/brain/pair.c"), or None."""
    for layer in LAYERS:
        if path == layer or path.startswith(layer + "/"):
            return layer
    return None


def sources(root):
    for layer in ("base", "cache", "fs", "sync", "main"):
        for path in sorted((root / layer).rglob("*.[ch]")):
            yield path.relative_to(root).as_posix()


def may_include(layer, header):
    target = layer_of(header)
    return target == layer or target in LAYERS[layer] or header in LAYERS[layer]


def check_quoted(path, name, homes):
    if "/" in name:
        return f'"{name}": includes are plain names'
    if name not in homes:
        return f'"{name}" is no header of this project'
    if f"{os.path.dirname(path)}/{name}" in homes[name]:
        return None  # the compiler looks there first
    allowed = [home for home in homes[name] if may_include(layer_of(path), home)]
    if not allowed:
        return f'"{name}" belongs to {layer_of(homes[name][0])}'
    return f'"{name}" could be {" or ".join(allowed)}' if len(allowed) > 1 else None


def check_system(path, name, homes):
    layer = layer_of(path)
    if ".." in name or name.startswith("/"):
        return f"<{name}> leaves the system's folders"
    if name in homes:
        return f"<{name}> is a header of this project: quote it"
    for pattern, owners in LIBRARIES.items():
        if re.fullmatch(pattern, name) and layer not in owners:
            return f"<{name}> is the business of {' and '.join(owners)}"
    if layer == "sync/brain" and name not in BRAIN_SYSTEM:
        return f"<{name}> in the brain, which is pure"
    return None


def check_sources(root):
    """A list of complaints, and how many includes were looked at."""
    homes, wrong, seen = {}, [], 0
    for path in sources(root):
        if path.endswith(".h"):
            homes.setdefault(os.path.basename(path), []).append(path)
    for path in sources(root):
        for quote, name in INCLUDE.findall((root / path).read_text(errors="replace")):
            seen += 1
            complaint = (check_quoted if quote == '"' else check_system)(path, name, homes)
            if complaint:
                wrong.append(f"{path}: {complaint}")
    return wrong, seen


def include_folders(entry):
    words = entry["arguments"] if "arguments" in entry else shlex.split(entry["command"])
    words = iter(words)
    for word in words:
        for option in ("-I", "-iquote", "-isystem"):
            if word == option:
                yield next(words)
            elif word.startswith(option):
                yield word[len(option):]


def check_build(root, build):
    """The compiler sees only folders that the layer may include. Complaints, and how many sources were looked at."""
    wrong, seen = [], 0
    for entry in json.loads((build / "compile_commands.json").read_text()):
        folder = pathlib.Path(entry["directory"])
        source = os.path.relpath(os.path.join(folder, entry["file"]), root)
        layer = layer_of(source)
        if not layer:
            continue
        seen += 1
        for name in include_folders(entry):
            target = os.path.relpath(os.path.join(folder, name), root)
            of_sync = layer == "sync/imap" and target == "sync"  # for worker.h
            if layer_of(target) and not may_include(layer, target) and not of_sync:
                wrong.append(f"{source}: compiled with {target} in sight")
    return wrong, seen


# ---- negative control ----

SMALL_TREE = {
    "base/flags.h": "", "base/flags.c": '#include "flags.h"\n', "cache/cache.h": '#include "flags.h"\n',
    "fs/fs.h": '#include "cache.h"\n', "sync/worker.h": '#include "flags.h"\n', "sync/engine.h": '#include "cache.h"\n',
    "sync/brain/brain.h": '#include "flags.h"\n', "sync/imap/imap.h": '#include "worker.h"\n',
    "main/main.c": '#include "fs.h"\n#include "engine.h"\n',
}
BAD_FILES = {
    "base/bad.c": '#include "cache.h"', "cache/bad.c": '#include "engine.h"', "fs/bad.c": '#include "engine.h"',
    "fs/bad.h": '#  include "brain.h"', "sync/bad.c": '#include "fs.h"', "sync/brain/bad.c": '#include "cache.h"',
    "sync/brain/bad2.c": '#include "worker.h"', "sync/imap/bad.c": '#include "engine.h"',
    "sync/imap/bad2.c": '#include "cache.h"', "fs/bad2.c": '#include "../sync/engine.h"',
    "cache/bad2.c": '#include <../fs/fs.h>', "fs/bad3.c": '#include <engine.h>', "base/bad2.c": '#include "missing.h"',
    "sync/brain/bad3.c": "#include <time.h>", "fs/bad4.c": "#include <sqlite3.h>",
    "sync/bad2.c": "#include <libetpan/libetpan.h>", "cache/flags.h": "", "fs/deep/fs.h": "",
}


def make_tree(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


def control_sources():
    for bad, text in BAD_FILES.items():
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            make_tree(root, SMALL_TREE)
            if check_sources(root)[0]:
                sys.exit(f"layers: the check rejects a good tree: {check_sources(root)[0]}")
            make_tree(root, {bad: text})
            if not any(bad in line for line in check_sources(root)[0]):
                sys.exit(f"layers: the check does not find {bad} with {text or 'the name of another header'}")


def control_build():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for options, expected in (("-Ibase -I../base", 0), ("-I../base -I../sync", 1), ("-I .. -I ../cache/x -I../fs", 0),
                                  ("-iquote ../sync/brain", 1)):
            (root / "build").mkdir(exist_ok=True)
            entry = {"directory": str(root / "build"), "file": "../fs/x.c", "command": f"cc {options} -c ../fs/x.c"}
            (root / "build" / "compile_commands.json").write_text(json.dumps([entry]))
            if len(check_build(root, root / "build")[0]) != expected:
                sys.exit(f"layers: the check is wrong about {options}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=pathlib.Path, required=True)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    root, build = arguments.root.resolve(), arguments.build.resolve()

    control_sources()
    control_build()
    wrong, includes = check_sources(root)
    wrong_build, compiled = check_build(root, build)
    if includes < 20 or compiled < 5:
        sys.exit(f"layers: only {includes} includes and {compiled} commands found: is that the project?")
    for line in wrong + wrong_build:
        print(f"layers: {line}", file=sys.stderr)
    return 1 if wrong or wrong_build else 0


if __name__ == "__main__":
    sys.exit(main())
