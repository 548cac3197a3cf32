"""The images of pipeline.yaml, built by somebody else's tool."""

from __future__ import annotations

import json
import os
import subprocess

from rooms import Room, docker


def test_bake_builds_what_the_matrix_says(room: Room) -> None:
    """Debian's buildx, which knows nothing of imagekit, from the file and the contexts alone."""
    (one, first), (two, second) = room.profile("packages: [toolz]\n"), room.profile("")
    (room.folder / "pipeline.yaml").write_text(f"matrix: {{profile: [{one}, {two}]}}\n")
    path = room.good("matrix", "--format", "bake", "-o", "out").stdout.strip()
    assert path == "out/docker-bake.json"
    bad, third = room.profile('packages: ["toolz==99"]\n')
    (room.folder / "pipeline.yaml").write_text(f"matrix: {{profile: [{one}, {bad}, {two}]}}\n")
    part = room.run("matrix", "--format", "bake", "-o", "out")
    assert part.returncode == 3 and f"1 of 3 images\n  pytorch:2.4.1-cuda12.1-{third}: " in part.stderr, part.stderr
    tags = [f"pytorch:2.4.1-cuda12.1-{name}" for name in (first, second)]
    found = json.loads((room.folder / path).read_text())["target"]
    assert [row["tags"] for row in found.values()] == [[tag] for tag in tags]
    own = {"CA": os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt"}
    subprocess.run(
        ["docker", "buildx", "bake", "--load"], cwd=room.folder / "out", env={**os.environ, **own}, check=True,
        capture_output=True,
    )  # fmt: skip
    run = ("run", "--rm", "--network=none", tags[0], "python", "-c", "import toolz; print(toolz.__name__)")
    assert docker(*run) == "toolz"
    assert docker("inspect", "-f", '{{index .Config.Labels "io.imagekit.profile"}}', tags[1]) == second
