"""Mounting, unmounting, and what is said when it cannot be done."""

import concurrent.futures
import contextlib
import ctypes
import errno
import os
import signal
import sqlite3
import subprocess
import threading

import pytest

from mounting import (ADDONFS, TIMEOUT, await_end, clean, client_zip, daemon_pid, has_ended, is_mounted, mounted,
                      package, run, status, until)
from repository import ENVIRONMENT, Repository


def refused(result, *words, code=1):
    """Exactly one line on stderr that says what is wrong, nothing else."""
    text = result.stderr.decode()
    assert result.returncode == code, text
    assert result.stdout == b""
    assert text.startswith("addonfs: ") and text.count("\n") == 1 and text.endswith("\n"), text
    for word in words:
        assert word in text, text


def refuse_mount(source, place, *words, options="", code=1):
    refused(run("mount", source, place, *(["-o", options] if options else [])), *words, code=code)
    assert not is_mounted(place)


@pytest.fixture
def place(fuse, folder):
    (folder / "mnt").mkdir()
    yield folder / "mnt"
    clean(folder / "mnt")


def test_what_is_no_repository_is_refused(folder, place):
    (folder / "empty").mkdir()
    refuse_mount(folder / "empty", place, "not a Git repository", str(folder / "empty"))
    refuse_mount(folder / "absent", place, "absent", "No such file")
    (folder / "file").write_text("")
    refuse_mount(folder / "file", place, "Not a directory")


def test_a_folder_inside_a_repository_is_refused_and_the_root_named(repo, place):
    refuse_mount(repo.path / "openpype", place, f"inside the Git repository {repo.path}:")


def test_a_source_without_a_known_layout_is_refused(folder, place):
    repo = Repository(folder / "source", {"README": "x"})
    refuse_mount(repo.path, place, "no known layout", "openpype/version.py")
    refuse_mount(repo.path, place, "no known layout", options="rev=HEAD")


@pytest.mark.parametrize("text, words", [
    ("__version__ = get()\n", ["openpype/version.py:1:", "not a string literal"]),
    ("\n\n__version__ = f'1'\n", ["openpype/version.py:3:", "formatted"]),
    ("x = 1\n", ["openpype/version.py:", "no assignment to __version__"]),
    ("__version__ = '1..2'\n", ["openpype/version.py", "not allowed"]),
    ("__version__ = '../x'\n", ["not allowed"]),
    ("__version__ = '.5'\n", ["not allowed"]),
    ("__version__ = 'a b'\n", ["not allowed"]),
    ("__version__ = 'a\\nb'\n", ["not allowed", "\\n"]),
    ("__version__ = ''\n", ["not allowed"]),
    ("__version__ = '" + "1" * 129 + "'\n", ["not allowed"]),
    ("__version__ = 'x\n", ["openpype/version.py:1:"]),
])
def test_a_version_that_is_no_literal_or_not_allowed_is_refused(repo, place, text, words):
    repo.write({"openpype/version.py": text})
    refuse_mount(repo.path, place, *words)


def test_a_mount_point_that_cannot_be_one_is_refused(repo, folder, place):
    refuse_mount(repo.path, folder / "absent", "no such folder")
    (folder / "file").write_text("")
    refuse_mount(repo.path, folder / "file", "not a folder")
    with mounted(repo.path, place):
        refused(run("mount", repo.path, place), "busy", "umount")
        assert (package(place) / "version.py").exists()


def test_revisions_that_are_not_there_are_refused(repo, place):
    refuse_mount(repo.path, place, "nonesuch", options="rev=nonesuch")
    refuse_mount(repo.path, place, "not a commit", options="rev=HEAD:openpype")


def test_unknown_options_are_refused(repo, place):
    for options in ("nonesuch", "rev", "rev=", "view=other", "problems=no", "uid=x", "uid=-1",
                    "umask=9", "umask=01000", "uid=99999999999999999999"):
        refuse_mount(repo.path, place, "option", options=options, code=2)
    for options in ("ro", "nosuid,nodev", ",ro,"):
        with mounted(repo.path, place, options):
            pass


def test_a_broken_repository_is_refused(repo, place):
    (repo.path / ".git/HEAD").write_text("garbage")
    refuse_mount(repo.path, place, str(repo.path), options="rev=HEAD")
    (repo.path / ".git/config").write_text("[core\nnonsense")
    refuse_mount(repo.path, place, str(repo.path))


def test_a_sha256_repository_is_refused(folder, place):
    made = subprocess.run(["git", "init", "-q", "--object-format=sha256", folder / "s"],
                          env={**os.environ, **ENVIRONMENT})
    assert made.returncode == 0
    refuse_mount(folder / "s", place, str(folder / "s"))


