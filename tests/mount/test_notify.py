"""Readiness, as a service manager is told of it (sd_notify(3))."""

import os
import signal
import socket
import subprocess

import pytest

from mounting import ADDONFS, clean, client_zip, is_mounted


@pytest.mark.parametrize("abstract", [False, True])
def test_ready_is_said_when_the_mount_answers(repo, folder, fuse, abstract):
    mnt = folder / "mnt"
    mnt.mkdir()
    name = f"\0addonfs-test-{os.getpid()}" if abstract else str(folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        manager.settimeout(60)
        environment = {**os.environ, "NOTIFY_SOCKET": name.replace("\0", "@")}
        daemon = subprocess.Popen([ADDONFS, "mount", "-f", repo.path, mnt], env=environment)
        try:
            assert manager.recv(100) == b"READY=1"
            assert is_mounted(mnt) and client_zip(mnt).read_bytes()
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(60) == 0
        finally:
            daemon.kill()
            daemon.wait()
            clean(mnt)


@pytest.mark.parametrize("name", ["", "x", "relative", "/" + "x" * 200, "/nowhere/at/all"])
def test_a_manager_that_does_not_listen_is_no_hindrance(repo, folder, fuse, name):
    mnt = folder / "mnt"
    mnt.mkdir()
    try:
        subprocess.run([ADDONFS, "mount", repo.path, mnt], env={**os.environ, "NOTIFY_SOCKET": name}, check=True)
        assert client_zip(mnt).read_bytes()
    finally:
        clean(mnt)
