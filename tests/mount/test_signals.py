"""Signals that end a mount, in the foreground and the background, of one's own and of others."""

import ctypes
import errno
import os
import random
import resource
import select
import signal
import subprocess
import sys
import threading

import pytest

import oracle
from mounting import (ADDONFS, TIMEOUT, await_end, clean, client_zip, daemon_pid, has_ended, is_mounted, mounted,
                      package, run, settle, status, until)
from users import USER, as_user, own
from watching import HeldUp

ENDS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGALRM,
        signal.SIGUSR1, signal.SIGPWR, signal.SIGRTMIN, signal.SIGRTMIN + 5, signal.SIGRTMAX]
# Prints the process that serves a mount.
PID = f"""{sys.executable} -c 'import os, sys; print(os.getxattr(sys.argv[1], "user.addonfs.pid").decode())'"""
NAMES = [str(getattr(end, "name", end)) for end in ENDS]


@pytest.fixture
def place(fuse, folder):
    (folder / "mnt").mkdir()
    yield folder / "mnt"
    clean(folder / "mnt")


def start_with(action, limit=None):
    """However pytest was started (nohup, in the background of a shell): these are `action`."""
    def set_up():
        if limit:
            resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, action)
    return set_up


def foreground(repo, place, action=signal.SIG_DFL, limit=None):
    daemon = subprocess.Popen([ADDONFS, "mount", repo.path, place, "-f", "-o", "cache=none"], stderr=subprocess.PIPE,
                              text=True, preexec_fn=start_with(action, limit))
    line = daemon.stderr.readline()
    assert line == f"addonfs: {repo.path} is mounted at {place}\n", line
    return daemon


def ended_well(daemon, place):
    assert daemon.wait(TIMEOUT) == 0
    assert daemon.stderr.read() == ""
    assert not is_mounted(place)


@pytest.mark.parametrize("end", ENDS, ids=NAMES)
def test_in_the_foreground_it_ends_cleanly(repo, place, end):
    daemon = foreground(repo, place)
    assert client_zip(place).read_bytes()
    daemon.send_signal(end)
    ended_well(daemon, place)


@pytest.mark.usefixtures("root_user")
@pytest.mark.parametrize("half", ["keeper", "server"])
@pytest.mark.parametrize("end", ENDS, ids=NAMES)
def test_over_another_users_repository_either_half_may_be_told(repo, place, end, half):
    own(repo.path)
    daemon = foreground(repo, place)
    assert client_zip(place).read_bytes()
    assert daemon_pid(place) == daemon.pid != status(place)["pid"]
    os.kill(daemon.pid if half == "keeper" else status(place)["pid"], end)
    ended_well(daemon, place)


@pytest.mark.parametrize("end", ENDS, ids=NAMES)
def test_in_the_background_it_ends_as_well(repo, place, end):
    assert run("mount", repo.path, place, preexec_fn=start_with(signal.SIG_IGN)).returncode == 0
    pidfd = os.pidfd_open(daemon_pid(place))
    os.kill(daemon_pid(place), end)
    await_end(pidfd)
    assert not is_mounted(place)


@pytest.mark.parametrize("other", [False, True])
def test_one_that_comes_again_changes_nothing(repo, place, other, root_user):
    if other:
        own(repo.path)
    daemon = foreground(repo, place)
    while daemon.poll() is None:
        daemon.send_signal(signal.SIGINT)
    ended_well(daemon, place)


def detach(place):
    """Without a word to whoever serves it: umount(8) would ask."""
    MNT_DETACH = 2
    assert ctypes.CDLL(None, use_errno=True).umount2(os.fsencode(place), MNT_DETACH) == 0


def await_line(daemon, text):
    line = daemon.stderr.readline()
    assert text in line, line


