"""The Markdown pages of the repository: their blocks, headings, links and inline code."""

import dataclasses
import functools
import pathlib
import re
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[2]
GENERATED = (ROOT / "docs/reference/commands.md", ROOT / "docs/reference/tools.md")
_DOCUMENTATION = sorted(path for path in (ROOT / "docs").rglob("*.md") if path not in GENERATED)
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *_DOCUMENTATION)
RECORDS = ROOT / "docs" / "results"
"""Records of experiments. They say what was run at the time, and are not run again."""

_FENCE = re.compile(r"(?P<indent> *)(?P<marks>`{3,}|~{3,})(?P<info>.*)")
_COMMENT = re.compile(r"<!-- (?P<kind>not tested|diff|after): (?P<value>.*) -->")


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: The file.
        line: The number of the first line of the text.
        info: The info string: `bash`, `python`, `text`, ...
        text: The text.
        comment: The kind and the value of the comment before the block, such as `("not tested", "needs Docker")`; empty
            strings for a block without such a comment.
    """

    page: pathlib.Path
    line: int
    info: str
    text: str
    comment: tuple[str, str]

    @property
    def place(self) -> str:
        """The page and the line, for messages."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def shell(self) -> str:
        """The shell commands: a `bash` block, or what follows `$` in a `console` block, which also has the output."""
        if self.info == "console":
            return "\n".join(re.findall(r"(?m)^\$ ((?:.*\\\n)*.*)$", self.text))
        return self.text if self.info == "bash" else ""


@functools.cache
def read_page(path: pathlib.Path) -> str:
    return path.read_text(encoding="utf-8")


@functools.cache
def find_blocks(page: pathlib.Path) -> tuple[Block, ...]:
    """Return the fenced blocks of a page."""
    blocks: list[Block] = []
    fence, start, before = None, 0, ""
    lines = read_page(page).splitlines()
    for number, line in enumerate(lines):
        if fence is None:
            fence, start = _FENCE.fullmatch(line), number + 1
            if fence is None and line.strip():
                before = line.strip()
        elif line.strip() == fence["marks"]:
            text = "".join(f"{line.removeprefix(fence['indent'])}\n" for line in lines[start:number])
            comment = _COMMENT.fullmatch(before)
            named = (comment["kind"], comment["value"]) if comment else ("", "")
            blocks.append(Block(page, start + 1, fence["info"].strip(), text, named))
            fence, before = None, ""
    assert fence is None, f"{page}:{start}: the fence is not closed"
    return tuple(blocks)


def read_prose(page: pathlib.Path) -> list[str]:
    """Return the lines of a page, with empty lines in place of fenced blocks and HTML comments."""
    lines = read_page(page).splitlines()
    for block in find_blocks(page):
        count = len(block.text.splitlines())
        lines[block.line - 2 : block.line + count] = [""] * (count + 2)
    return [re.sub(r"<!--.*?-->", "", line) for line in lines]


def read_own_text(page: pathlib.Path) -> list[str]:
    """Return `read_prose`, of tables that compare other programs with this project only the column `here`."""
    lines = read_prose(page)
    column = None
    for number, line in enumerate(lines):
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)] if line.startswith("|") else []
        if not cells:
            column = None
        elif column is None and "here" in cells:
            column = cells.index("here")
        if column is not None:
            lines[number] = cells[column]
    return lines


def find_code_spans(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Yield the line number and the text of each code span; a span may continue on the next line."""
    text = "\n".join(lines)
    for match in re.finditer(r"(?<!`)(`+)(?!`)((?:(?!\n\n).)+?)(?<!`)\1(?!`)", text, re.DOTALL):
        span = " ".join(match[2].replace("\\|", "|").split())
        yield text.count("\n", 0, match.start()) + 1, span


def find_links(page: pathlib.Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the target of each link and image."""
    for number, line in enumerate(read_prose(page), 1):
        for target in re.findall(r"\]\(([^()\s]*(?:\([^()\s]*\)[^()\s]*)?)\)", re.sub(r"`[^`]*`", "", line)):
            yield number, target


@functools.cache
def find_anchors(page: pathlib.Path) -> frozenset[str]:
    """Return the anchors of the headings of a page, as GitHub makes them."""
    anchors: list[str] = []
    for line in read_prose(page):
        heading = re.fullmatch(r"#{1,6} (.*)", line)
        if heading:
            text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading[1])
            anchor = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
            anchors.append(f"{anchor}-{anchors.count(anchor)}" if anchor in anchors else anchor)
    return frozenset(anchors)
