"""Running addonfs: mounts that are always taken away again, and what they say."""

import contextlib
import hashlib
import json
import os
import pty
import re
import select
import subprocess
import tempfile
import time
from pathlib import Path

from repository import ENVIRONMENT

ADDONFS = os.environ.get("ADDONFS", "")
TIMEOUT = 120


def until(condition):
    """Look again and again until it is so."""
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, "what was waited for does not happen"
        time.sleep(0.001)  # out of politeness: others need the processor too


def settle(root, *paths):
    """
    Wait until the stamps of `paths`, or of all below `root`, are so old that they are trusted: two seconds (core/stamp.c).

    What tells the time is their own file system: a file beside the root is written until its stamp is that much later.
    """
    paths = paths or [os.path.join(base, name) for base, folders, files in os.walk(root) for name in folders + files]
    newest = max(os.lstat(path).st_ctime_ns for path in paths)

    def is_later():
        probe.write(b".")
        return os.fstat(probe.fileno()).st_ctime_ns > newest + 2_000_000_000

    with tempfile.TemporaryFile(dir=Path(root).parent, buffering=0) as probe:
        until(is_later)


def run(*arguments, timeout=TIMEOUT, **options):
    """Run addonfs, or another program if the first argument says so."""
    options.setdefault("env", {**os.environ, **ENVIRONMENT})
    return subprocess.run(
        [ADDONFS, *map(os.fspath, arguments)],
        capture_output=True,
        timeout=timeout,
        **options,
    )


def on_terminal(*arguments, env={}, **streams):
    """How addonfs ends, and what it sends to a terminal that is its stdout and stderr (but for `streams`)."""
    leader, follower = pty.openpty()
    process = subprocess.Popen([ADDONFS, *map(os.fspath, arguments)], env={**os.environ, **ENVIRONMENT, "TERM": "xterm", **env},
                               **{"stdout": follower, "stderr": follower, **streams})
    os.close(follower)
    shown = b""
    try:
        while part := os.read(leader, 4096):
            shown += part
    except OSError:
        pass  # the other side is closed
    os.close(leader)
    return process.wait(TIMEOUT), shown.decode().replace("\r\n", "\n")


def unescaped(field):
    """A field of mountinfo (proc_pid_mountinfo(5)): blanks and the like stand there in octal."""
    return re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), field)


def is_mounted(path):
    place = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    with open("/proc/self/mountinfo", "rb") as file:
        return any(unescaped(line.split()[4]) == os.fsencode(place) for line in file)


def mounts(folder):
    """Every mount point below the folder."""
    with open("/proc/self/mountinfo", "rb") as file:
        paths = [os.fsdecode(unescaped(line.split()[4])) for line in file]
    return [path for path in paths if path.startswith(f"{folder}/")]


def await_waiter(path):
    """The first process that waits for a lock on the file (proc_locks(5))."""
    inode = f":{os.stat(path).st_ino}"
    while True:
        with open("/proc/locks") as locks:
            for line in locks:
                fields = line.split()
                if fields[1] == "->" and fields[6].endswith(inode):
                    return int(fields[5])


def daemon_pid(mountpoint):
    return int(os.getxattr(mountpoint, "user.addonfs.pid"))


def has_ended(pidfd):
    return bool(select.select([pidfd], [], [], 0)[0])


def await_end(pidfd):
    assert select.select([pidfd], [], [], TIMEOUT)[0], "the daemon does not end"


def status(mountpoint):
    return json.loads((Path(mountpoint) / ".addonfs" / "status.json").read_text())


def errors(mountpoint):
    return [p for p in status(mountpoint)["problems"] if p["severity"] == "error"]


@contextlib.contextmanager
def mounted(source, mountpoint, options="", **more):
    """Mount, hand the mount point out, unmount, and see that the daemon has ended by then."""
    mountpoint = Path(mountpoint)
    mountpoint.mkdir(parents=True, exist_ok=True)
    result = run("mount", source, mountpoint, *(["-o", options] if options else []), **more)
    assert result.returncode == 0, result.stderr.decode()
    assert result.stderr == b"" and result.stdout == b""
    try:
        pidfd = os.pidfd_open(daemon_pid(mountpoint))
        try:
            yield mountpoint
            result = run("umount", mountpoint)
            assert result.returncode == 0, result.stderr.decode()
            assert has_ended(pidfd), "umount returned before the daemon had ended"
            assert not is_mounted(mountpoint)
        finally:
            os.close(pidfd)
    finally:
        clean(mountpoint)


class Foreground:
    """A mount whose daemon stays in the foreground, and what it has said (after its end)."""

    def __init__(self, process, mountpoint):
        self.process = process
        self.mnt = mountpoint
        self.log = []


@contextlib.contextmanager
def foreground(source, mountpoint, options=""):
    """As `mounted`, with -f: hands out a Foreground, whose log is complete behind the block."""
    mountpoint = Path(mountpoint)
    mountpoint.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [ADDONFS, "mount", source, mountpoint, "-f", *(["-o", options] if options else [])],
        stderr=subprocess.PIPE, text=True, env={**os.environ, **ENVIRONMENT})
    mount = Foreground(process, mountpoint)
    try:
        line = process.stderr.readline()
        assert "is mounted at" in line, line
        yield mount
        result = run("umount", mountpoint)
        assert result.returncode == 0, result.stderr.decode()
        mount.log = process.communicate(timeout=TIMEOUT)[1].splitlines()
        assert process.returncode == 0
    finally:
        clean(mountpoint)
        process.stderr.close()
        process.wait(TIMEOUT)


def clean(mountpoint):
    """Whatever happened: no mount stays."""
    for command in (["umount", "-l"], ["fusermount3", "-uz"]) * 3:
        if is_mounted(mountpoint):
            subprocess.run([*command, os.fspath(mountpoint)], capture_output=True)
    assert not is_mounted(mountpoint)


def package(mountpoint, version="3.15.12"):
    return Path(mountpoint) / "package" / "openpype" / version


def client_zip(mountpoint, version="3.15.12"):
    return package(mountpoint, version) / "private" / "client.zip"


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
