#!/usr/bin/env python3
"""Finds circles of files inside a target, and flat folders that are too full.

A file uses another of its target where it names a type that the other declares at its top level. `Type+Topic.swift` counts as
part of `Type.swift`. Files that use each other round in a circle cannot be understood one at a time, so no circle may have more
than two; and no folder may have more than 20 Swift files of its own. What was there before this rule stands in `KNOWN_CIRCLES`
and `KNOWN_FOLDERS` with its size, which may only shrink: lower the number when it has.

Prints one line for each fault and exits with 1 if there is any. Usage: tools/circles.py [SOURCES]
"""

import collections
import pathlib
import re
import sys

LARGEST_CIRCLE = 2
LARGEST_FOLDER = 20
# Target or folder: how many files its circles, or the folder, had when the rule came.
KNOWN_CIRCLES: dict[str, int] = {}
KNOWN_FOLDERS: dict[str, int] = {}

COMMENTS_AND_TEXTS = re.compile(
    r'//[^\n]*|/\*.*?\*/|"""(?:\\.|[^\\])*?"""|"(?:\\\([^()]*(?:\([^()]*\)[^()]*)*\)|\\.|[^"\\\n])*"', re.DOTALL
)
DECLARATION = re.compile(
    r"^(?:@\w+(?:\([^)]*\))?\s+)*(?P<access>(?:public|package|internal|fileprivate|private)\s+)?"
    r"(?:(?:final|indirect|nonisolated|unsafe)\s+)*(?:struct|class|enum|protocol|actor|typealias)\s+(?P<name>\w+)",
    re.MULTILINE,
)
NESTED = re.compile(r"\b(?:struct|class|enum|protocol|actor|typealias|associatedtype)\s+(\w+)")
# A name behind a dot is a member, or a type inside another.
NAME = re.compile(r"(?<![.\w])[A-Z]\w*")


class Unit:
    """A file, with those that extend its type by topic."""

    def __init__(self):
        self.declared, self.own, self.named = set(), set(), set()

    def read(self, text):
        # What a text interpolates is code too.
        text = COMMENTS_AND_TEXTS.sub(lambda found: " ".join(re.findall(r"\\\((.*?)\)", found[0])), text)
        for found in DECLARATION.finditer(text):
            if (found["access"] or "").strip() not in ("private", "fileprivate"):
                self.declared.add(found["name"])
        self.own.update(NESTED.findall(text))
        self.named.update(NAME.findall(text))


def units(target):
    found = collections.defaultdict(Unit)
    for path in sorted(target.rglob("*.swift")):
        found[path.stem.split("+")[0]].read(path.read_text(encoding="utf-8"))
    return found


def circles(graph):
    """Strongly connected components with more than one member (Tarjan 1972)."""
    index, low, stack, waiting, result = {}, {}, [], set(), []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        waiting.add(node)
        for other in sorted(graph[node]):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in waiting:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            component = []
            while not component or component[-1] != node:
                component.append(stack.pop())
                waiting.discard(component[-1])
            if len(component) > 1:
                result.append(sorted(component))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return result


def uses(target):
    files = units(target)
    home = {name: file for file, unit in files.items() for name in unit.declared}
    return {
        file: {home[name] for name in unit.named if name in home and name not in unit.own and home[name] != file}
        for file, unit in files.items()
    }


def fault(kind, where, found, largest, known, files):
    """A sentence where `found` is more than is allowed; nothing where all is well."""
    allowed = known.get(where, largest)
    if found <= allowed:
        return []
    return [" ".join([f"{where}: {kind} of {found} files; {allowed} are allowed", *files])]


def main():
    sources = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "Sources")
    faults, checked = [], 0
    for target in sorted(path for path in sources.iterdir() if any(path.rglob("*.swift"))):
        large = [circle for circle in circles(uses(target)) if len(circle) > LARGEST_CIRCLE]
        files = [file for circle in large for file in circle]
        faults += fault("circles", target.name, len(files), 0, KNOWN_CIRCLES, files)
        for folder in [target, *sorted(path for path in target.rglob("*") if path.is_dir())]:
            count = len(list(folder.glob("*.swift")))
            name = str(folder.relative_to(sources))
            faults += fault("a flat folder", name, count, LARGEST_FOLDER, KNOWN_FOLDERS, [])
            checked += 1
        checked += 1
    print("\n".join([*faults, f"circles: {checked} checks, {len(faults)} wrong"]))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
