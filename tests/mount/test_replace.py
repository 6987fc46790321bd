"""`addonfs mount --replace`: in the place of a mount whose daemon was killed."""

import errno
import os
import signal
import subprocess

import pytest

import oracle
from mounting import (ADDONFS, await_end, clean, client_zip, daemon_pid, is_mounted, mounted, mounts, package, run,
                      status)
from repository import ENVIRONMENT
from users import own


def kill(mnt):
    pid = daemon_pid(mnt)
    pidfd = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGKILL)
        await_end(pidfd)
    finally:
        os.close(pidfd)


@pytest.fixture
def dead(repo, folder, fuse):
    mnt = folder / "mnt"
    mnt.mkdir()
    assert run("mount", repo.path, mnt).returncode == 0
    try:
        kill(mnt)
        yield mnt
    finally:
        clean(mnt)


def test_a_dead_mount_answers_and_is_not_an_empty_folder(dead, repo):
    with pytest.raises(OSError) as failure:
        os.listdir(dead)
    assert failure.value.errno == errno.ENOTCONN
    result = run("mount", repo.path, dead)
    assert result.returncode == 1 and b"busy" in result.stderr


def test_it_takes_the_place_of_a_dead_mount(dead, repo):
    assert run("mount", repo.path, dead, "--replace").returncode == 0
    assert (package(dead) / "version.py").read_bytes() and client_zip(dead).read_bytes()
    assert run("umount", dead).returncode == 0
    assert not is_mounted(dead) and os.listdir(dead) == []


def test_whoever_still_works_in_the_dead_one_is_no_hindrance(repo, folder, fuse):
    with mounted(repo.path, folder / "mnt") as mnt:
        shell = subprocess.Popen(["cat"], cwd=package(mnt), stdin=subprocess.PIPE)
        held = open(client_zip(mnt), "rb")
        kill(mnt)
        try:
            assert run("mount", repo.path, mnt, "--replace").returncode == 0
            assert client_zip(mnt).read_bytes()
        finally:
            held.close()
            shell.communicate()


def test_a_living_mount_is_not_replaced(repo, folder, fuse):
    with mounted(repo.path, folder / "mnt") as mnt:
        pid = daemon_pid(mnt)
        result = run("mount", repo.path, mnt, "--replace")
        assert result.returncode == 1 and b"living" in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert daemon_pid(mnt) == pid and client_zip(mnt).read_bytes()


def test_where_nothing_is_mounted_it_just_mounts(repo, folder, fuse):
    mnt = folder / "mnt"
    mnt.mkdir()
    try:
        assert run("mount", "--replace", repo.path, mnt).returncode == 0
        assert client_zip(mnt).read_bytes()
    finally:
        clean(mnt)
    result = run("mount", "--replace", repo.path, folder / "absent")
    assert result.returncode == 1 and b"no such folder" in result.stderr


def test_a_source_that_fails_leaves_no_mount_behind(dead, folder):
    result = run("mount", folder, dead, "--replace")
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
    assert not is_mounted(dead)


def test_another_file_system_is_never_taken_away(repo, folder, fuse):
    mnt = folder / "mnt"
    mnt.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", mnt], check=True)
    try:
        (mnt / "kept").write_text("kept")
        result = run("mount", repo.path, mnt, "--replace")
        if result.returncode == 0:
            subprocess.run([ADDONFS, "umount", mnt], check=True)
        assert (mnt / "kept").read_text() == "kept"
    finally:
        subprocess.run(["umount", "-l", mnt], check=True)


def processes_of(folder):
    """Whoever was started with a path below the folder."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                line = file.read()
        except OSError:
            continue
        if os.fsencode(folder) + b"/" in line:
            found.append(line)
    return found


@pytest.mark.usefixtures("root_user")
@pytest.mark.parametrize("moment", ["at once", "while a zip is open"])
@pytest.mark.parametrize("halves", [["keeper"], ["server"], ["server", "keeper"], ["keeper", "server"]], ids=" ".join)
def test_whatever_is_left_of_another_users_mount_is_replaced(repo, folder, fuse, halves, moment):
    # More than is kept in memory, so there is a temporary file.
    repo.write({f"openpype/bulk/f{number}.bin": os.urandom(1 << 20) for number in range(9)})
    own(repo.path)
    right = oracle.package_a(repo.path)
    mnt, temporary, cache = (folder / name for name in ("mnt", "tmp", "cache"))
    for made in (mnt, temporary, cache):
        made.mkdir(0o700)
    own(temporary)
    own(cache)
    command = ["mount", repo.path, mnt, "--replace", "-o", f"cache={cache}"]
    environment = {**os.environ, **ENVIRONMENT, "TMPDIR": str(temporary)}
    pidfds = []

    def mount():
        result = run(*command, env=environment)
        assert result.returncode == 0 and result.stderr == b"" and result.stdout == b"", result.stderr
        keeper = daemon_pid(mnt)
        # status.json says it as well, when all is composed.
        with open(f"/proc/{keeper}/task/{keeper}/children") as file:
            [server] = map(int, file.read().split())
        pidfds.extend([os.pidfd_open(keeper), os.pidfd_open(server)])
        return {"keeper": keeper, "server": server}

    try:
        pids = mount()
        held = None
        if moment == "while a zip is open":
            assert status(mnt)["pid"] == pids["server"] != pids["keeper"]
            held = open(client_zip(mnt), "rb")
        for half in halves:
            try:
                os.kill(pids[half], signal.SIGKILL)
            except ProcessLookupError:
                # It ends by itself when the other has ended.
                assert half != halves[0]
        for pidfd in pidfds:
            await_end(pidfd)
        assert processes_of(folder) == []
        with pytest.raises(OSError) as failure:
            os.listdir(mnt)
        assert failure.value.errno == errno.ENOTCONN
        mount()
        assert list(oracle.compare(right, package(mnt))) == []
        if held:
            held.close()
        assert mounts(folder) == [str(mnt)]
        assert run("umount", mnt).returncode == 0
        for pidfd in pidfds:
            await_end(pidfd)
        assert mounts(folder) == [] and os.listdir(mnt) == [] and processes_of(folder) == []
        assert os.listdir(temporary) == [] and sorted(os.listdir(cache)) == ["lock", "members.sqlite"]
    finally:
        for pidfd in pidfds:
            os.close(pidfd)
        clean(mnt)
