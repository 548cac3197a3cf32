"""What a layer holds that the image no longer shows."""

from __future__ import annotations

import functools
import io
import tarfile
from collections.abc import Callable
from typing import Any

import pytest

from imagekit.proof import layers

ROOT, OTHER, DISTRIBUTION = (
    f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n" for text in ("AAAA", "BBBB", "CCCC")
)
BUNDLE = "etc/ssl/certs/ca-certificates.crt"
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"
IMAGE: dict[str, Any] = {"Config": {"Labels": {"io.imagekit.trust": "acme.crt=sha256:00"}}}


def of(files: dict[str, str]) -> Callable[[], tarfile.TarFile]:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return functools.partial(tarfile.open, fileobj=io.BytesIO(out.getvalue()))


def found(*files: dict[str, str]) -> list[str]:
    (check,) = layers.checks(IMAGE, [of(rows) for rows in files])
    assert (check.status == "FAIL") == bool(check.found) and check.stage == "deep"
    return check.found.split("; ") if check.found else []


@pytest.mark.parametrize(("below", "above", "told"), [
    ({"root/.netrc": "x"}, {"root/.wh..netrc": ""}, "layer 1: /root/.netrc, which a later layer hides"),
    ({"root/.netrc": "x"}, {}, "layer 1: /root/.netrc"),
    ({"./home/bob/.aws/credentials": "x"}, {"./home/bob/.wh..aws": ""},
     "layer 1: /home/bob/.aws/credentials, which a later layer hides"),
    ({"root/.cache/pip/http/a": "x"}, {"root/.wh..cache": ""},
     "layer 1: /root/.cache/pip/http/a, which a later layer hides"),
    ({"workspace/key": KEY}, {"workspace/.wh..wh..opq": ""},
     "layer 1: a private key in /workspace/key, which a later layer hides"),
    ({"usr/share/doc/key": KEY}, {"usr/share/doc/.wh.key": ""},
     "layer 1: a private key in /usr/share/doc/key, which a later layer hides"),
    ({"etc/app.conf": "url = https://bob:hunter22@host/simple"}, {"etc/app.conf": "url ="},
     "layer 1: a password in an address in /etc/app.conf, which a later layer hides"),
    ({"workspace/.env": "API_KEY=abcdefgh"}, {}, "layer 1: a value for API_KEY in /workspace/.env"),
    ({"usr/local/share/ca-certificates/corp.crt": ROOT}, {"usr/local/share/ca-certificates/.wh.corp.crt": ""},
     "layer 1: the certificate authority /usr/local/share/ca-certificates/corp.crt, which a later layer hides"),
    ({BUNDLE: DISTRIBUTION + OTHER, "usr/share/ca-certificates/a.crt": DISTRIBUTION}, {BUNDLE: DISTRIBUTION},
     f"layer 1: 1 unknown certificate authorities in /{BUNDLE}"),
    ({"opt/venv/lib/python/site-packages/certifi/cacert.pem": OTHER},
     {"opt/venv/lib/python/site-packages/certifi/cacert.pem": ROOT},
     "layer 1: another /opt/venv/lib/python/site-packages/certifi/cacert.pem, which a later layer hides"),
])  # fmt: skip
def test_what_a_layer_must_not_hold(below: dict[str, str], above: dict[str, str], told: str) -> None:
    assert found(below, above) == [told]


@pytest.mark.parametrize("files", [
    {"usr/share/doc/ssh/key": KEY, "opt/venv/lib/python/site-packages/paramiko/tests/key": KEY},
    {"root/.netrc": "", "run/secrets/kubernetes.io/token": "x", "var/cache/apt/archives/lock": "x"},
    {"usr/local/share/ca-certificates/acme.crt": ROOT, BUNDLE: DISTRIBUTION + ROOT,
     "usr/share/ca-certificates/a.crt": DISTRIBUTION},
    {"workspace/data.bin": "\0" + KEY, "workspace/huge.txt": KEY + " " * layers.SEARCHED},
    {"opt/venv/lib/python/site-packages/certifi/cacert.pem": ROOT},
])  # fmt: skip
def test_what_it_may_hold(files: dict[str, str]) -> None:
    assert found(files) == []


def test_bytes_that_nobody_sees_are_counted() -> None:
    big = {"opt/big": "x" * 2_500_000}
    (check,) = layers.checks({}, [of(big), of(big), of({"opt/.wh.big": ""})])
    assert dict(check.figures) == {"layers": 3, "files": 2, "hidden_mb": 5.0}


def test_no_secret_is_repeated() -> None:
    assert "hunter22" not in " ".join(found({"etc/pip.conf": "https://bob:hunter22@host/"}))


def test_a_layer_hides_nothing_of_its_own() -> None:
    seen = layers.look([of({"a/.wh..wh..opq": "", "a/b": "x"}), of({"a/.wh.c": "", "a/c": "y"})])
    assert seen.hidden == 0 and seen.files == 2