def test_without_dev_fuse_the_message_says_so(repo, place, root_user):
    script = 'mount --bind "$3" /dev && exec "$0" mount "$1" "$2"'
    os.mkdir(place.parent / "dev")
    (place.parent / "dev/null").write_text("")
    refused(subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-c", script, ADDONFS,
                            repo.path, place, place.parent / "dev"], capture_output=True,
                           timeout=120), "/dev/fuse", "modprobe")


def test_help_and_version():
    result = run("--help")
    assert result.returncode == 0 and result.stderr == b""
    for word in ("mount", "umount", "export", "rev=", "view=NAME", "problems=skip", "uid="):
        assert word in result.stdout.decode()
    assert run("--version").stdout.decode().startswith("addonfs ")


@pytest.mark.parametrize("arguments", [[], ["nonesuch"], ["mount"], ["mount", "a"], ["umount"],
                                       ["mount", "a", "b", "c"], ["mount", "--nonesuch", "a", "b"],
                                       ["mount", "a", "b", "-o"], ["export", "a"]])
def test_wrong_usage_is_one_line_and_code_2(program, arguments):
    refused(run(*arguments), "--help", code=2)


@pytest.mark.parametrize("arguments, option", [
    (["mount", "-xf", "a", "b"], "-x"), (["mount", "-fx", "a", "b"], "-x"),
    (["mount", "--foreground", "-xf", "a", "b"], "-x"), (["mount", "a", "b", "-f", "-o"], "-o"),
    (["mount", "--nonesuch", "a", "b"], "--nonesuch"), (["mount", "--nonesuch=x", "a"], "--nonesuch=x"),
    (["mount", "--foreground=x", "a", "b"], "--foreground=x"), (["wait", "a", "--since"], "--since"),
    (["umount", "-f", "a"], "-f"), (["umount", "a", "--since", "1"], "--since"),
    (["wait", "a", "-fh"], "-f"), (["umount", "-o", "ro", "a"], "-o"),
])
def test_the_option_at_fault_is_named(program, arguments, option):
    refused(run(*arguments), f": {option}: see addonfs --help", code=2)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_in_the_foreground_a_signal_ends_it_cleanly(repo, place, end):
    daemon = subprocess.Popen([ADDONFS, "mount", repo.path, place, "-f"], stderr=subprocess.PIPE,
                              text=True)
    assert "is mounted at" in daemon.stderr.readline()
    assert (package(place) / "version.py").read_text()
    assert client_zip(place).stat().st_size > 0
    assert status(place)["pid"] == daemon.pid
    daemon.send_signal(end)
    assert daemon.wait(60) == 0
    assert daemon.stderr.read() == ""
    assert not is_mounted(place)


def test_sigterm_ends_a_daemon_in_the_background(repo, place):
    assert run("mount", repo.path, place).returncode == 0
    pidfd = os.pidfd_open(daemon_pid(place))
    os.kill(daemon_pid(place), signal.SIGTERM)
    await_end(pidfd)
    assert not is_mounted(place)


def test_a_dead_mount_answers_enotconn_and_can_be_cleared(repo, place):
    assert run("mount", repo.path, place).returncode == 0
    pid = daemon_pid(place)
    pidfd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    await_end(pidfd)
    with pytest.raises(OSError) as failure:
        os.listdir(place)
    assert failure.value.errno == errno.ENOTCONN
    refused(run("mount", repo.path, place), "umount")
    result = run("umount", place)
    assert result.returncode == 0, result.stderr
    assert not is_mounted(place)
    with mounted(repo.path, place):
        pass


def test_umount_of_what_is_no_mount_is_refused(folder, place):
    refused(run("umount", place), "not mounted")
    refused(run("umount", folder / "absent"), "absent")
    refused(run("umount", "/proc"), "not mounted")


def test_a_busy_mount_stays(repo, place):
    with mounted(repo.path, place):
        with open(package(place) / "version.py"):
            refused(run("umount", place), "busy")
            assert (package(place) / "__init__.py").read_text()


def test_mounting_and_unmounting_again_and_again(repo, place):
    for _ in range(20):
        with mounted(repo.path, place):
            assert os.listdir(place / "package") == ["openpype"]


def test_names_with_blanks_commas_and_umlauts(folder, fuse):
    repo = Repository(folder / "a b,c\\d ü\n")
    with mounted(repo.path, folder / "m n,o\\p ü\n") as mnt:
        assert (package(mnt) / "version.py").exists()


