"""Code blocks of Markdown pages, with what a comment above a block says about it.

``<!-- file: NAME -->``: the block is the content of that file. ``<!-- parsed: REASON -->``: its commands are looked at
and not run. ``<!-- fails -->``: the command ends with exit status 2. ``<!-- output -->``: what the block before prints.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_MARK = re.compile(r"<!--\s*(file|parsed|fails|output)(?::\s*(.*?))?\s*-->\s*$")
_FENCE = re.compile(r"^( *)(`{3,})(\w*)[^`]*$")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: word after the fence, empty for none.
        text: the lines between the fences.
        line: number of its first line in the page, from 1.
        marks: what the comments directly above it say.
    """

    language: str
    text: str
    line: int
    marks: dict[str, str]


def blocks_of(page: str) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    found, marks = [], {}
    lines = page.splitlines()
    number = 0
    while number < len(lines):
        fence = _FENCE.match(lines[number])
        mark = _MARK.match(lines[number].strip())
        if fence:
            indent, ticks, language = fence.groups()
            end = next(i for i in range(number + 1, len(lines)) if lines[i].strip().startswith(ticks))
            body = [line.removeprefix(indent) for line in lines[number + 1 : end]]
            found.append(Block(language, "\n".join(body) + "\n", number + 2, marks))
            marks, number = {}, end
        elif mark:
            marks = {**marks, mark[1]: mark[2] or ""}
        elif lines[number].strip():
            marks = {}
        number += 1
    return found


def indented_code(page: str) -> list[int]:
    """Return the lines that Markdown takes for code because they are indented, outside of fences and lists."""
    wrong, fenced, listed, blank = [], False, False, True
    for number, line in enumerate(page.splitlines(), 1):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            listed = bool(re.match(r"\s*([-*+]|\d+\.) ", line)) or (
                listed and (not line.strip() or line.startswith("  "))
            )
            if line.startswith("    ") and blank and not listed:
                wrong.append(number)
        blank = not line.strip()
    return wrong


def commands_of(block: Block) -> list[str]:
    """Return the commands of a shell block: comments left out, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", block.text)
    lines = (re.sub(r"\s+#\s.*$", "", line).strip() for line in text.splitlines())
    return [line.removeprefix("$ ") for line in lines if line and not line.startswith("#")]
