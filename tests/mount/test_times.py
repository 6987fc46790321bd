"""Rule 7: times that rsync's quick check can believe, from live and from frozen views."""

import os
import subprocess

import pytest

from mounting import client_zip, mounted, package, settle
from repository import Repository

TOOLS = "openpype/lib/tools.py"
SERVER = "server_addon/server/settings/main.py"


def rsync(source, target):
    """What `rsync -a` sends (folders apart), by its quick check of size and time alone."""
    result = subprocess.run(["rsync", "-aO", "--delete-after", "--out-format=%n", f"{source}/", target],
                            check=True, capture_output=True)
    return sorted(line for line in result.stdout.decode().splitlines() if not line.endswith("/"))


def equal(source, target):
    result = subprocess.run(["diff", "-r", source, target], capture_output=True)
    return result.returncode == 0 and result.stdout == b""


def stamp(path, seconds):
    os.utime(path, ns=(seconds * 10**9, seconds * 10**9))


@pytest.fixture
def target(folder):
    return folder / "target"


def check(source, target):
    sent = rsync(source, target)
    assert equal(source, target), sent
    assert rsync(source, target) == []
    return sent


def old(repo, seconds=1_600_000_000):
    for base, folders, files in os.walk(repo.path, topdown=False):
        for name in folders + files:
            if not os.path.islink(os.path.join(base, name)):
                stamp(os.path.join(base, name), seconds)


def test_an_edit_of_the_same_size_and_second_is_sent(repo, mount, target):
    live = mount / "package"
    check(live, target)
    for number in range(5):
        for path in (TOOLS, SERVER):
            (repo.path / path).write_text(f"x = {number}\n")
            stamp(repo.path / path, 1_700_000_000)
        sent = check(live, target)
        assert "openpype/3.15.12/private/client.zip" in sent
        assert "openpype/3.15.12/settings/main.py" in sent


def test_contents_that_come_and_go_under_older_times_are_sent(repo, mount, target):
    live = mount / "package"
    for number, second in enumerate((1000, 900, 1000, 950, 900, 1001, 1000)):
        (repo.path / SERVER).write_text(f"x = {number}\n")
        (repo.path / TOOLS).write_text(f"x = {number}\n")
        stamp(repo.path / SERVER, 1_700_000_000 + second)
        stamp(repo.path / TOOLS, 1_700_000_000 + second)
        check(live, target) if number in (0, 2, 4, 6) else list(os.scandir(live))


def test_a_file_that_was_away_comes_back_with_another_time(repo, mount, target):
    live = mount / "package"
    for number in range(4):
        (repo.path / SERVER).write_text(f"x = {number}\n")
        stamp(repo.path / SERVER, 1_700_000_000)
        check(live, target)
        (repo.path / SERVER).unlink()
        assert not (package(mount) / "settings").exists()


def test_a_version_bump_of_the_same_size_within_a_second_is_sent(repo, mount, target):
    live = mount / "package"
    version = repo.path / "openpype/version.py"
    check(live, target)
    for number in (3, 4, 3, 4):
        version.write_text(f'__version__ = "3.15.1{number}"\n')
        stamp(version, 1_700_000_000)
        (repo.path / TOOLS).write_text(f"{os.urandom(4).hex()}\n")
        stamp(repo.path / TOOLS, 1_700_000_000)
        sent = check(live, target)
        assert f"openpype/3.15.1{number}/private/client.zip" in sent


def test_a_deletion_of_the_newest_member_is_sent(repo, mount, target):
    live = mount / "package"
    old(repo)
    (repo.path / "openpype/new.py").write_text("new")
    check(live, target)
    (repo.path / "openpype/new.py").unlink()
    assert check(live, target) == ["openpype/3.15.12/private/client.zip"]


