"""HEAD, branches, tags, commits and snapshots: names that follow, trees that never change."""

import ctypes
import errno
import os
import shutil
import subprocess
import threading
import zipfile

import pytest

import oracle
from mounting import ADDONFS, TIMEOUT, client_zip, daemon_pid, mounted, package, run, until
from repository import ENVIRONMENT

TOOLS = "openpype/lib/tools.py"


def commits(repo, count=3):
    made = []
    for number in range(count):
        repo.write({TOOLS: f"number = {number}\n", "openpype/version.py": f'__version__ = "1.0.{number}"\n'})
        made.append(repo.commit())
    return made


def member(tree, path=TOOLS):
    """What client.zip holds in the one version that a tree shows."""
    (version,) = os.listdir(tree / "package/openpype")
    with zipfile.ZipFile(client_zip(tree, version)) as archive:
        return archive.read(path)


def absent(path):
    try:
        os.lstat(path)
    except OSError as failure:
        assert failure.errno == errno.ENOENT, (path, failure)
        return True
    return False


@pytest.mark.parametrize("options", ["", "rev=main"])
def test_every_commit_can_be_looked_up(repo, folder, fuse, options):
    made = commits(repo)
    repo.write({TOOLS: "not committed\n"})
    with mounted(repo.path, folder / "mnt", options) as mnt:
        assert os.listdir(mnt / "commits") == [made[-1]]
        for number, commit in enumerate(made):
            tree = mnt / "commits" / commit
            assert sorted(os.listdir(tree)) == ["client", "package", "upload"]
            expected = oracle.package_a(repo.checkout(folder / commit, commit))
            assert list(oracle.compare(expected, package(tree, f"1.0.{number}"))) == []
        assert os.listdir(mnt / "commits") == sorted(made)
        for length in (4, 7, 39):
            link = mnt / "commits" / made[0][:length]
            if length > 4:
                assert os.readlink(link) == made[0]
                assert os.path.samefile(link, mnt / "commits" / made[0])
        assert os.readlink(mnt / "commits" / made[0].upper()) == made[0]
        for unknown in ("0" * 40, "nonesuch", "abc", "main", "HEAD", made[0] + "0", "..x"):
            assert absent(mnt / "commits" / unknown)
        tree = repo.git("rev-parse", "HEAD^{tree}").decode().strip()
        assert absent(mnt / "commits" / tree)
        assert absent(mnt / "commits" / tree[:10])


def test_names_follow_refs_at_once(repo, mount):
    made = commits(repo)
    repo.git("tag", "v1", made[0])
    repo.git("tag", "-a", "-m", "x", "deep/v2", made[1])
    repo.git("branch", "feature/a/b", made[0])
    assert os.readlink(mount / "HEAD") == f"commits/{made[2]}"
    assert os.readlink(mount / "branches/main") == f"../commits/{made[2]}"
    assert os.readlink(mount / "branches/feature/a/b") == f"../../../commits/{made[0]}"
    assert os.readlink(mount / "tags/v1") == f"../commits/{made[0]}"
    assert os.readlink(mount / "tags/deep/v2") == f"../../commits/{made[1]}"
    for name, expected in (("HEAD", 2), ("branches/feature/a/b", 0), ("tags/deep/v2", 1)):
        assert member(mount / name) == b"number = %d\n" % expected
    assert sorted(os.listdir(mount / "branches")) == ["feature", "main"]
    assert sorted(os.listdir(mount / "tags")) == ["deep", "v1"]
    for change, name, expected in (
            (("update-ref", "refs/heads/main", made[1]), "HEAD", f"commits/{made[1]}"),
            (("branch", "-f", "feature/a/b", made[2]), "branches/feature/a/b", f"../../../commits/{made[2]}"),
            (("pack-refs", "--all"), "branches/main", f"../commits/{made[1]}"),
            (("tag", "-f", "v1", made[2]), "tags/v1", f"../commits/{made[2]}"),
            (("symbolic-ref", "HEAD", "refs/heads/feature/a/b"), "HEAD", f"commits/{made[2]}"),
            (("checkout", "-q", "-f", "--detach", made[0]), "HEAD", f"commits/{made[0]}")):
        repo.git(*change)
        assert os.readlink(mount / name) == expected, change
        assert os.lstat(mount / name).st_size == len(expected)
    repo.git("branch", "-D", "feature/a/b")
    assert absent(mount / "branches/feature/a/b") and absent(mount / "branches/feature")
    repo.git("branch", "feature", made[0])
    assert os.readlink(mount / "branches/feature") == f"../commits/{made[0]}"


