"""What the kernel keeps of us: contents never change, so it need not ask twice."""

import contextlib
import hashlib
import mmap
import os
import shutil
import signal
import subprocess

import pytest

from mounting import TIMEOUT, client_zip, digest, mounted, package, status, until


@contextlib.contextmanager
def stopped(mnt):
    """While the daemon can answer nothing."""
    pid = status(mnt)["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def alone(command, **options):
    """What a process prints; it must not need the daemon, which is stopped."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)
    try:
        return process.communicate(timeout=TIMEOUT)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        pytest.fail(f"{command}: asks the daemon")


def digest_of(handle):
    return alone(["sha256sum"], stdin=handle).split()[0]


@pytest.fixture
def large(repo):
    repo.write({"openpype/large.bin": os.urandom(3_000_000),
                "server_addon/server/large.bin": os.urandom(3_000_000)})
    return repo


def test_what_was_read_once_is_read_again_without_the_daemon(large, mount):
    for path in (client_zip(mount), package(mount) / "large.bin", package(mount) / "version.py"):
        expected, size = digest(path), path.stat().st_size
        # Opened anew, but with what the kernel kept of the first reading.
        with open(path, "rb") as handle, stopped(mount):
            assert digest_of(handle) == expected
            assert int(alone(["stat", "-L", "--format=%s", "/dev/stdin"], stdin=handle)) == size


def test_a_mapping_needs_no_daemon_once_it_was_read(large, mount):
    with open(client_zip(mount), "rb") as handle:
        with mmap.mmap(handle.fileno(), 0, prot=mmap.PROT_READ) as memory:
            expected = hashlib.sha256(memory).hexdigest()
            with open(client_zip(mount), "rb") as again, stopped(mount):
                assert hashlib.sha256(memory).hexdigest() == expected
                assert digest_of(again) == expected


def test_an_edit_elsewhere_takes_nothing_from_the_kernel(large, mount):
    expected = digest(client_zip(mount))
    with open(client_zip(mount), "rb") as handle:
        (large.path / "openpype/lib/tools.py").write_text("edited")
        other = digest(client_zip(mount))
        assert other != expected
        with open(client_zip(mount), "rb") as after, stopped(mount):
            assert digest_of(handle) == expected
            assert digest_of(after) == other


def test_names_and_attributes_of_what_is_frozen_are_asked_for_once(large, mount):
    large.commit()
    frozen = os.path.realpath(mount / "HEAD")
    paths = [os.path.relpath(path, frozen) for path in (
        client_zip(frozen), client_zip(frozen).parent, package(frozen), package(frozen) / "version.py")]
    absent = os.path.relpath(package(frozen) / "absent", frozen)
    command = ["sh", "-c", 'absent=$1; shift; test ! -e "$absent"; stat --format="%n %s %i %Y %a" "$@"',
               "sh", absent, *paths]
    before = subprocess.run(command, cwd=frozen, capture_output=True, text=True, check=True).stdout
    assert before.count("\n") == len(paths)
    inside = os.open(frozen, os.O_PATH)
    with stopped(mount):
        assert alone(command, preexec_fn=lambda: os.fchdir(inside)) == before
    os.close(inside)


def test_live_names_are_asked_for_each_time(mount, repo):
    """What is kept is content: a name is never taken from the kernel's memory."""
    assert (package(mount) / "version.py").read_text()
    with stopped(mount):
        reader = subprocess.Popen(["cat", package(mount) / "version.py"], stdout=subprocess.PIPE)
        (repo.path / "openpype/version.py").write_text('__version__ = "3.15.12"  # edited\n')
    assert reader.communicate(timeout=TIMEOUT)[0] == b'__version__ = "3.15.12"  # edited\n'


def test_what_has_gone_from_the_live_tree_is_not_remembered(repo, mount):
    def remembered():
        return int(os.getxattr(mount, "user.addonfs.inodes"))

    def show(version, folder):
        repo.write({"openpype/version.py": f'__version__ = "{version}"\n', f"server_addon/server/{folder}/x.py": ""})
        subprocess.run(["find", package(mount, version), "-ls"], check=True, capture_output=True)

    show("1.0.0", "a")
    before = remembered()
    for number in range(1, 30):
        shutil.rmtree(repo.path / "server_addon/server" / ("b" if number % 2 == 0 else "a"))
        show(f"1.0.{number}", "a" if number % 2 == 0 else "b")
        show(f"1.0.{number}", "a" if number % 2 == 0 else "b")
    until(lambda: remembered() <= before + 2)


def heaps(pid):
    """How many heaps glibc has beside the first: 64 MiB each, at a multiple of that, used at the front."""
    size = 64 << 20
    found, start = 0, None
    with open(f"/proc/{pid}/maps") as lines:
        for line in lines:
            first, last = (int(address, 16) for address in line.split()[0].split("-"))
            rights = line.split()[1]
            found += rights == "---p" and start is not None and last == start + size
            start = first if rights == "rw-p" and first % size == 0 else None
    return found


def test_many_threads_share_few_heaps(large, mount):
    paths = [client_zip(mount), package(mount) / "large.bin"] * 8
    for path in paths[:2]:
        path.stat()
    processes = [subprocess.Popen(["dd", f"if={path}", "of=/dev/null", "bs=1M", "iflag=direct"],
                                  stderr=subprocess.DEVNULL) for path in paths]
    assert [process.wait(TIMEOUT) for process in processes] == [0] * len(processes)
    assert heaps(status(mount)["pid"]) <= 2