def test_members_that_change_names_while_nothing_is_mounted_are_sent(repo, folder, fuse, target):
    """Same size, same newest member: only the folder's time tells."""
    (repo.path / "openpype/aa.py").write_text("a")
    old(repo)
    with mounted(repo.path, folder / "mnt") as mnt:
        check(mnt / "package", target)
    (repo.path / "openpype/aa.py").rename(repo.path / "openpype/bb.py")
    with mounted(repo.path, folder / "mnt") as mnt:
        assert check(mnt / "package", target) == ["openpype/3.15.12/private/client.zip"]


def test_a_checkout_of_an_older_commit_is_sent(repo, mount, target):
    live = mount / "package"
    commits = []
    for number in range(3):
        repo.write({TOOLS: f"x = {number}\n", SERVER: f"x = {number}\n"})
        commits.append(repo.commit())
    for commit in (*commits, commits[0], commits[2], commits[1], commits[0]):
        repo.git("checkout", "-q", commit)
        check(live, target)


def test_what_has_the_same_bytes_keeps_its_time(repo, mount):
    def seen():
        status = os.stat(client_zip(mount))
        return status.st_ino, status.st_mtime_ns

    before = seen()
    os.chmod(repo.path / TOOLS, 0o664)
    assert seen() == before
    text = (repo.path / TOOLS).read_text()
    (repo.path / TOOLS).write_text("other")
    (repo.path / TOOLS).write_text(text)
    assert seen() == before
    (repo.path / "openpype/lib/ignored.pyc").write_text("")
    (repo.path / "openpype/lib/ignored.pyc").unlink()
    assert seen() == before
    (repo.path / TOOLS).write_text("other")
    assert seen() != before


@pytest.mark.parametrize("settled", [False, True])
def test_other_attributes_of_the_same_bytes_are_another_inode_with_the_same_time(repo, folder, fuse, settled):
    sources = {"client.zip": repo.path / TOOLS, "__init__.py": repo.path / "server_addon/server/__init__.py"}
    for path in sources.values():
        os.utime(path, (1600000000,) * 2)
    with mounted(repo.path, folder / "mnt") as mnt:
        def seen():
            if settled:
                settle(repo.path)
            found = {}
            for name in sources:
                path = client_zip(mnt) if name == "client.zip" else package(mnt) / name
                assert path.read_bytes()
                status = os.stat(path)
                found[name] = (status.st_mtime_ns, status.st_ino, status.st_mode & 0o777)
            return found

        # A time that was shown once does not come back: the worst case for what follows.
        sources["__init__.py"].write_text("newer")
        seen()
        sources["__init__.py"].write_text("older")
        os.utime(sources["__init__.py"], (1600000000,) * 2)
        before = seen()
        for mode in (0o600, 0o644):
            for path in sources.values():
                os.chmod(path, mode)
            after = seen()
            for name in sources:
                assert after[name][0] == before[name][0]
                assert after[name][1] != before[name][1]
                assert after[name][2] == mode & 0o444
            before = after
        os.link(sources["__init__.py"], folder / "another name")
        assert {name: found[0] for name, found in seen().items()} == \
            {name: found[0] for name, found in before.items()}
        # The same size and mtime, but other bytes: that is another time.
        sources["__init__.py"].write_text("OLDER")
        os.utime(sources["__init__.py"], (1600000000,) * 2)
        assert seen()["__init__.py"][0] > before["__init__.py"][0]


def commit_times(repo, commit, path):
    return int(repo.git("log", "-1", "--format=%ct", commit, "--", path))


@pytest.fixture
def history(folder, monkeypatch):
    """Commits at different times, each of which touches one thing."""
    import repository
    monkeypatch.delitem(repository.ENVIRONMENT, "GIT_COMMITTER_DATE")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "1600000000 +0000")
    repo = Repository(folder / "source")
    for number, files in enumerate((
            {TOOLS: "one\n"}, {SERVER: "two\n"}, {"unrelated": "three\n"},
            {TOOLS: "two\n"}, {"server_addon/client/pyproject.toml": "[x]\n"})):
        monkeypatch.setenv("GIT_COMMITTER_DATE", f"{1_600_000_100 + number * 100} +0000")
        repo.write(files)
        repo.commit(f"number {number}")
    return repo