@pytest.mark.parametrize("how", ["alone", "keeper", "server", "both"])
def test_who_reads_when_it_is_told_to_end_reads_to_the_end(repo, folder, place, how, root_user):
    """The mount goes at once, for all who come later; its daemon when the last file is closed."""
    repo.write({f"openpype/bulk/f{number}.bin": random.Random(number).randbytes(100_000) for number in range(20)})
    right = oracle.package_a(repo.path)
    if how != "alone":
        own(repo.path)
    daemon = foreground(repo, place)
    server = status(place)["pid"]
    told = {"alone": [daemon.pid], "keeper": [daemon.pid], "server": [server], "both": [daemon.pid, server]}[how]
    pidfd = os.pidfd_open(server)
    directory = os.open(package(place), os.O_RDONLY | os.O_DIRECTORY)
    with open(client_zip(place), "rb", buffering=0) as opened:
        first = opened.read(1000)
        for pid in told:
            os.kill(pid, signal.SIGTERM)
        await_line(daemon, f"{place}: unmounted, and still in use: ")
        assert not is_mounted(place) and os.listdir(place) == []
        # What was never read, nor looked up, by way of what is open.
        repo.write({"openpype/bulk/f0.bin": b"later"})
        name = "private/client.zip"
        with open(os.open(name, os.O_RDONLY, dir_fd=directory), "rb") as new:
            assert oracle.read_zip(new.read()) == oracle.package_a(repo.path).members != right.members
        assert oracle.read_zip(first + opened.readall()) == right.members
        # The place is free for another.
        with mounted(repo.path, place):
            assert oracle.read_zip(client_zip(place).read_bytes()) == oracle.package_a(repo.path).members
        os.close(directory)
        assert opened.seek(0) == 0 and opened.read(1000) == first and not has_ended(pidfd)
    ended_well(daemon, place)
    await_end(pidfd)
    os.close(pidfd)


@pytest.mark.parametrize("other", [False, True])
@pytest.mark.parametrize("ends", [[signal.SIGTERM, signal.SIGTERM], [signal.SIGINT, signal.SIGHUP], [signal.SIGQUIT]],
                         ids=["TERM TERM", "INT HUP", "QUIT"])
def test_told_twice_it_ends_whoever_reads(repo, place, ends, other, root_user):
    if other:
        own(repo.path)
    daemon = foreground(repo, place)
    with open(client_zip(place), "rb", buffering=0) as opened:
        for number, end in enumerate(ends):
            if number:
                await_line(daemon, "still in use")
            daemon.send_signal(end)
        assert daemon.wait(TIMEOUT) == 0
        with pytest.raises(OSError) as failure:
            opened.read()
        assert failure.value.errno in (errno.ENOTCONN, errno.ECONNABORTED)
    assert not is_mounted(place) and daemon.stderr.read() == ""


@pytest.mark.usefixtures("root_user")
def test_a_server_whose_keeper_was_killed_ends_with_it(repo, place):
    own(repo.path)
    daemon = foreground(repo, place)
    with open(client_zip(place), "rb"):
        pidfd = os.pidfd_open(status(place)["pid"])
        daemon.kill()
        await_end(pidfd)
        os.close(pidfd)
    assert run("umount", place).returncode == 0


@pytest.mark.usefixtures("root_user")
def test_in_the_foreground_it_lasts_for_who_waits_for_a_signal_no_longer(repo, place):
    daemon = foreground(repo, place)
    waits = subprocess.Popen([ADDONFS, "wait", place], stderr=subprocess.PIPE, text=True)
    fds = f"/proc/{waits.pid}/fd"
    until(lambda: any(os.readlink(f"{fds}/{fd}").endswith("/.addonfs/generation") for fd in os.listdir(fds)))
    daemon.send_signal(signal.SIGTERM)
    assert waits.wait(TIMEOUT) == 2 and "the mount is gone" in waits.stderr.read()
    assert daemon.wait(TIMEOUT) == 0 and not is_mounted(place)


@pytest.mark.usefixtures("root_user")
def test_a_plain_users_readers_read_to_the_end_as_well(repo, folder, place, binary):
    own(repo.path)
    own(place)
    result = as_user(
        'mkfifo "$4/log"; env --default-signal "$1" mount "$2" "$3" -f -o cache=none 2>"$4/log" & '
        'exec 3<"$4/log"; read -r line <&3; exec 4<"$3/package/openpype/3.15.12/private/client.zip"; '
        'kill -TERM $!; read -r line <&3; echo "$line"; ls -A "$3"; cat <&4 >"$4/zip"; exec 4<&-; wait $!; '
        'echo $?', binary, repo.path, place, own_folder(folder))
    assert result.returncode == 0, result.stderr
    assert "still in use" in result.stdout and result.stdout.endswith("\n0\n")
    assert oracle.read_zip((folder / "own/zip").read_bytes()) == oracle.package_a(repo.path).members


def test_what_is_no_signal_to_end_does_not_end_it(repo, place):
    daemon = foreground(repo, place)
    for number in (signal.SIGUSR2, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGWINCH):
        daemon.send_signal(number)
        assert (package(place) / "version.py").read_text()
    daemon.send_signal(signal.SIGTERM)
    ended_well(daemon, place)


def test_under_nohup_the_end_of_the_terminal_is_not_its_own(repo, place):
    daemon = foreground(repo, place, signal.SIG_IGN)
    daemon.send_signal(signal.SIGHUP)
    assert (package(place) / "version.py").read_text()
    daemon.send_signal(signal.SIGTERM)
    ended_well(daemon, place)


