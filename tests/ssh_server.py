"""An SSH server on this machine that lets one key in and runs what it is told, for engines over ssh://."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko

HOST = "engine-room"
"""Name of the server in the configuration of the client."""

CLIENT = """Host {host}
  HostName 127.0.0.1
  Port {port}
  User me
  IdentityFile {folder}/user
  IdentitiesOnly yes
  StrictHostKeyChecking yes
  UserKnownHostsFile {folder}/known
"""


class _Door(paramiko.ServerInterface):
    def __init__(self, allowed: str) -> None:
        self.allowed = allowed

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        known = username == "me" and key.get_base64() == self.allowed
        return paramiko.AUTH_SUCCESSFUL if known else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: Any, command: bytes) -> bool:
        threading.Thread(target=_run, args=(channel, command.decode()), daemon=True).start()
        return True


def _run(channel: Any, command: str) -> None:
    """One command, its input and output those of the channel."""
    process = subprocess.Popen(command, shell=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def read() -> None:
        with contextlib.suppress(OSError):
            while data := channel.recv(1 << 16):
                os.write(stdin.fileno(), data)  # all of it: a pipe that blocks takes everything
        with contextlib.suppress(OSError):
            stdin.close()

    threading.Thread(target=read, daemon=True).start()
    with contextlib.suppress(OSError):
        while data := os.read(stdout.fileno(), 1 << 16):
            channel.sendall(data)
        channel.shutdown_write()
    code = process.wait()
    with contextlib.suppress(OSError, EOFError):  # the client is gone
        channel.send_exit_status(code)
        channel.close()


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[Path]:
    """A folder to be put first on PATH: an `ssh` that knows the server as HOST, and touches no file of the user."""
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", folder / name], check=True)
    host_key = paramiko.ECDSAKey(filename=str(folder / "host"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        (folder / "known").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
        (folder / "client").write_text(CLIENT.format(host=HOST, port=port, folder=folder))
        shim = folder / "bin/ssh"
        shim.parent.mkdir()
        shim.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/client "$@"\n')
        shim.chmod(0o755)
        allowed = (folder / "user.pub").read_text().split()[1]
        transports: list[paramiko.Transport] = []

        def accept() -> None:
            with contextlib.suppress(OSError):  # the end: the socket was closed
                while True:
                    connection, _ = listening.accept()
                    transport = paramiko.Transport(connection)
                    transport.add_server_key(host_key)
                    transports.append(transport)
                    with contextlib.suppress(paramiko.SSHException, EOFError):
                        transport.start_server(server=_Door(allowed), event=threading.Event())

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield shim.parent
        finally:
            for transport in transports:
                transport.close()
            listening.shutdown(socket.SHUT_RDWR)
