"""What befalls a mount from outside: its daemon killed, its source or its folder taken away, clocks that are
wrong, a disk that is full."""

import contextlib
import errno
import os
import pwd
import random
import secrets
import shutil
import subprocess
from pathlib import Path

import pytest

import oracle
from mounting import (ADDONFS, TIMEOUT, await_end, clean, client_zip, daemon_pid, errors, is_mounted, mounted, package, run,
                      status, until)
from repository import Exec, Repository
from users import in_namespace, own
from watching import HeldUp

SEED = int(os.environ.get("ADDONFS_SEED", secrets.randbelow(1 << 32)))


def test_a_daemon_that_is_killed_while_it_composes_is_replaced(repo, folder, fuse):
    print("ADDONFS_SEED =", SEED)
    chance = random.Random(SEED)
    repo.write({f"openpype/bulk/f{number}.txt": chance.randbytes(500_000).hex() for number in range(40)})
    right = oracle.package_a(repo.path).members
    mnt = folder / "mnt"
    mnt.mkdir()
    try:
        for _ in range(8):
            result = run("mount", repo.path, mnt, "--replace", "-o", f"cache={folder}/cache")
            assert result.returncode == 0, result.stderr
            pid, least = daemon_pid(mnt), chance.randrange(46)
            # Somewhere in between; what was compressed half a second before is in the cache by then.
            until(lambda: int(os.getxattr(mnt, "user.addonfs.progress").split()[0]) >= min(least, 45))
            pidfd = os.pidfd_open(pid)
            os.kill(pid, 9)
            await_end(pidfd)
            os.close(pidfd)
            with pytest.raises(OSError) as failure:
                os.listdir(mnt)
            assert failure.value.errno == errno.ENOTCONN
        result = run("mount", repo.path, mnt, "--replace", "-o", f"cache={folder}/cache")
        assert result.returncode == 0 and result.stderr == b""
        assert oracle.read_zip(client_zip(mnt).read_bytes()) == right
        assert run("umount", mnt).returncode == 0 and not is_mounted(mnt)
    finally:
        clean(mnt)


def refuses(act):
    try:
        act()
    except OSError as failure:
        return failure.errno
    return 0


@pytest.mark.parametrize("how", ["moved away", "deleted"])
@pytest.mark.parametrize("options", ["", "watch=poll", "rev=main"])
def test_a_source_that_goes_is_an_error_and_never_an_empty_listing(repo, folder, fuse, options, how):
    right = oracle.package_a(repo.checkout(folder / "checkout") if options == "rev=main" else repo.path)
    copy, mnt = folder / "copy", folder / "mnt"
    # The package, and what asks the repository by its path.
    live = (lambda: os.listdir(mnt / "package"), lambda: os.listdir(mnt / "package/openpype"),
            lambda: os.listdir(package(mnt)), lambda: client_zip(mnt).read_bytes())
    names = (*(lambda name=name: os.listdir(mnt / name) for name in ("branches", "tags", "commits")), lambda: os.readlink(mnt / "HEAD"),
             lambda: os.readlink(mnt / "branches/main"))
    shutil.copytree(repo.path, copy, symlinks=True)
    with mounted(repo.path, mnt, options):
        kept = os.open(client_zip(mnt), os.O_RDONLY)
        if how == "deleted":
            shutil.rmtree(repo.path)
        else:
            repo.path.rename(folder / "elsewhere")
        # A worktree is held, and shown wherever it is moved to. A revision is read where it was.
        is_held = how == "moved away" and options != "rev=main"
        assert {refuses(act) for act in live} == {0 if is_held else errno.EIO}
        assert {refuses(act) for act in names} == {errno.EIO}
        assert is_held or str(repo.path) in str(errors(mnt))
        with open(kept, "rb") as file:
            assert oracle.read_zip(file.read()) == right.members
        if how == "deleted":
            copy.rename(repo.path)
        else:
            (folder / "elsewhere").rename(repo.path)
        assert {refuses(act) for act in (*live, *names)} == {0}
        assert list(oracle.compare(right, package(mnt))) == [] and errors(mnt) == []