def test_in_the_foreground_umount_ends_it_too(repo, place):
    daemon = foreground(repo, place)
    assert run("umount", place).returncode == 0
    ended_well(daemon, place)


def test_in_the_foreground_a_failure_is_one_line_and_no_mount(folder, repo, place):
    repo.write({"openpype/version.py": "__version__ = f()\n"})
    result = run("mount", repo.path, place, "-f")
    assert result.returncode == 1 and result.stdout == b""
    assert result.stderr.decode().startswith("addonfs: openpype/version.py:1: ")
    assert result.stderr.count(b"\n") == 1
    assert not is_mounted(place)


@pytest.mark.usefixtures("root_user")
def test_in_the_foreground_what_fails_later_is_told_over_another_users_repository(repo, place):
    own(repo.path)
    daemon = foreground(repo, place)
    os.chmod(repo.path / "openpype/lib/tools.py", 0)
    with pytest.raises(OSError):
        client_zip(place).read_bytes()
    assert "openpype/lib/tools.py" in daemon.stderr.readline()
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(TIMEOUT) == 0
    assert not is_mounted(place)


@pytest.mark.usefixtures("root_user")
def test_what_libfuse_says_while_it_serves_is_in_the_log(repo, place):
    # A user who has no other processes, and may have no more threads than these.
    subprocess.run(["chown", "-R", "61234:61234", repo.path], check=True)
    limit = 32 + 2 * os.cpu_count()
    daemon = foreground(repo, place, limit=limit)
    # More requests: each waits for the file to be closed.
    with open(place / ".addonfs/generation"):
        threads = [threading.Thread(target=os.getxattr, args=(place, "user.addonfs.release"))
                   for _ in range(limit)]
        for thread in threads:
            thread.start()
        assert select.select([daemon.stderr], [], [], TIMEOUT)[0], "nothing is said"
        line = daemon.stderr.readline()
    assert line.startswith("addonfs: fuse: error creating thread: "), line
    for thread in threads:
        thread.join()
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(TIMEOUT) == 0
    assert not is_mounted(place)


@pytest.mark.usefixtures("root_user")
@pytest.mark.parametrize("end", ["TERM", "INT", "HUP", "QUIT"])
def test_a_plain_users_mount_in_the_foreground(repo, folder, place, binary, end):
    own(repo.path)
    own(place)
    result = as_user(
        'mkfifo "$4/log"; env --default-signal "$1" mount "$2" "$3" -f -o cache=none 2>"$4/log" & '
        'exec 3<"$4/log"; read -r line <&3; echo "$line"; '
        f'cat "$3/package/openpype/3.15.12/version.py"; kill -{end} $!; wait $!; '
        'cat <&3; grep " $3 " /proc/self/mountinfo || echo gone',
        binary, repo.path, place, own_folder(folder))
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"addonfs: {repo.path} is mounted at {place}\n")
    assert '__version__ = "3.15.12"' in result.stdout and result.stdout.endswith('"\ngone\n')
    assert result.stderr == ""


def own_folder(folder):
    (folder / "own").mkdir()
    os.chown(folder / "own", USER.pw_uid, USER.pw_gid)
    return folder / "own"


def hangs_in_open(repo, folder):
    """A source whose opening hangs: libgit2 reads what the configuration includes."""
    os.mkfifo(folder / "fifo", 0o666)
    repo.git("config", "include.path", str(folder / "fifo"))


def await_opener(pid):
    """The first process below `pid`, or it, that waits in the open of a FIFO."""
    found = []

    def look():
        processes = [pid]
        for process in processes:
            with open(f"/proc/{process}/task/{process}/children") as children:
                processes += [int(child) for child in children.read().split()]
            with open(f"/proc/{process}/wchan") as where:
                if where.read() == "wait_for_partner":
                    found.append(process)
        return bool(found)

    until(look)
    return found[0]


@pytest.mark.parametrize("other", [False, True])
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_a_source_that_hangs_when_it_is_opened_keeps_nobody(repo, folder, place, other, end, root_user):
    hangs_in_open(repo, folder)
    if other:
        own(repo.path)
    command = subprocess.Popen([ADDONFS, "mount", repo.path, place, "-f"], stderr=subprocess.PIPE, text=True)
    opener = os.pidfd_open(await_opener(command.pid))
    command.send_signal(end)
    assert command.wait(TIMEOUT) == -end and command.stderr.read() == ""
    await_end(opener)
    os.close(opener)
    assert not is_mounted(place)


