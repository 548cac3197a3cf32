"""What only an engine can tell of an image: secrets in its history, a tag that is not true."""

from __future__ import annotations

from typing import Any

import pytest

from imagekit.proof import outside

LABELS = {"io.imagekit.torch": "2.4.1", "io.imagekit.cuda": "12.1"}


def image(env: tuple[str, ...] = (), **labels: str) -> dict[str, Any]:
    return {"Config": {"Env": list(env), "Labels": {**LABELS, **labels}}}


def found(line: str) -> list[str]:
    return list(outside.secrets(image(), [{"CreatedBy": "FROM x"}, {"CreatedBy": line}]))


@pytest.mark.parametrize(("line", "secret"), [
    ("RUN |1 TOKEN=s3cretvalue /bin/sh -c pip install x", "s3cretvalue"),
    ("RUN pip install --index-url https://bob:hunter2@pypi.example/simple acme", "hunter2"),
    ("RUN curl -H 'Authorization: Bearer abcdefgh12345' x", "abcdefgh12345"),
    ("ENV HF_TOKEN=hf_abcdefghijklmnopqrstuvwxyzabcdefgh", "hf_abcdefghijklmnopqrstuvwxyzabcdefgh"),
    ("RUN echo ghp_abcdefghijklmnopqrstuvwxyz0123", "ghp_abcdefghijklmnopqrstuvwxyz0123"),
    ("RUN echo '-----BEGIN OPENSSH PRIVATE KEY-----'", "BEGIN OPENSSH PRIVATE KEY"),
    ("RUN aws_secret_access_key=wJalrXUtnFEMI aws s3 ls", "wJalrXUtnFEMI"),
])  # fmt: skip
def test_secrets_are_found_and_not_repeated(line: str, secret: str) -> None:
    texts = found(line)
    assert texts and texts[0].startswith("instruction 2: ")
    assert secret not in " ".join(texts)


@pytest.mark.parametrize("line", [
    "RUN --mount=type=secret,id=token pip install x",
    "RUN TOKEN=$(cat /run/secrets/token) make",
    "RUN TOKEN=/run/secrets/token make",
    "ENV TOKENIZERS_PARALLELISM=false",
    "COPY rootfs/ / # buildkit",
    "RUN curl https://example.com/a@b",
    "RUN pip install hf_transfer",
])  # fmt: skip
def test_what_is_no_secret(line: str) -> None:
    assert found(line) == []


def test_environment_and_labels_are_looked_at() -> None:
    texts = list(outside.secrets(image(("PROXY=http://u:pw@proxy:3128",), note="API_KEY=abcdefgh"), []))
    assert [text.split(":")[0] for text in texts] == ["ENV", "LABEL"]


@pytest.mark.parametrize(("reference", "status"), [
    ("pytorch:2.4.1-cuda12.1", "PASS"), ("host:5000/ml/pytorch:2.4.1-cuda12.1-video-llm", "PASS"),
    ("pytorch:2.4.1-cuda12.4", "FAIL"), ("pytorch:2.5.0-cuda12.1-tiny", "FAIL"),
    ("pytorch:mine", ""), ("sha256:abc", ""), ("pytorch@sha256:abc", ""),
])  # fmt: skip
def test_a_tag_says_what_the_image_is(reference: str, status: str) -> None:
    names = {check.name: check.status for check in outside.checks(reference, image(), [])}
    assert names.get("tag", "") == status
    assert names["history"] == "PASS"


def test_a_failure_names_the_place() -> None:
    (history,) = outside.checks("x", image(), [{"CreatedBy": "RUN PASSWORD=hunter22 x"}])
    assert history.status == "FAIL" and "instruction 1" in history.found and "hunter22" not in history.found


@pytest.mark.parametrize(
    "piece", ["a:", "://a", "x=", "machine a login b ", "-u a:", " ", "eyJaaaaaaaaaaaa.", "-----BEGIN A "]
)
@pytest.mark.timeout(120)
def test_no_history_takes_long(piece: str) -> None:
    """That it ends is the test: a pattern that goes back over what it has seen takes hours."""
    found("RUN " + piece * (200_000 // len(piece)))