@pytest.mark.parametrize("how", ["moved away", "deleted"])
@pytest.mark.parametrize("options", ["", "watch=poll", "rev=main"])
def test_another_clone_at_the_sources_place_is_shown_from_then_on(repo, folder, fuse, options, how):
    """As `rm -r` or `mv` and then `git clone` leave it, with a wait for it in between."""
    other, mnt = Repository(folder / "other"), folder / "mnt"
    other.write({"openpype/lib/tools.py": "other\n", "server_addon/server/other.py": "other\n"})
    commit = other.commit()
    clean = oracle.package_a(other.checkout(folder / "clean"))
    with mounted(repo.path, mnt, options):
        assert client_zip(mnt).read_bytes()
        before = (mnt / ".addonfs/generation").read_text().strip()
        if how == "deleted":
            shutil.rmtree(repo.path)
        else:
            repo.path.rename(folder / "elsewhere")
        if how == "deleted" or options == "rev=main":
            # That it is gone is a generation of its own.
            result = run("wait", mnt, "--since", before)
            assert result.returncode == 0, result.stderr
            before = result.stdout.decode().strip()
        waiting = subprocess.Popen([ADDONFS, "wait", mnt, "--since", before], stdout=subprocess.PIPE)
        other.path.rename(repo.path)
        try:
            assert waiting.wait(TIMEOUT) == 0
        finally:
            waiting.kill()
            waiting.communicate()
        right = clean if options == "rev=main" else oracle.package_a(repo.path)
        assert list(oracle.compare(right, package(mnt))) == [] and errors(mnt) == []
        assert os.readlink(mnt / "HEAD") == f"commits/{commit}"
        # It is watched as the first one was.
        repo.write({"server_addon/server/other.py": "edited\n", "openpype/new/file.py": "new\n"})
        repo.commit()
        right = oracle.package_a(repo.checkout(folder / "later") if options == "rev=main" else repo.path)
        assert list(oracle.compare(right, package(mnt))) == []


@pytest.mark.parametrize("which", ["source", "above"])
def test_a_link_at_the_sources_place_or_above_it_leads_to_no_other_worktree(repo, folder, fuse, which):
    above, other, mnt = folder / "above", Repository(folder / "private/source"), folder / "mnt"
    other.write({"openpype/lib/tools.py": "private\n"})
    above.mkdir()
    repo.path.rename(above / "source")
    right = oracle.package_a(above / "source")
    place, target = (above / "source", other.path) if which == "source" else (above, folder / "private")
    with mounted(above / "source", mnt) as mnt:
        place.rename(folder / "elsewhere")
        place.symlink_to(target)
        assert list(oracle.compare(right, package(mnt))) == [] and errors(mnt) == []
        # What it was held for is gone: then it is an error, and still not the other.
        shutil.rmtree(folder / "elsewhere")
        assert refuses(lambda: os.listdir(mnt / "package")) == errno.EIO
        # A folder of that name is what a user has put there, as `git clone` does.
        place.unlink()
        target.rename(place)
        assert list(oracle.compare(oracle.package_a(above / "source"), package(mnt))) == [] and errors(mnt) == []


def test_a_worktree_that_becomes_another_users_is_not_taken_for_the_first(repo, folder, fuse, root_user):
    other = Repository(folder / "other")
    with mounted(repo.path, folder / "mnt") as mnt:
        shutil.rmtree(repo.path)
        assert refuses(lambda: os.listdir(mnt / "package")) == errno.EIO
        assert [problem["reason"] for problem in errors(mnt)] == ["the folder was deleted"]
        own(other.path)
        other.path.rename(repo.path)
        assert refuses(lambda: os.listdir(mnt / "package")) == errno.EIO
        assert [problem["reason"] for problem in errors(mnt)] == ["the folder was deleted, and another user's is there now"]
        own(repo.path, pwd.getpwuid(0))
        assert refuses(lambda: client_zip(mnt).read_bytes()) == 0
        assert errors(mnt) == []


