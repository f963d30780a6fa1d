#!/usr/bin/env python3
"""Finds what Sources declare and never name again: nothing runs it, or tests only.

A name counts as used where it stands a second time anywhere in Sources, outside comments. So what is found is certain, and a
name that several things have is passed over. `REQUIRED` are names that other modules look for. `TESTS_ONLY` lets tests look into
a machine that has no other window; it may only shrink, and a name in it that is used, or gone, is a fault.

Prints one line for each fault and exits with 1 if there is any. Usage: tools/unused.py [SOURCES]
"""

import collections
import pathlib
import re
import sys

# NIO's handlers and resolvers, Codable, and @main.
REQUIRED = {"InboundOut", "OutboundIn", "initiateAQuery", "initiateAAAAQuery", "cancelQueries", "CodingKeys", "Annctl"}
TESTS_ONLY = {"isPending", "isStored", "owedReplies", "waitUntilChecked"}

COMMENT = re.compile(r"(?<!:)//[^\n]*|/\*.*?\*/", re.DOTALL)
WORD = re.compile(r"\w+")
DECLARATION = re.compile(r"\b(?:func|var|let|struct|class|enum|actor|typealias|protocol)\s+`?(\w+)")
# A line of cases of an enum: those of a switch end with a colon.
CASES = re.compile(r"^\s*(?:indirect )?case\s([^:\n]+)$", re.MULTILINE)
CASE = re.compile(r"(?:^|,)\s*([a-z]\w*)")


def declarations(text):
    for found in DECLARATION.finditer(text):
        yield found[1], found.start()
    for line in CASES.finditer(text):
        for found in CASE.finditer(line[1]):
            yield found[1], line.start() + 1


def main():
    sources = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "Sources")
    texts = {}
    for path in sorted(sources.rglob("*.swift")):
        texts[path] = COMMENT.sub(lambda found: "\n" * found[0].count("\n"), path.read_text(encoding="utf-8"))
    count = collections.Counter(word for text in texts.values() for word in WORD.findall(text))
    unused, checked = {}, 0
    for path, text in texts.items():
        for name, start in declarations(text):
            checked += 1
            if count[name] == 1 and name not in REQUIRED:
                unused[name] = f"{path}:{text.count(chr(10), 0, start) + 1}"
    faults = [f"{unused[name]}: nothing in {sources} uses '{name}'" for name in sorted(unused.keys() - TESTS_ONLY)]
    faults += [f"'{name}' has a use, or is gone: take it out of tools/unused.py" for name in sorted(TESTS_ONLY - unused.keys())]
    print("\n".join([*faults, f"unused: {checked} checks, {len(faults)} wrong"]))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
