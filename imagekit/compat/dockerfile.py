"""What a Dockerfile says about versions: its base, and what pip installs. Nothing is run."""

from __future__ import annotations

import contextlib
import copy
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from packaging.requirements import InvalidRequirement

from imagekit.compat.documents import LONGEST, Document, bounded
from imagekit.errors import UsageError

_VALUED = (
    "-r", "--requirement", "-c", "--constraint", "-i", "--index-url", "--extra-index-url", "-f", "--find-links", "-t",
    "--target", "--prefix", "--timeout", "--retries", "--trusted-host", "--python", "--platform",
)  # fmt: skip
"""Options of `pip install` and `uv pip install` whose value is the next word."""


def read(path: Path) -> Document:
    """FROM, ARG and ENV, and what `pip install` names in the last stage and those it stands on.

    Raises UsageError for what cannot be read.
    """
    found = Document()
    values: dict[str, str] = {}
    stages: dict[str, Document] = {}
    known = False
    for number, word, rest in _instructions(bounded(path)):
        where, rest = f"{path.name}:{number}", _expanded(rest, values)
        if word == "FROM":
            image, *name = [part for part in rest.split() if not part.startswith("--")] or [""]
            image = _LOGIN.sub("***@", image)
            known = known or bool(image)
            found = copy.deepcopy(stages[image.lower()]) if image.lower() in stages else Document(base=image)
            if len(name) == 2 and name[0].upper() == "AS":
                stages[name[1].lower()] = found
        elif word in ("ARG", "ENV"):
            values |= _values(rest)
        elif word == "RUN":
            _run(where, rest, found)
    if not known:
        raise UsageError(f"{path} is not a Dockerfile: it has no FROM")
    python = re.match(r"(?:docker\.io/)?(?:library/)?python:(\d+\.\d+)", found.base)
    if python:
        found.python, found.base = python[1], ""
    return found.end()


_LOGIN = re.compile(r"^[^/@\s]+:[^/@\s]*@(?!sha256:)")
"""What is no part of a name of an image, and would be shown."""
_HERE = re.compile(r"<<-?([\"']?)(\w+)\1")


def _instructions(text: str) -> Iterator[tuple[int, str, str]]:
    """(line, instruction, its text): lines that end in a backslash and here-documents joined, comments left out."""
    waiting, first, end = "", 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if end:
            waiting, end = (waiting, "") if line.strip() == end else (f"{waiting} ; {line}", end)
            if end:
                continue
        elif line.lstrip().startswith("#"):
            continue
        else:
            first = first if waiting else number
            waiting += line.rstrip().removesuffix("\\") + " "
            here = _HERE.search(waiting)
            if here and waiting.lstrip()[:4].upper() in ("RUN ", "COPY"):
                waiting, end = _HERE.sub("", waiting), here[2]
                continue
            if line.rstrip().endswith("\\"):
                continue
        word, _, rest = waiting.strip().partition(" ")
        waiting = ""
        if word:
            yield first, word.upper(), rest.strip()


def _values(text: str) -> dict[str, str]:
    try:
        parts = shlex.split(text)
    except ValueError:
        return {}
    if parts and "=" not in parts[0]:
        return {parts[0]: " ".join(parts[1:])} if len(parts) > 1 else {}
    return {name: value for name, _, value in (part.partition("=") for part in parts) if value}


def _expanded(text: str, values: Mapping[str, str]) -> str:
    """With ARG and ENV of the file in their places; a variable that the file does not set stays as it is.

    A value that names others many times over could fill the memory: what is longer than LONGEST stays as it is, too.
    """

    def value(match: re.Match[str]) -> str:
        found = values.get(match[1] or match[3]) or match[2] or match[0]
        return found if len(found) <= LONGEST else match[0]

    return re.sub(r"\$\{(\w+)(?::?-([^}]*))?\}|\$(\w+)", value, text)


_OTHERS = ("conda", "mamba", "micromamba", "poetry", "pipenv", "pdm")


def _run(where: str, text: str, found: Document) -> None:
    """Every `pip install` of a RUN; what installs in another way, or cannot be read, is said."""
    for words in _commands(re.sub(r"^(--\S+\s+)+", "", text)):
        names = [word.rpartition("/")[2] for word in words]
        pip = next((n for n, name in enumerate(names) if re.fullmatch(r"pip3?(\.\d+)?", name)), None)
        if "install" in names and any(name in _OTHERS for name in names):
            found.unread(where, " ".join(words))
        elif pip is not None and "install" in words[pip:]:
            _install(where, words[words.index("install", pip) + 1 :], found)
        elif names[:2] in (["uv", "add"], ["uv", "sync"]):
            found.unread(where, " ".join(words))


def _commands(text: str) -> Iterator[list[str]]:
    """The commands of a RUN as words; of the exec form, the one that it is."""
    if text.startswith("["):
        with contextlib.suppress(ValueError):
            words = json.loads(text)
            yield [str(word) for word in words] if isinstance(words, list) else []
            return
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";&|()")
    lexer.whitespace_split, lexer.commenters = True, ""
    words = []
    try:
        for word in lexer:
            if word.strip(";&|()"):
                words.append(word)
            else:
                yield words
                words = []
    except ValueError:  # a quotation without an end
        words = ["pip", "install", "-r", "(a quotation without an end)"] if "pip" in text else []
    yield words


def _install(where: str, words: list[str], found: Document) -> None:
    option = ""
    for word in words:
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if option or (equals and name in _VALUED):
            _option(where, option or name, word if option else value, found)
            option = ""
        elif name in _VALUED:
            option = name
        elif not word.startswith("-"):
            _package(where, word, found)


def _option(where: str, option: str, value: str, found: Document) -> None:
    if option in ("-r", "--requirement"):
        found.unread(where, f"pip install -r {value}")
    elif option in ("-i", "--index-url", "--extra-index-url", "-f", "--find-links"):
        found.index(where, option, value)


def _package(where: str, word: str, found: Document) -> None:
    try:
        found.take(word)
    except InvalidRequirement:
        if "$" in word:
            found.unread(where, f"pip install {word}")
        # otherwise a folder, a URL, a wheel: nothing that has a version here
