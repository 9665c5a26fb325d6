"""Fenced code blocks of the documents, and the commands in them."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[\w-]*)\n(?P<text>.*?)^ *```$", re.DOTALL | re.MULTILINE)
ASSIGNMENT = re.compile(r"[A-Z_]+=")
NEXTUP = ("nextup", ".venv/bin/nextup")


@dataclass(frozen=True)
class CodeBlock:
    """One fenced block; `document` is a path from the root of the repository."""

    document: str
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.document}:{self.line}"

    def split_commands(self) -> list[list[str]]:
        """Split the block into the words of each command; a backslash continues a line, `&&` ends a command."""
        lines = self.text.replace("\\\n", " ").splitlines()
        parts = [part for line in lines for part in re.split(r"\s&&\s", line)]
        return [words for words in (shlex.split(part, comments=True) for part in parts) if words]


def find_code_blocks(path: Path) -> list[CodeBlock]:
    """Find the fenced blocks of a document, without the indentation that a list gives them."""
    content = path.read_text(encoding="utf-8")
    return [
        CodeBlock(
            str(path.relative_to(ROOT)),
            content.count("\n", 0, match.start()) + 1,
            match["language"],
            re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE),
        )
        for match in FENCE.finditer(content)
    ]


def find_code_block(document: str, text: str) -> CodeBlock:
    """Find the only block of a document that contains the text."""
    (block,) = (block for block in find_code_blocks(ROOT / document) if text in block.text)
    return block


def get_nextup_arguments(words: list[str]) -> list[str] | None:
    """Words after `nextup` in a command, which variables and a launcher may precede; None for other programs."""
    position = next((at for at, word in enumerate(words) if word in NEXTUP or word == "app.commands.main"), None)
    launchers = words[:position]
    is_launched = all(ASSIGNMENT.match(word) for word in launchers) or launchers[:1] == ["torchrun"]
    return words[position + 1 :] if position is not None and is_launched else None
