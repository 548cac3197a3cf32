"""docs/troubleshooting.md: every known error, out of its data. tests/golden/update.py writes it."""

from __future__ import annotations

from pathlib import Path

from imagekit.diagnose.load import faults
from imagekit.diagnose.model import Fault

FILE = Path(__file__).parents[2] / "docs/troubleshooting.md"

HEAD = """\
# Troubleshooting

`imagekit diagnose` knows these errors. It reads what the error says, or a log of any size:

```
imagekit diagnose "CUDA error: no kernel image is available for execution on the device"
docker logs NAME 2>&1 | imagekit diagnose
imagekit diagnose --log build.log --json
imagekit diagnose --list
```

- Of several errors the most likely cause comes first. One that explains others is told in their place.
- It ends with 0 when something is known, and with 1 when nothing is; then it shows the last line that looks like an error.
- A line that it shows has no passwords. Nothing is sent anywhere.
- A failed build and a failed proof name the known error, too: `known: TITLE: imagekit diagnose ID`.

This page is written by `make golden` from the data, `imagekit/diagnose/data/`. `IMAGE`, `PROFILE`, `VER` and the like stand for yours.
"""


def page() -> str:
    parts = [HEAD]
    group = ""
    for fault in faults():
        if fault.group != group:
            parts.append(f"## {fault.group}\n")
            group = fault.group
        parts.append(_entry(fault))
    return "\n".join(parts)


def _entry(fault: Fault) -> str:
    rows = [
        f"### {fault.id}\n",
        f"{_sentence(fault.title)}\n",
        f"```\n{fault.example}\n```\n",
        f"- **Cause.** {_joined(fault.cause)}",
        f"- **Check.** {_joined(fault.check)}",
        f"- **Fix.** {_joined(fault.fix)}",
        f"- **More.** [{fault.docs}]({fault.docs}). Read for this: {', '.join(map(_link, fault.sources))}.",
    ]
    return "\n".join(rows) + "\n"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def _joined(text: str) -> str:
    """Lines as one paragraph with breaks; angle brackets and stars are text, not markup."""
    escaped = text.replace("<", "&lt;").replace("*", r"\*")
    return "<br>".join(escaped.splitlines())


def _link(source: str) -> str:
    name = source.removeprefix("https://").removeprefix("http://").removeprefix("github.com/")
    parts = name.split("/")
    if source.startswith("https://github.com/") and len(parts) == 4 and parts[2] in ("issues", "pull"):
        name = f"{parts[0]}/{parts[1]}#{parts[3]}"
    elif len(name) > 50:
        name = parts[0]
    return f"[{name}]({source})"
