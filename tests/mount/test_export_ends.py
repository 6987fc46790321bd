"""An export that is ended, or for which there is no room, leaves nothing half-made."""

import fcntl
import os
import signal
import subprocess

import pytest

import oracle
from mounting import ADDONFS, TIMEOUT, await_waiter, run

pytestmark = pytest.mark.usefixtures("program")

ENDS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
NAMES = ["out", "x.zip", "x.tar.xz"]


# What takes long to be compressed: into client.zip, and again into an archive.
LARGE = {"openpype/large.bin": os.urandom(1 << 20) * 64,
         "server_addon/server/a.bin": os.urandom(1 << 20) * 16}


def start(repo, path, action=signal.SIG_DFL, options="cache=none,level=12"):
    def set_up():
        for number in ENDS:
            signal.signal(number, action)

    return subprocess.Popen([ADDONFS, "export", repo.path, path, "-o", options],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=set_up)


def names(folder):
    return sorted(os.path.join(base, name)
                  for base, folders, files in os.walk(folder) for name in folders + files)


def await_half_made(export, folder, before=()):
    """There is something new: it has begun to write."""
    while not set(names(folder)) - set(before):
        assert export.poll() is None, export.stderr.read()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("end", ENDS, ids=[end.name for end in ENDS])
def test_a_signal_ends_it_and_leaves_nothing(repo, folder, name, end):
    target = folder / "target"
    target.mkdir()
    repo.write(LARGE)
    export = start(repo, target / name)
    await_half_made(export, target)
    while export.poll() is None:
        export.send_signal(end)  # impatience does no harm
    assert export.wait(TIMEOUT) == -end
    assert export.communicate() == (b"", b"")
    assert names(target) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_signal_leaves_what_was_there(repo, folder, name):
    target = folder / "target"
    (target / "openpype").mkdir(parents=True)
    assert run("export", repo.path, target / name).returncode == 0
    before = names(target)
    expected = oracle.package_a(repo.path)
    repo.write(LARGE)
    export = start(repo, target / name)
    await_half_made(export, target, before)
    export.send_signal(signal.SIGTERM)
    assert export.wait(TIMEOUT) == -signal.SIGTERM
    assert names(target) == before
    if name == "out":
        assert list(oracle.compare(expected, target / "out/openpype/3.15.12")) == []


def test_a_signal_before_anything_is_written_ends_it_at_once(repo, folder):
    cache = folder / "cache"
    cache.mkdir(mode=0o700)
    (cache / "members.sqlite").write_bytes(b"damaged" * 1000)
    (cache / "lock").touch()
    with open(cache / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        export = start(repo, folder / "out", options=f"cache={cache}")
        await_waiter(cache / "lock")
        export.send_signal(signal.SIGINT)
        assert export.wait(TIMEOUT) == -signal.SIGINT
    assert not (folder / "out").exists()


def test_under_nohup_it_goes_on(repo, folder):
    repo.write({"openpype/large.bin": os.urandom(1 << 20) * 8})
    export = start(repo, folder / "out", signal.SIG_IGN)
    while export.poll() is None:
        export.send_signal(signal.SIGHUP)
    assert export.wait(TIMEOUT) == 0, export.stderr.read()
    assert list(oracle.compare(oracle.package_a(repo.path), folder / "out/openpype/3.15.12")) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_may_not_grow_so_large_is_a_failure(repo, folder, name):
    (folder / "target").mkdir()
    repo.write({"server_addon/server/large.bin": os.urandom(1 << 20)})
    result = subprocess.run(["prlimit", "--fsize=500000", ADDONFS, "export", repo.path,
                             folder / "target" / name, "-o", "cache=none"], capture_output=True)
    assert result.returncode == 1 and result.stderr.count(b"\n") == 1
    assert b"File too large" in result.stderr, result.stderr
    assert os.listdir(folder / "target") == []


@pytest.mark.usefixtures("root_user")
@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_is_a_failure(repo, folder, name):
    (folder / "target").mkdir()
    repo.write({"server_addon/server/large.bin": os.urandom(2 << 20)})
    result = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c",
         'mount -t tmpfs -o size=1m none "$2"; "$0" export "$1" "$2/$3"; code=$?; '
         'ls -A "$2"; exit $code', ADDONFS, repo.path, folder / "target", name],
        capture_output=True, timeout=TIMEOUT)
    assert result.returncode == 1 and result.stderr.count(b"\n") == 1
    assert b"No space left on device" in result.stderr, result.stderr
    assert result.stdout == b""