@pytest.mark.parametrize("other", [False, True])
def test_nor_does_the_daemon_of_a_command_that_was_killed(repo, folder, place, other, root_user):
    hangs_in_open(repo, folder)
    if other:
        own(repo.path)
    command = subprocess.Popen([ADDONFS, "mount", repo.path, place])
    opener = os.pidfd_open(await_opener(command.pid))
    command.kill()
    command.wait()
    await_end(opener)
    os.close(opener)
    assert not is_mounted(place)


@pytest.mark.parametrize("how", ["root", "over another user's repository"])
def test_a_daemon_that_ends_later_leaves_the_next_mount_alone(repo, place, how, root_user):
    """The kernel gives the numbers of what has gone to the next at once."""
    if how != "root":
        own(repo.path)
    assert run("mount", repo.path, place, "-o", "cache=none").returncode == 0
    pids = {daemon_pid(place), status(place)["pid"]}
    pidfds = [os.pidfd_open(pid) for pid in pids]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    detach(place)
    assert run("mount", repo.path, place, "-o", "cache=none").returncode == 0
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    for pidfd in pidfds:
        await_end(pidfd)
        os.close(pidfd)
    assert is_mounted(place) and (package(place) / "version.py").read_text()
    assert run("umount", place).returncode == 0


@pytest.mark.usefixtures("root_user")
def test_a_plain_users_daemon_that_ends_later_leaves_the_next_mount_alone(repo, place, binary):
    own(repo.path)
    own(place)
    result = as_user(
        f'"$1" mount "$2" "$3" -o cache=none; pid=$({PID} "$3"); '
        'kill -STOP $pid; fusermount3 -uz "$3"; "$1" mount "$2" "$3" -o cache=none; kill -CONT $pid; '
        'tail --pid=$pid -f /dev/null; cat "$3/package/openpype/3.15.12/version.py"; "$1" umount "$3"',
        binary, repo.path, place)
    assert result.returncode == 0, result.stderr
    assert '__version__ = "3.15.12"' in result.stdout


@pytest.mark.usefixtures("root_user")
def test_a_plain_users_mount_ends_cleanly_where_it_was_moved_to(repo, folder, binary):
    own(repo.path)
    (own_folder(folder) / "above/mnt").mkdir(parents=True)
    for path in (folder / "own/above", folder / "own/above/mnt"):
        own(path)
    result = as_user(
        '"$1" mount "$2" "$3/above/mnt" -o cache=none; '
        f'pid=$({PID} "$3/above/mnt"); mv "$3/above" "$3/moved"; '
        'kill -TERM $pid; tail --pid=$pid -f /dev/null; ls -A "$3/moved/mnt"; echo empty', binary, repo.path,
        folder / "own")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "empty\n"


@pytest.mark.usefixtures("root_user")
def test_what_a_keeper_passes_on_arrives_whatever_was_ignored(repo, place):
    own(repo.path)
    daemon = subprocess.Popen([ADDONFS, "mount", repo.path, place, "-f", "-o", "cache=none"], stderr=subprocess.PIPE,
                              text=True, preexec_fn=lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN))
    await_line(daemon, "is mounted at")
    daemon.send_signal(signal.SIGTERM)
    ended_well(daemon, place)


OPENS = """
import signal, sys
signal.signal(signal.SIGUSR1, lambda *_: None)
print("begins", flush=True)
open(sys.argv[1], "rb")
"""


def opens(path):
    """A process that handles SIGUSR1, waiting for the mount's answer when it opens `path`."""
    process = subprocess.Popen([sys.executable, "-c", OPENS, path], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"begins\n"
    return process


def state_of(process):
    with open(f"/proc/{process.pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def waits_for_answer(process):
    with open(f"/proc/{process.pid}/wchan") as file:
        return file.read() == "request_wait_answer"


@pytest.mark.parametrize("before", [False, True])
def test_a_reader_that_is_killed_ends_whatever_signals_came_before(repo, folder, fuse, root_user, before):
    """Of one request the kernel tells of one signal: that may be one that the reader handles and lives on after."""
    repo.write({"server_addon/server/large.bin": bytes(8 << 20)})
    settle(repo.path)  # no look reads it
    with HeldUp(repo.path / "server_addon/server/large.bin") as held, mounted(repo.path, folder / "mnt") as mnt:
        path = package(mnt) / "large.bin"
        first = opens(path)
        held.await_reader()
        second = opens(path)
        until(lambda: waits_for_answer(second))
        if before:
            second.send_signal(signal.SIGUSR1)
            until(lambda: state_of(second) == "D")  # from now on only its end is waited for
        second.kill()
        assert second.wait(TIMEOUT) == -signal.SIGKILL
        assert first.poll() is None
        held.let_go()
        assert first.wait(TIMEOUT) == 0