def test_everything_is_read_only(mount):
    for act in (lambda p: os.mkdir(p / "new"), lambda p: open(p / "new", "w"),
                lambda p: open(p / "version.py", "a"), lambda p: os.unlink(p / "version.py"),
                lambda p: os.rename(p / "version.py", p / "x"), lambda p: os.rmdir(p / "private"),
                lambda p: os.symlink("x", p / "link"), lambda p: os.chmod(p / "version.py", 0o777),
                lambda p: os.utime(p / "version.py"), lambda p: os.truncate(p / "version.py", 0),
                lambda p: os.link(p / "version.py", p / "link"), lambda p: os.mkfifo(p / "fifo"),
                lambda p: os.setxattr(p / "version.py", "user.x", b"1"),
                lambda p: open(p / "private/client.zip", "r+b")):
        with pytest.raises(OSError) as failure:
            act(package(mount))
        assert failure.value.errno == errno.EROFS


def test_lookups_are_forgotten(mount, repo, root_user):
    def inodes():
        return int(os.getxattr(mount, "user.addonfs.inodes"))

    def drop():
        with open("/proc/sys/vm/drop_caches", "w") as file:
            file.write("2")

    drop()
    least = inodes()
    kept = []
    for number in range(300):
        (repo.path / "server_addon/server/__init__.py").write_text(f"{number:06}")
        kept.append(open(package(mount) / "__init__.py"))
    # Each content is an inode of its own, and is one for as long as it is open.
    assert inodes() >= least + 300
    assert [file.read() for file in kept] == [f"{number:06}" for number in range(300)]
    for file in kept:
        file.close()
    # The kernel forgets in its own time.
    for _ in range(1000):
        drop()
        if inodes() <= least + 3:
            break
    assert inodes() <= least + 3


def test_what_is_mounted_meanwhile_is_not_taken_for_what_was_unmounted(repo, folder, fuse, root_user):
    # The kernel gives the number of a file system that has gone to the next one.
    MNT_DETACH = 2
    libc = ctypes.CDLL(None, use_errno=True)
    over = threading.Event()

    def come_and_go(place):
        while not over.is_set():
            # One of ours that nobody serves yet.
            device = os.open("/dev/fuse", os.O_RDWR)
            data = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
            assert libc.mount(b"none", os.fsencode(place), b"fuse.addonfs", 0, data) == 0
            assert libc.umount2(os.fsencode(place), MNT_DETACH) == 0
            os.close(device)

    with concurrent.futures.ThreadPoolExecutor(3) as threads:
        others = []
        for number in range(3):
            (folder / f"other{number}").mkdir()
            others.append(threads.submit(come_and_go, folder / f"other{number}"))
        try:
            for _ in range(40):
                with mounted(repo.path, folder / "mnt") as mnt:
                    assert os.listdir(mnt / "package") == ["openpype"]
        finally:
            over.set()
        for other in others:
            other.result()


@pytest.mark.parametrize("where", ["here", "in a namespace"])
def test_nor_is_one_that_is_given_the_number_while_a_daemon_still_ends(repo, folder, fuse, where, root_user):
    cache = folder / "cache"
    with mounted(repo.path, folder / "before", f"cache={cache}") as mnt:
        client_zip(mnt).read_bytes()
    (folder / "mnt").mkdir()
    repo.write({"openpype/lib/new.py": "# what is not in the cache\n" * 9000})
    assert run("mount", repo.path, folder / "mnt", "-o", f"cache={cache}").returncode == 0
    pidfd, device = os.pidfd_open(daemon_pid(folder / "mnt")), os.stat(folder / "mnt").st_dev
    database = sqlite3.connect(cache / "members.sqlite", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    assert client_zip(folder / "mnt").read_bytes()
    # It ends when it has written what it has compressed.
    command = subprocess.Popen([ADDONFS, "umount", folder / "mnt", "--timeout", "2"], stderr=subprocess.PIPE, text=True)
    until(lambda: not is_mounted(folder / "mnt"))
    command.send_signal(signal.SIGSTOP)
    (folder / "next").mkdir()
    with contextlib.ExitStack() as stack:
        if where == "here":
            stack.enter_context(mounted(repo.path, folder / "next", "cache=none"))
            number = os.stat(folder / "next").st_dev
        else:
            other = subprocess.Popen(
                ["unshare", "-m", "--propagation", "private", "sh", "-c",
                 '"$0" mount "$1" "$2" -o cache=none; stat -c %d "$2"; read -r line; "$0" umount "$2"',
                 ADDONFS, repo.path, folder / "next"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.callback(other.communicate)
            number = int(other.stdout.readline())
        assert not has_ended(pidfd)
        command.send_signal(signal.SIGCONT)
        assert command.wait(TIMEOUT) == 1
        assert " is still busy, and will end when " in (text := command.stderr.read()), text
        database.execute("ROLLBACK")
        database.close()
    await_end(pidfd)
    os.close(pidfd)
    if number != device:
        pytest.skip("others who mount on this machine were given the number")