@pytest.mark.parametrize("what", ["a worktree of another", "an empty git dir"])
def test_a_source_that_has_no_repository_of_its_own_any_more_has_no_empty_listings(repo, folder, fuse, what):
    other = Repository(folder / "other")
    with mounted(repo.path, folder / "mnt") as mnt:
        shutil.rmtree(repo.path)
        if what == "an empty git dir":
            (repo.path / ".git").mkdir(parents=True)
        else:
            other.git("worktree", "add", "-q", str(repo.path), "-b", "side")
            assert refuses(lambda: os.listdir(mnt / "package")) == errno.EIO
            [problem] = errors(mnt)
            assert problem["reason"].startswith(f"{repo.path}/.git: ") and "another repository: mount it again" in problem["reason"]
        for name in ("branches", "tags", "commits"):
            assert refuses(lambda: os.listdir(mnt / name)) == errno.EIO, name
        assert refuses(lambda: os.readlink(mnt / "HEAD")) == errno.EIO
        shutil.rmtree(repo.path)
        other.path.rename(repo.path)
        assert list(oracle.compare(oracle.package_a(repo.path), package(mnt))) == [] and errors(mnt) == []
        assert set(os.listdir(mnt / "branches")) == ({"main"} if what == "an empty git dir" else {"main", "side"})


