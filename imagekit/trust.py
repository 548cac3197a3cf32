"""What an overlay has an image trust: certificates (PEM) and the keys of package archives (OpenPGP), as files."""

from __future__ import annotations

import hashlib
import re
import ssl
from pathlib import Path

LIMIT = 1_000_000
"""Bytes of such a file."""

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_PUBLIC, _SECRET = (0x98, 0x99, 0xC6), (0x94, 0x95, 0xC5)
"""First byte of a binary key: the packet tags 6 (public key) and 5 (secret key), RFC 9580, section 4.2."""


def certificates(path: Path) -> list[bytes]:
    """The certificates of a PEM file, each as one PEM. Raises ValueError saying what is wrong with it."""
    content = _read(path)
    if b"PRIVATE KEY" in content:
        raise ValueError("holds a private key; an image gets certificates only")
    blocks = [block.strip() + b"\n" for block in _PEM.findall(content)]
    if not blocks:
        raise ValueError("holds no certificate (PEM, -----BEGIN CERTIFICATE-----)")
    for number, block in enumerate(blocks, 1):
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=block.decode("ascii"))
        except (ssl.SSLError, ValueError):
            raise ValueError(f"certificate {number} in it is damaged") from None
    return blocks


def fingerprint(certificate: bytes) -> str:
    """sha256 of the DER form, as `openssl x509 -fingerprint -sha256` gives it, in lower case without colons."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.decode("ascii"))).hexdigest()


def openpgp(path: Path) -> tuple[str, bytes]:
    """A public key and the ending that apt knows its form by: .asc (armoured) or .gpg. Raises ValueError."""
    content = _read(path)
    if b"PRIVATE KEY BLOCK" in content or content[:1] in map(_byte, _SECRET):
        raise ValueError("holds a secret key; an image gets the public one only (gpg --export)")
    if b"-----BEGIN PGP PUBLIC KEY BLOCK-----" in content:
        return ".asc", content
    if content[:1] in map(_byte, _PUBLIC):
        return ".gpg", content
    raise ValueError("is no OpenPGP public key, armoured or binary")


def _byte(number: int) -> bytes:
    return bytes([number])


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > LIMIT:
            raise ValueError(f"has more than {LIMIT:,} bytes")
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