@pytest.mark.parametrize("options", ["", "rev=main"])
def test_frozen_times_are_those_of_git_log(history, folder, fuse, options):
    with mounted(history.path, folder / "mnt", options) as mnt:
        for commit in history.git("rev-list", "HEAD").decode().split():
            shown = mnt / "commits" / commit / "package/openpype/3.15.12"
            for path, source in (("private/client.zip", "openpype"), ("settings/main.py", SERVER),
                                 ("private/pyproject.toml", "server_addon/client/pyproject.toml"),
                                 ("version.py", "openpype/version.py")):
                assert os.stat(shown / path).st_mtime == commit_times(history, commit, source), path
        if options:
            assert os.stat(client_zip(mnt)).st_mtime == commit_times(history, "HEAD", "openpype")


def test_a_commit_that_touches_one_file_sends_that_and_client_zip(history, folder, fuse, target):
    with mounted(history.path, folder / "mnt", "rev=main") as mnt:
        rsync(mnt / "HEAD/package", target)
        for path, expected in ((TOOLS, ["openpype/3.15.12/private/client.zip"]),
                               (SERVER, ["openpype/3.15.12/settings/main.py"]),
                               ("elsewhere", [])):
            history.write({path: os.urandom(8).hex()})
            history.commit()
            assert check(mnt / "HEAD/package", target) == expected
            assert rsync(mnt / "package", target) == []
    # Another mount, another host: the same times.
    with mounted(history.path, folder / "mnt", "rev=main,cache=none") as mnt:
        assert rsync(mnt / "package", target) == []
        assert rsync(mnt / "HEAD/package", target) == []


def test_a_deleted_member_counts_for_the_time_of_a_frozen_zip(history, folder, fuse, monkeypatch):
    (history.path / "openpype/lib/run.sh").unlink()
    monkeypatch.setenv("GIT_COMMITTER_DATE", "1600009999 +0000")
    history.commit()
    with mounted(history.path, folder / "mnt") as mnt:
        assert os.stat(mnt / "HEAD/package/openpype/3.15.12/private/client.zip").st_mtime == 1600009999


def test_a_linked_file_has_the_newer_time_of_the_link_and_its_target(folder, fuse, monkeypatch):
    import repository
    monkeypatch.delitem(repository.ENVIRONMENT, "GIT_COMMITTER_DATE")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "1600000000 +0000")
    repo = Repository(folder / "source")
    target = "server_addon/server/linked.py"

    def at(second, files):
        monkeypatch.setenv("GIT_COMMITTER_DATE", f"{second} +0000")
        repo.write(files)
        repo.commit()
        shown = folder / "mnt/HEAD/package/openpype/3.15.12"
        return [int(os.stat(shown / path).st_mtime) for path in
                ("linked.py", "sub/deep.py", "private/client.zip")]

    with mounted(repo.path, folder / "mnt"):
        link = repository.Link
        assert at(1600000100, {"shared/a.py": "a", "shared/b.py": "b", "shared/sub/deep.py": "d",
                               target: link("../../shared/a.py"),
                               "server_addon/server/sub": link("../../shared/sub"),
                               "openpype/linked": link("../shared")}) == [1600000100] * 3
        assert at(1600000200, {"shared/a.py": "A"}) == [1600000200, 1600000100, 1600000200]
        assert at(1600000300, {target: link("../../shared/b.py")}) == [
            1600000300, 1600000100, 1600000200]
        assert at(1600000400, {"shared/sub/deep.py": "D"}) == [1600000300, 1600000400, 1600000400]
        assert at(1600000500, {"shared/sub2/deep.py": "D2", "openpype/x.py": "x"}) == [
            1600000300, 1600000400, 1600000500]
        assert at(1600000600, {"server_addon/server/sub": link("../../shared/sub2")}) == [
            1600000300, 1600000600, 1600000500]