@contextlib.contextmanager
def bound(source, place):
    subprocess.run(["mount", "--bind", source, place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("options", ["", "watch=poll"])
@pytest.mark.parametrize("beneath", ["empty", "a clone"])
def test_a_source_that_is_unmounted_stays_and_what_lies_beneath_is_never_shown(repo, folder, fuse, root_user, beneath, options):
    place, mnt = folder / "place", folder / "mnt"
    mnt.mkdir()
    if beneath == "a clone":
        Repository(place).write({"openpype/lib/tools.py": "beneath\n"})
    else:
        place.mkdir()

    def is_shown():
        return list(oracle.compare(oracle.package_a(repo.path), package(mnt))) == [] and errors(mnt) == []

    try:
        with bound(repo.path, place):
            assert run("mount", place, mnt, *(["-o", options] if options else [])).returncode == 0
            assert is_shown()
        assert is_shown()
        with bound(repo.path, place):
            repo.write({"openpype/lib/tools.py": "mounted again\n", "server_addon/server/new.py": "new\n"})
            assert is_shown() and os.readlink(mnt / "HEAD") == f"commits/{repo.git('rev-parse', 'HEAD').decode().strip()}"
        assert is_shown()
        assert run("umount", mnt).returncode == 0
    finally:
        clean(mnt)


def test_a_repository_that_is_mounted_over_a_new_source_is_not_its_own(repo, folder, fuse, root_user):
    other = Repository(folder / "other")
    with mounted(repo.path, folder / "mnt") as mnt:
        shutil.rmtree(repo.path)
        repo.path.mkdir()
        assert refuses(lambda: os.listdir(mnt / "package")) == errno.EIO
        with bound(other.path, repo.path):
            assert refuses(lambda: os.listdir(mnt / "package")) == errno.EIO
            assert [problem["reason"] for problem in errors(mnt)] == [f"{repo.path}/.git: {os.strerror(errno.ENOENT)}"]
        shutil.copytree(other.path, repo.path, symlinks=True, dirs_exist_ok=True)
        assert list(oracle.compare(oracle.package_a(repo.path), package(mnt))) == [] and errors(mnt) == []


def test_a_mount_point_that_is_removed_from_elsewhere_ends_its_daemon(repo, folder, fuse, root_user):
    mnt = folder / "above/mnt"
    mnt.mkdir(parents=True)
    assert run("mount", repo.path, mnt).returncode == 0
    try:
        pidfd = os.pidfd_open(daemon_pid(mnt))
        # Where it is not a mount point it can be removed, and is then none any more (rmdir(2)).
        result = in_namespace('umount "$1"; rm -r "$2"', mnt, folder / "above")
        assert result.returncode == 0, result.stderr
        assert not is_mounted(mnt) and not (folder / "above").exists()
        await_end(pidfd)
        os.close(pidfd)
    finally:
        clean(mnt)


@pytest.mark.parametrize("options", ["", "watch=poll"])
def test_files_of_the_future_and_of_long_ago_are_seen_to_change(repo, folder, fuse, options):
    times = [0, 1, 2**31 - 1, 2**31, 2**32 + 5, 4_102_444_800]
    for number, time in enumerate(times):
        repo.write({f"openpype/times/f{number}.py": f"{number}\n", f"server_addon/server/f{number}.py": f"{number}\n",
                    "openpype/run.sh": Exec(b"#!/bin/sh\n")})
        for path in (f"openpype/times/f{number}.py", f"server_addon/server/f{number}.py"):
            os.utime(repo.path / path, (time, time))
    with mounted(repo.path, folder / "mnt", options) as mnt:
        assert list(oracle.compare(oracle.package_a(repo.path), package(mnt))) == []
        for number, time in enumerate(times):
            for path in (f"openpype/times/f{number}.py", f"server_addon/server/f{number}.py"):
                (repo.path / path).write_text(f"{number + 1}\n")
                os.utime(repo.path / path, (time, time))
            assert list(oracle.compare(oracle.package_a(repo.path), package(mnt))) == [], time


def test_a_temporary_file_that_cannot_be_read_is_an_error_and_no_end(repo, folder, fuse):
    repo.write({f"openpype/bulk/f{number}.bin": random.Random(number).randbytes(500_000) for number in range(4)})
    version = (repo.path / "openpype/version.py").read_bytes()
    with mounted(repo.path, folder / "mnt") as mnt:
        with open(client_zip(mnt), "rb") as opened:
            # Nothing is written to it any more: that would make it long again.
            status(mnt)
            fds = Path("/proc", str(daemon_pid(mnt)), "fd")
            [spool] = [fd for fd in fds.iterdir() if os.readlink(fd).endswith("(deleted)")]
            # As a disk that has lost it: no page of it can be had.
            os.truncate(spool, 0)
            with pytest.raises(OSError) as failure:
                opened.read()
            assert failure.value.errno == errno.EIO
        assert (package(mnt) / "version.py").read_bytes() == version


def test_a_file_that_is_mostly_holes_is_whole_and_takes_no_more_disk(repo, folder, fuse):
    place, size = repo.path / "server_addon/server/disk.img", 300 << 20
    with open(place, "wb") as file:
        for at in (0, 100_000_001, size - 1):
            os.pwrite(file.fileno(), b"x", at)
    with mounted(repo.path, folder / "mnt", "cache=none") as mnt, open(package(mnt) / "disk.img", "rb") as opened:
        fds = Path("/proc", str(daemon_pid(mnt)), "fd")
        [spool] = [fd for fd in fds.iterdir() if os.readlink(fd).endswith("(deleted)")]
        assert spool.stat().st_blocks * 512 < 2 << 20 and os.fstat(opened.fileno()).st_size == size
        subprocess.run(["cmp", place, package(mnt) / "disk.img"], check=True)


def test_a_full_disk_for_temporary_files_fails_what_needs_one_and_nothing_else(repo, folder, fuse, root_user):
    big = random.Random(SEED).randbytes(24 << 20)
    repo.write({"server_addon/server/big.bin": big})
    small, temporary = (repo.path / "server_addon/server/__init__.py").read_text(), folder / "tmp"
    temporary.mkdir()
    result = in_namespace(
        'mount -t tmpfs -o size=2m none "$2"; export TMPDIR="$2"; '
        'mkdir "$3"; "$0" mount "$1" "$3" -o cache=none; cat "$3/package/openpype/3.15.12/__init__.py"; '
        'cat "$3/package/openpype/3.15.12/big.bin" | wc -c; '
        'mount -o remount,size=64m "$2"; cmp "$3/package/openpype/3.15.12/big.bin" "$1/server_addon/server/big.bin"; '
        'echo same; "$0" umount "$3"', repo.path, temporary, folder / "mnt")
    assert result.returncode == 0, result.stderr
    assert result.stdout == small + "0\nsame\n"
    assert "No space left on device" in result.stderr


DAMAGE = {
    "garbage": lambda place: place.write_bytes(b"\0\xffgarbage\n" * 20),
    "empty": lambda place: place.write_bytes(b""),
    "removed": lambda place: None,
    "a folder": lambda place: place.mkdir(),
    # Whoever opens one waits for somebody who writes to it.
    "a FIFO": lambda place: os.mkfifo(place),
}

# What Git cannot name any more when the file is damaged; and without it, what a mount of rev=main is of.
NAMES = ("HEAD", "branches/main")
BROKEN = {"HEAD": {"HEAD"}, "config": set(), "index": set(), "refs/heads/main": {*NAMES, "package"},
          "packed-refs": {*NAMES, "package"}}


@pytest.mark.parametrize("options", ["", "rev=main"])
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_damaged_in_the_git_dir_fails_alone_and_heals(repo, folder, fuse, name, options):
    right = oracle.package_a(repo.checkout(folder / "clean") if options else repo.path)
    if name == "packed-refs":
        repo.git("pack-refs", "--all")
    place, kept = repo.path / ".git" / name, folder / "kept"
    # The worktree's files are those on the disk, whatever Git knows.
    broken = BROKEN[name] - (set() if options else {"package"})
    with mounted(repo.path, folder / "mnt", ",".join(filter(None, (options, "cache=none")))) as mnt:
        def whole():
            found = {link for link in NAMES if refuses(lambda: os.readlink(mnt / link)) == 0}
            return found | ({"package"} if refuses(lambda: os.listdir(package(mnt))) == 0 and
                            list(oracle.compare(right, package(mnt))) == [] else set())

        everything = {*NAMES, "package"}
        assert whole() == everything
        for how, damage in DAMAGE.items():
            os.rename(place, kept)
            damage(place)
            assert everything - whole() == broken, how
            if place.is_dir():
                place.rmdir()
            os.rename(kept, place)
            assert whole() == everything, how


# Where libgit2 or we open a file of Git's, and what of it is needed for (of the mount's options).
OPENED = {"config": "", "commondir": "", "gitdir": "", "config.worktree": "", "packed-refs": "rev=main",
          "objects/info/alternates": "rev=main", "shallow": "version=git", "refs/heads/main": "rev=main",
          "refs/tags/main": "rev=main", "refs/heads/a@b": "rev=a@b", "logs/HEAD": "rev=@{-1}",
          "logs/refs/heads/main": "rev=refs/heads/main@{1}", "refs/heads/before": "rev=@{-1}",
          "refs/heads/upstream": "rev=main@{u}", "HEAD": "version=git"}


@pytest.fixture
def named(repo):
    """With all the refs that OPENED speaks of."""
    repo.commit()
    repo.git("branch", "a@b")
    repo.git("branch", "upstream")
    repo.git("config", "branch.main.remote", ".")
    repo.git("config", "branch.main.merge", "refs/heads/upstream")
    repo.git("checkout", "-q", "-b", "before")
    repo.git("checkout", "-q", "main")
    return repo


@pytest.mark.parametrize("name", OPENED)
def test_a_fifo_where_git_has_a_file_is_refused_and_holds_nobody(named, repo, folder, fuse, name):
    place, kept = repo.path / ".git" / name, folder / "kept"
    if place.exists():
        place.rename(kept)
    os.mkfifo(place)
    (folder / "mnt").mkdir()
    result = run("mount", repo.path, folder / "mnt", "-o", ",".join(filter(None, (OPENED[name], "cache=none"))))
    assert result.returncode == 1 and result.stdout == b"" and not is_mounted(folder / "mnt")
    text = result.stderr.decode()
    # Without a HEAD that is a file it is none at all, for Git as well.
    assert "not a Git repository" in text if name == "HEAD" else f"/.git/{name}: a FIFO, where Git has a file" in text


@pytest.mark.parametrize("name", [name for name, options in OPENED.items() if options and name != "HEAD"])
def test_one_that_comes_while_it_is_mounted_holds_nobody_either(named, repo, folder, fuse, name):
    right = oracle.package_a(repo.checkout(folder / "clean"))
    place, kept = repo.path / ".git" / name, folder / "kept"
    with mounted(repo.path, folder / "mnt", f"{OPENED[name]},cache=none") as mnt:
        if place.exists():
            place.rename(kept)
        os.mkfifo(place)
        for act in (lambda: os.listdir(mnt / "package"), lambda: os.readlink(mnt / "HEAD"),
                    lambda: os.listdir(mnt / "HEAD/package"), lambda: os.listdir(mnt / "branches"),
                    lambda: client_zip(mnt).read_bytes()):
            assert refuses(act) in (0, errno.EIO, errno.ENOENT), act
        place.unlink()
        if kept.exists():
            kept.rename(place)
        if "version" not in OPENED[name]:
            assert list(oracle.compare(right, package(mnt))) == []


@pytest.mark.parametrize("name", ["config", "worktrees/linked/gitdir", "worktrees/linked/commondir"])
def test_nor_does_one_in_the_repository_of_a_linked_worktree(repo, folder, fuse, name):
    repo.git("worktree", "add", "-q", str(folder / "linked"))
    place = repo.path / ".git" / name
    place.rename(folder / "kept")
    os.mkfifo(place)
    (folder / "mnt").mkdir()
    result = run("mount", folder / "linked", folder / "mnt", "-o", "cache=none")
    assert result.returncode == 1 and not is_mounted(folder / "mnt")
    assert f"/.git/{name}: a FIFO, where Git has a file" in result.stderr.decode()
    place.unlink()
    (folder / "kept").rename(place)
    with mounted(folder / "linked", folder / "mnt", "cache=none") as mnt:
        assert list(oracle.compare(oracle.package_a(folder / "linked"), package(mnt))) == []


def test_why_no_version_can_be_derived_is_said_as_it_is_now(repo, folder, fuse):
    branch, kept = repo.path / ".git/refs/heads/main", folder / "kept"
    with mounted(repo.path, folder / "mnt", "version=git,cache=none") as mnt:
        branch.rename(kept)
        for damage, words in ((lambda: os.mkfifo(branch), "a FIFO, where Git has a file"),
                              (lambda: None, "there is no commit yet"),
                              (lambda: branch.write_text("garbage\n"), "refs/heads/main"),
                              (lambda: kept.rename(branch), None)):
            branch.unlink(missing_ok=True)
            damage()
            found = [p["reason"] for p in errors(mnt)]
            assert not found if words is None else found and all(words in reason for reason in found), found


@pytest.mark.parametrize("command", ["status", "umount"])
def test_who_reads_what_a_command_says_waits_for_no_mount_that_hangs(repo, folder, fuse, root_user, command):
    """The process that asks a mount cannot be killed while it is being answered; it has no part in what is said."""
    mnt = folder / "mnt"
    mnt.mkdir()
    try:
        assert run("mount", repo.path, mnt).returncode == 0
        pidfd = os.pidfd_open(daemon_pid(mnt))
        # So young that each look reads it.
        repo.write({"server_addon/server/__init__.py": "# new\n"})
        with HeldUp(repo.path / "server_addon/server/__init__.py") as held:
            result = run(command, mnt, "--timeout", "1")
            held.await_reader()
            assert b"hangs" in result.stdout or b"did not answer" in result.stderr
        if command == "umount":
            await_end(pidfd)
        os.close(pidfd)
    finally:
        clean(mnt)