def test_a_folder_of_refs_that_has_gone_is_stale(repo, mount):
    repo.git("branch", "feature/x")
    fd = os.open(mount / "branches/feature", os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert os.listdir(fd) == ["x"]
        repo.git("branch", "-D", "feature/x")
        with pytest.raises(OSError) as failure:
            os.listdir(fd)
        assert failure.value.errno == errno.ESTALE
    finally:
        os.close(fd)


def test_without_a_commit_there_is_no_head(folder, fuse):
    from repository import BASE, write
    subprocess.run(["git", "init", "-q", "-b", "main", folder / "new"], check=True,
                   env={**os.environ, **ENVIRONMENT})
    write(folder / "new", BASE)
    with mounted(folder / "new", folder / "mnt") as mnt:
        assert absent(mnt / "HEAD") and "HEAD" not in os.listdir(mnt)
        assert os.listdir(mnt / "branches") == os.listdir(mnt / "commits") == []
        assert member(mnt / "snapshots/current")


def test_a_commit_without_a_known_layout_answers_eio_and_others_do_not(repo, mount):
    good = commits(repo)[-1]
    repo.git("rm", "-q", "-r", "server_addon")
    repo.git("commit", "-q", "-m", "without")
    bad = repo.git("rev-parse", "HEAD").decode().strip()
    with pytest.raises(OSError) as failure:
        os.listdir(mount / "commits" / bad / "package")
    assert failure.value.errno == errno.EIO
    assert member(mount / "commits" / good)


def test_a_listing_of_everything_composes_no_more_than_is_listed(repo, folder, fuse):
    made = commits(repo, 6)
    for number, commit in enumerate(made):
        repo.git("tag", f"t{number}", commit)
    with mounted(repo.path, folder / "mnt", "cache=none") as mnt:
        found = subprocess.run(["find", mnt], check=True, capture_output=True).stdout
        assert found.count(b"client.zip") == 2  # live, and of HEAD
        assert os.listdir(mnt / "commits") == [made[-1]]


def test_frozen_trees_stay_in_the_kernels_cache(repo, mount):
    """Once looked at, they are answered although the daemon does not."""
    commits(repo)
    tree = (mount / "HEAD").resolve()
    before = subprocess.run(["find", tree, "-type", "f", "-exec", "sha256sum", "{}", "+"], check=True,
                            capture_output=True).stdout
    listing = os.listdir(tree / "package/openpype")
    pid = daemon_pid(mount)
    # Absent names as well.
    assert absent(tree / "package/nonesuch")
    fd = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    os.kill(pid, 19)
    try:
        assert os.stat(f"package/openpype/{listing[0]}/version.py", dir_fd=fd).st_size > 0
        with pytest.raises(FileNotFoundError):
            os.stat("package/nonesuch", dir_fd=fd)
        inner = os.open("package", os.O_PATH, dir_fd=fd)
        os.close(inner)
    finally:
        os.kill(pid, 18)
        os.close(fd)
    assert before.count(b"\n") > 4


def test_snapshots_are_named_after_their_content(repo, folder, fuse):
    source = repo.checkout(folder / "one")
    with mounted(source, folder / "mnt") as mnt:
        first = os.readlink(mnt / "snapshots/current")
        assert os.readlink(mnt / "snapshots/current") == first
        text = (source / TOOLS).read_text()
        (source / TOOLS).write_text("other")
        other = os.readlink(mnt / "snapshots/current")
        (source / TOOLS).write_text(text)
        assert os.readlink(mnt / "snapshots/current") == first != other
        assert sorted(os.listdir(mnt / "snapshots")) == sorted({first, other, "current"})
        os.chmod(source / TOOLS, 0o755)
        assert os.readlink(mnt / "snapshots/current") not in (first, other)
        os.chmod(source / TOOLS, 0o640)
        assert os.readlink(mnt / "snapshots/current") == first
    clean = repo.checkout(folder / "clean")
    with mounted(clean, folder / "mnt", "cache=none") as mnt:
        assert os.readlink(mnt / "snapshots/current") == first
    with mounted(clean, folder / "mnt", "rev=HEAD") as mnt:
        assert os.readlink(mnt / "snapshots/current") == first


def test_a_snapshot_holds_one_state_whatever_happens(repo, folder, mount):
    repo.write({"server_addon/server/large.bin": os.urandom(3 << 20)})
    shutil.copytree(repo.path, folder / "copy", symlinks=True)
    tree = (mount / "snapshots/current").resolve()
    expected = oracle.package_a(folder / "copy")
    for name in ("openpype/lib", "server_addon/server"):
        shutil.rmtree(repo.path / name)
    (repo.path / "openpype/version.py").write_text("broken")
    with pytest.raises(OSError):
        os.listdir(mount / "package/openpype")
    assert list(oracle.compare(expected, package(tree))) == []
    subprocess.run(["rsync", "-a", f"{package(tree)}/", folder / "target"], check=True)
    assert list(oracle.compare(expected, folder / "target")) == []
    assert os.path.samefile(tree, mount / "snapshots" / tree.name)


def test_snapshots_that_are_used_stay_and_of_others_the_last(repo, mount):
    """By a descriptor, or by path with nothing open in between."""
    held = (mount / "snapshots/current").resolve()
    fd = os.open(held, os.O_RDONLY | os.O_DIRECTORY)
    before = member(held)
    (repo.path / TOOLS).write_text("by path\n")
    used = (mount / "snapshots/current").resolve()
    ids = []
    for number in range(160):
        (repo.path / TOOLS).write_text(f"{number}\n")
        ids.append(os.readlink(mount / "snapshots/current"))
        os.stat(mount / "snapshots" / ids[-1] / "package")
        assert os.path.getsize(client_zip(used)) > 0
    try:
        for number, name in list(enumerate(ids))[-16:]:
            assert member(mount / "snapshots" / name) == b"%d\n" % number
        assert member(used) == b"by path\n"
        # What nobody uses goes when the kernel has let it go.
        until(lambda: len(os.listdir(mount / "snapshots")) <= 128 + 2)
        assert absent(mount / "snapshots" / ids[0])
        assert os.listdir(f"/proc/self/fd/{fd}/package") == ["openpype"]
        assert member(mount / "snapshots" / held.name) == before
    finally:
        os.close(fd)


def test_whoever_works_in_the_root_of_a_commit_keeps_the_path(repo, mount):
    first, *others = commits(repo, 15)
    # A shell's builtin asks the kernel, not its memory.
    shell = subprocess.Popen(["sh", "-c", "read line; exec /bin/pwd -P"], cwd=mount / "commits" / first,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for commit in others:
        assert member(mount / "commits" / commit)
    assert shell.communicate("\n", timeout=TIMEOUT)[0].strip() == str(mount / "commits" / first)


def test_a_snapshot_is_as_private_as_its_files_are_now(repo, mount):
    path = repo.path / "server_addon/server/__init__.py"
    for mode in (0o644, 0o600, 0o644):
        path.chmod(mode)
        tree = (mount / "snapshots/current").resolve()
        for place in (tree, mount):
            assert os.stat(package(place) / "__init__.py").st_mode & 0o777 == mode & 0o444
        assert sorted(os.listdir(mount / "snapshots")) == sorted([tree.name, "current"])


def test_a_commit_that_git_has_thrown_away_is_listed_no_more(repo, mount):
    kept, lost = commits(repo, 2)
    os.stat(mount / "commits" / lost / "package")
    repo.git("reset", "-q", "--hard", kept)
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "-q", "--prune=now")
    subprocess.run(["find", mount], check=True, capture_output=True)
    assert os.listdir(mount / "commits") == [kept]


def test_what_cannot_be_read_is_so_in_a_snapshot(repo, mount):
    os.symlink("/nowhere", repo.path / "openpype/broken.py")
    tree = (mount / "snapshots/current").resolve()
    with pytest.raises(OSError) as failure:
        client_zip(tree).read_bytes()
    assert failure.value.errno == errno.EIO
    os.unlink(repo.path / "openpype/broken.py")
    assert member(mount / "snapshots/current")
    with pytest.raises(OSError):
        client_zip(tree).read_bytes()


def test_view_package_has_no_other_names(repo, folder, fuse):
    with mounted(repo.path, folder / "mnt", "view=package") as mnt:
        for name in ("HEAD", "branches", "tags", "commits", "snapshots"):
            assert absent(mnt / name)


def test_a_clone_without_history_shows_what_it_has(repo, folder, fuse):
    made = commits(repo)
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{repo.path}", folder / "shallow"],
                   check=True, env={**os.environ, **ENVIRONMENT})
    with mounted(folder / "shallow", folder / "mnt") as mnt:
        assert member(mnt / "HEAD") == b"number = 2\n"
        assert absent(mnt / "commits" / made[0])


def test_readers_of_a_frozen_tree_are_undisturbed_by_writers(repo, folder, fuse):
    commits(repo)
    stop = threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            number += 1
            (repo.path / TOOLS).write_text(f"{number}\n" * 1000)

    with mounted(repo.path, folder / "mnt") as mnt:
        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(20):
                tree = (mnt / "snapshots/current").resolve()
                first = member(tree)
                assert member(tree) == first and len(set(first.split(b"\n")) - {b""}) <= 1
                with zipfile.ZipFile(client_zip(mnt, "1.0.2")) as archive:
                    assert archive.testzip() is None
        finally:
            stop.set()
            writer.join()
