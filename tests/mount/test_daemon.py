"""The processes behind a mount: what they inherit, how they end, what they leave."""

import fcntl
import os
import signal
import subprocess
import threading

import pytest

from mounting import (ADDONFS, TIMEOUT, await_end, await_waiter, clean, client_zip, daemon_pid,
                      has_ended, is_mounted, mounted, package, run, status)
from repository import ENVIRONMENT, Repository
from users import USER, own


@pytest.fixture
def place(fuse, folder):
    (folder / "mnt").mkdir()
    yield folder / "mnt"
    clean(folder / "mnt")


def one_line(result, *words):
    text = result.stderr.decode()
    assert result.returncode == 1, text
    assert text.startswith("addonfs: ") and text.count("\n") == 1, text
    for word in words:
        assert word in text, text


def private_namespace(script, *arguments):
    """Run a shell script in a mount namespace of its own."""
    return subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-ec", script, ADDONFS,
                           *map(os.fspath, arguments)], capture_output=True, timeout=120,
                          env={**os.environ, **ENVIRONMENT})


def test_a_mount_that_would_hide_its_source_is_refused(repo, folder, fuse):
    (repo.path / ".git/inside").mkdir()
    for place in (repo.path, repo.path.parent, "/", repo.path / ".git", repo.path / ".git/inside"):
        for options in ([], ["-o", "rev=HEAD"]):
            one_line(run("mount", repo.path, place, *options), str(place), "choose another folder")
            assert place == "/" or not is_mounted(place)
    bare = folder / "bare.git"
    subprocess.run(["git", "clone", "-q", "--bare", repo.path, bare], check=True)
    one_line(run("mount", bare, bare / "refs"), str(bare))
    (repo.path / "package").mkdir()
    with mounted(repo.path, repo.path / "package", "view=package") as mnt:
        assert os.listdir(mnt) == ["openpype"]


def test_the_daemon_keeps_nothing_that_its_starter_had_open(repo, place):
    own(repo.path)
    for chown in (True, False):
        if not chown:
            subprocess.run(["chown", "-R", "0:0", repo.path], check=True)
        with open(place.parent / "secret", "w") as secret:
            os.set_inheritable(secret.fileno(), True)
            assert run("mount", repo.path, place, close_fds=False).returncode == 0
        for pid in {daemon_pid(place), status(place)["pid"]}:
            fds = f"/proc/{pid}/fd"
            held = [os.readlink(f"{fds}/{number}") for number in os.listdir(fds)]
            assert not any("secret" in name for name in held), held
            assert [os.readlink(f"{fds}/{number}") for number in range(3)] == ["/dev/null"] * 3
        assert run("umount", place).returncode == 0


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_do_no_harm(repo, place, closed):
    result = subprocess.run(["sh", "-c", f'"$0" mount "$1" "$2" {closed}', ADDONFS, repo.path, place],
                            capture_output=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert (package(place) / "version.py").read_text()
    assert client_zip(place).read_bytes()
    assert run("umount", place).returncode == 0


@pytest.mark.usefixtures("root_user")
def test_the_owners_process_has_nothing_of_roots(repo, place, folder):
    own(repo.path)
    (repo.path / "openpype/large.bin").write_bytes(os.urandom(3 << 20))
    own(repo.path)
    private = folder / "private"
    private.mkdir(mode=0o700)
    environment = {**os.environ, **ENVIRONMENT, "ROOTS_SECRET": "of root", "TMPDIR": str(private),
                   "XDG_CACHE_HOME": str(private)}
    with mounted(repo.path, place, env=environment) as mnt:
        assert client_zip(mnt).read_bytes()
        server = status(mnt)["pid"]
        look = subprocess.run(
            ["setpriv", f"--reuid={USER.pw_uid}", f"--regid={USER.pw_gid}", "--clear-groups",
             "cat", f"/proc/{server}/environ"], capture_output=True)
        if not os.environ.get("SANITIZE"):
            assert look.returncode != 0 and b"ROOTS_SECRET" not in look.stdout
    assert os.listdir(private) == []


def test_umount_says_where_else_it_is_mounted(repo, place, folder, root_user):
    (folder / "bind").mkdir()
    result = private_namespace(
        '"$0" mount "$1" "$2"; mount --bind "$2" "$3"; '
        'if "$0" umount "$2"; then exit 9; fi; '
        'cat "$3/package/openpype/3.15.12/version.py"; "$0" umount "$3"',
        repo.path, place, folder / "bind")
    assert result.returncode == 0, result.stderr
    assert b"3.15.12" in result.stdout
    text = result.stderr.decode()
    assert text.count("\n") == 1 and f"still mounted at {folder / 'bind'}" in text, text


@pytest.mark.usefixtures("root_user")
def test_umount_says_which_process_has_it_in_another_namespace(repo, place):
    assert run("mount", repo.path, place).returncode == 0
    pidfd = os.pidfd_open(daemon_pid(place))
    with subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c", "echo; read line"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"\n"
        one_line(run("umount", place), f"process {holder.pid} has it at {place}")
        assert not is_mounted(place) and not has_ended(pidfd)
        holder.stdin.close()
    await_end(pidfd)


# What is said of a mount may stand in the name of its source, too (mountinfo).
@pytest.mark.usefixtures("root_user")
@pytest.mark.parametrize("name", ["source", "user_id=5", "a - fuse.x y,user_id=5,group_id=5"])
def test_umount_waits_for_a_daemon_that_is_busy_but_not_for_ever(folder, place, name):
    repo = Repository(folder / name / "r")
    own(repo.path)
    assert run("mount", repo.path, place).returncode == 0
    pid = daemon_pid(place)
    pidfd = os.pidfd_open(pid)
    # The other half goes on answering.
    os.kill(pid, signal.SIGSTOP)
    try:
        result = run("umount", place, "--timeout", "0.01")
        one_line(result, f"process {pid}", "still busy")
        assert b"namespace" not in result.stderr
        assert not is_mounted(place) and not has_ended(pidfd)
    finally:
        os.kill(pid, signal.SIGCONT)
    await_end(pidfd)


def test_umount_of_a_mount_that_hangs_takes_it_away(repo, place):
    assert run("mount", repo.path, place).returncode == 0
    pid = daemon_pid(place)
    pidfd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGSTOP)
    try:
        one_line(run("mount", repo.path, place), "busy")
        one_line(run("umount", place), "did not answer")
        assert not is_mounted(place)
    finally:
        os.kill(pid, signal.SIGCONT)
    await_end(pidfd)


