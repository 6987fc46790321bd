"""Where refs are read: of the repository that was opened, whatever its path leads to by now."""

import errno
import os
import subprocess

import pytest

import oracle
from mounting import ADDONFS, TIMEOUT, errors, mounted, package, run
from repository import Repository
from test_wait import Waiter


def refuses(act):
    try:
        act()
    except OSError as failure:
        return failure.errno
    return 0


def names_of(mnt):
    return [lambda: os.readlink(mnt / "HEAD"), lambda: os.readlink(mnt / "branches/main"),
            lambda: os.readlink(mnt / "branches/secret"), lambda: os.listdir(mnt / "branches"),
            lambda: os.listdir(mnt / "tags")]


@pytest.mark.parametrize("options", ["", "rev=main", "rev=main~0"])
@pytest.mark.parametrize("which", ["source", "above"])
def test_a_link_at_the_sources_place_or_above_it_leads_to_no_other_refs(repo, folder, fuse, which, options):
    above, other = folder / "above", Repository(folder / "private/source")
    other.write({"openpype/lib/tools.py": "private\n"})
    secret = other.commit()
    other.git("branch", "secret")
    rights = [oracle.package_a(each.checkout(folder / name) if options else each.path)
              for each, name in ((repo, "clean"), (other, "clean of the other"))]
    above.mkdir()
    repo.path.rename(above / "source")
    place, target = (above / "source", other.path) if which == "source" else (above, folder / "private")
    with mounted(above / "source", folder / "mnt", options) as mnt:
        place.rename(folder / "elsewhere")
        place.symlink_to(target)
        assert {refuses(act) for act in names_of(mnt)} == {errno.EIO}
        assert refuses(lambda: os.listdir(mnt / "commits" / secret)) == errno.EIO
        if options:
            assert refuses(lambda: os.listdir(mnt / "package")) == errno.EIO
            [problem] = errors(mnt)
            assert f"{above}/source/.git: " in problem["reason"] and "mount it again" in problem["reason"]
        place.unlink()
        (folder / "elsewhere").rename(place)
        assert {refuses(act) for act in names_of(mnt)} == {0, errno.ENOENT}
        assert list(oracle.compare(rights[0], package(mnt))) == [] and errors(mnt) == []
        # A folder in its place is what a user has put there, as `git clone` does.
        place.rename(folder / "elsewhere")
        target.rename(place)
        assert {refuses(act) for act in names_of(mnt)} == {0}
        assert os.readlink(mnt / "HEAD") == f"commits/{secret}"
        assert list(oracle.compare(rights[1], package(mnt))) == [] and errors(mnt) == []


@pytest.mark.parametrize("what", ["source", "above", "git dir"])
@pytest.mark.parametrize("revision", ["main", "HEAD~0"])
def test_a_wait_for_a_revision_wakes_when_the_source_is_moved_away(repo, folder, fuse, revision, what):
    above = folder / "above"
    above.mkdir()
    repo.path.rename(above / "source")
    place = {"source": above / "source", "above": above, "git dir": above / "source/.git"}[what]
    with mounted(above / "source", folder / "mnt", f"rev={revision}") as mnt:
        first = (mnt / ".addonfs/generation").read_text().strip()
        waiter = Waiter(mnt, "--since", first)
        place.rename(folder / "elsewhere")
        second, _ = waiter.end(0)
        assert second != first and refuses(lambda: os.listdir(mnt / "package")) == errno.EIO
        assert ["there is no repository" in problem["reason"] for problem in errors(mnt)] == [True]
        # And again when it is back, of which nothing tells.
        waiting = subprocess.Popen([ADDONFS, "wait", mnt, "--since", second], stdout=subprocess.PIPE)
        (folder / "elsewhere").rename(place)
        try:
            assert waiting.wait(TIMEOUT) == 0
        finally:
            waiting.kill()
            waiting.communicate()
        assert errors(mnt) == [] and refuses(lambda: os.listdir(mnt / "package")) == 0


@pytest.mark.parametrize("name, revision", [("HEAD", "HEAD"), ("refs/heads/linked", "linked")])
def test_a_ref_that_is_a_symbolic_link_is_a_symbolic_ref(repo, folder, fuse, name, revision):
    """As the first versions of Git made HEAD; its branch may be packed."""
    place = repo.path / ".git" / name
    place.unlink(missing_ok=True)
    place.symlink_to("refs/heads/main")
    head = repo.git("rev-parse", "main").decode().strip()
    with mounted(repo.path, folder / "mnt", f"rev={revision}") as mnt:
        for _ in range(2):
            assert repo.git("rev-parse", revision).decode().strip() == head
            assert os.readlink(mnt / "HEAD") == f"commits/{head}"
            assert refuses(lambda: os.listdir(mnt / "package")) == 0
            repo.git("pack-refs", "--all", "--prune")
        assert os.readlink(mnt / "HEAD") == f"commits/{head}"
        # What is no ref's name is followed as any link.
        (repo.path / ".git/kept").write_text(f"{head}\n")
        place.unlink()
        place.symlink_to(repo.path / ".git/kept")
        assert refuses(lambda: os.listdir(mnt / "package")) == 0


def test_a_head_that_is_a_link_to_a_packed_branch_is_refused_with_advice(repo, folder, fuse):
    head = repo.path / ".git/HEAD"
    head.unlink()
    head.symlink_to("refs/heads/main")
    repo.git("pack-refs", "--all", "--prune")
    (folder / "mnt").mkdir()
    result = run("mount", repo.path, folder / "mnt")
    assert result.returncode == 1 and b"git symbolic-ref HEAD refs/heads/main" in result.stderr, result.stderr
    repo.git("symbolic-ref", "HEAD", "refs/heads/main")
    with mounted(repo.path, folder / "mnt") as mnt:
        assert refuses(lambda: os.readlink(mnt / "HEAD")) == 0
