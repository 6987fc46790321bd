"""What readdir tells beside the names."""

import ctypes
import os
import struct

import pytest

from mounting import mounted

LIBC = ctypes.CDLL(None, use_errno=True)


def listing(path):
    """{name: inode number} as getdents64(2) tells it."""
    found = {}
    buffer = ctypes.create_string_buffer(1 << 16)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        while (size := LIBC.syscall(217 if os.uname().machine == "x86_64" else 61, fd, buffer,
                                    len(buffer))) > 0:
            at = 0
            while at < size:
                number, _, length, _ = struct.unpack_from("=QqHB", buffer, at)
                name = buffer.raw[at + 19:at + length].split(b"\0", 1)[0]
                found[os.fsdecode(name)] = number
                at += length
        assert size == 0
    finally:
        os.close(fd)
    return found


def folders(top):
    return [base for base, _, _ in os.walk(top)]


@pytest.mark.parametrize("options", ["", "view=package", "rev=main"])
def test_dots_lead_where_they_lead(repo, folder, fuse, options):
    repo.git("branch", "feature/deep/new")
    repo.git("tag", "v1")
    with mounted(repo.path, folder / "mnt", options) as mnt:
        if options != "view=package":
            os.listdir(mnt / "commits" / repo.git("rev-parse", "HEAD").decode().strip())
            os.listdir(mnt / "snapshots/current/package")
        seen = folders(mnt)
        if options != "view=package":
            assert len(seen) > 20
        for path in seen:
            found = listing(path)
            assert found["."] == os.stat(path).st_ino, path
            above = path if path == str(mnt) else os.path.dirname(path)
            assert found[".."] == os.stat(above).st_ino, path
            for name in set(found) - {".", ".."}:
                number = os.lstat(os.path.join(path, name)).st_ino
                # Of what is made for each who looks the number is not known before.
                assert found[name] in (number, 0xffffffff), f"{path}/{name}"