@pytest.mark.usefixtures("root_user")
def test_umount_from_another_pid_namespace_does_not_wait_for_a_stranger(repo, place):
    assert run("mount", repo.path, place).returncode == 0
    pidfd = os.pidfd_open(daemon_pid(place))
    # There the daemon's number may be anyone's, such as the shell's own, which never ends.
    result = subprocess.run(["unshare", "--pid", "--fork", "sh", "-c", '"$0" umount "$1"', ADDONFS, place],
                            capture_output=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert not is_mounted(place)
    await_end(pidfd)


def test_mounts_that_start_at_once_do_not_stack(repo, place):
    for _ in range(10):
        results = []
        threads = [threading.Thread(target=lambda: results.append(run("mount", repo.path, place)))
                   for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(r.returncode for r in results) == [0, 1, 1, 1]
        for result in results:
            if result.returncode:
                one_line(result, "busy")
        assert run("umount", place).returncode == 0
        assert not is_mounted(place)


def test_a_mount_that_is_covered_by_another_leaves_that_one_alone(repo, place, root_user):
    result = private_namespace(
        '"$0" mount "$1" "$2"; pid=$(sed -n \'s/.*"pid":[^0-9]*\\([0-9]*\\).*/\\1/p\' '
        '"$2/.addonfs/status.json"); mount -t tmpfs none "$2"; echo kept > "$2/file"; '
        'kill "$pid"; while grep -q "^State:[^ZX]*$" "/proc/$pid/status" 2>/dev/null; do :; done; '
        'cat "$2/file"', repo.path, place)
    assert result.returncode == 0 and result.stdout == b"kept\n", result.stderr


@pytest.mark.parametrize("other", [False, True])
def test_a_command_that_is_killed_leaves_no_mount_that_nobody_knows_of(repo, folder, place, other,
                                                                         root_user):
    """Killed before it has heard of success, it can never say that there is a mount."""
    # A daemon that finds a damaged cache waits for the lock that we hold.
    cache = folder / "cache"
    cache.mkdir(mode=0o700)
    (cache / "members.sqlite").write_bytes(b"damaged" * 1000)
    (cache / "lock").touch()
    if other:
        own(repo.path)
        own(cache)
    with open(cache / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = subprocess.Popen([ADDONFS, "mount", repo.path, place, "-o", f"cache={cache}"])
        server = await_waiter(cache / "lock")
        with open(f"/proc/{server}/stat") as stat:
            parent = int(stat.read().rpartition(")")[2].split()[1])
        daemon = os.pidfd_open(parent if other else server)  # the one that unmounts
        command.kill()
        command.wait()
    await_end(daemon)
    assert not is_mounted(place)


@pytest.mark.parametrize("other", [False, True])
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_starts_leaves_no_mount(repo, folder, place, other, end, root_user):
    cache = folder / "cache"
    cache.mkdir(mode=0o700)
    (cache / "members.sqlite").write_bytes(b"damaged" * 1000)
    (cache / "lock").touch()
    if other:
        own(repo.path)
        own(cache)
    with open(cache / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = subprocess.Popen([ADDONFS, "mount", repo.path, place, "-f", "-o", f"cache={cache}"],
                                   stderr=subprocess.DEVNULL)
        await_waiter(cache / "lock")
        command.send_signal(end)
    assert command.wait(TIMEOUT) == -end
    assert not is_mounted(place)


def test_arguments_are_printed_without_their_control_characters(program):
    for arguments in (["mo\x1bunt"], ["mount", "a", "b", "\x1b[2Jc"], ["mount", "--\x1b", "a", "b"],
                      ["mount", "/no\nsuch\x1b", "/"], ["umount", "/no\nsuch\x1b"]):
        text = run(*arguments).stderr.decode()
        assert text.count("\n") == 1 and "\x1b" not in text and text.startswith("addonfs: ")
    for arguments in (["mount", "--help"], ["umount", "-h"], ["export", "--version"]):
        assert run(*arguments).returncode == 0


@pytest.mark.usefixtures("root_user")
def test_status_is_for_the_owner_alone(repo, folder):
    with mounted(repo.path, folder / "mnt", "allow_other") as mnt:
        assert os.stat(mnt / ".addonfs/status.json").st_mode & 0o777 == 0o400
        look = subprocess.run(["setpriv", f"--reuid={USER.pw_uid}", f"--regid={USER.pw_gid}",
                               "--clear-groups", "cat", mnt / ".addonfs/status.json"],
                              capture_output=True)
        assert look.returncode != 0 and look.stdout == b""
