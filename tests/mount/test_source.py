"""SOURCE itself is the root, whatever the repository's configuration says."""

import os
import subprocess

import pytest

import oracle
from mounting import client_zip, mounted, package, run, status
from repository import ENVIRONMENT, Repository


@pytest.fixture
def elsewhere(folder):
    """A folder that looks like a worktree, and is another."""
    other = Repository(folder / "elsewhere")
    other.write({"openpype/version.py": '__version__ = "9.9.9"\n', "openpype/secret.py": "secret"})
    return other.path


@pytest.mark.parametrize("options", ["", "rev=HEAD", "watch=poll"])
@pytest.mark.parametrize("value", ["{elsewhere}", "../../elsewhere", "/"])
def test_core_worktree_leads_nowhere(repo, folder, fuse, elsewhere, value, options):
    os.unlink(repo.path / "openpype/start.bat")
    repo.git("checkout", "-q", "--", ".")
    expected = oracle.package_a(repo.path)
    # As a hostile clone may have it: only its owner's Git would follow.
    subprocess.run(["git", "config", "--file", repo.path / ".git/config", "core.worktree",
                    value.format(elsewhere=elsewhere)], check=True, env={**os.environ, **ENVIRONMENT})
    with mounted(repo.path, folder / "mnt", options) as mnt:
        assert os.listdir(mnt / "package/openpype") == ["3.15.12"]
        assert list(oracle.compare(expected, package(mnt))) == []
        assert status(mnt)["source"] == str(repo.path)
        # Nor do edits over there matter, while those here do.
        (elsewhere / "openpype/new.py").write_text("x")
        (repo.path / "openpype/new.py").write_text("y")
        found = oracle.read_zip(client_zip(mnt).read_bytes())
        assert found.get(b"openpype/new.py") == (None if options == "rev=HEAD" else (b"y", False))
    (folder / "out").mkdir()
    assert run("export", repo.path, folder / "out", *(["-o", options] if options else [])).returncode == 0
    assert os.listdir(folder / "out/openpype") == ["3.15.12"]


def test_the_environment_of_git_leads_nowhere(repo, folder, fuse, elsewhere):
    expected = oracle.package_a(repo.path)
    environment = {**os.environ, **ENVIRONMENT, "GIT_DIR": f"{elsewhere}/.git",
                   "GIT_WORK_TREE": str(elsewhere), "GIT_INDEX_FILE": f"{elsewhere}/.git/index",
                   "GIT_OBJECT_DIRECTORY": f"{elsewhere}/.git/objects",
                   "GIT_COMMON_DIR": f"{elsewhere}/.git"}
    with mounted(repo.path, folder / "mnt", env=environment) as mnt:
        assert list(oracle.compare(expected, package(mnt))) == []
    head = repo.git("rev-parse", "HEAD").decode().strip()
    with mounted(repo.path, folder / "mnt", "rev=HEAD", env=environment) as mnt:
        assert status(mnt)["commit"] == head


@pytest.mark.parametrize("options", ["", "rev=HEAD"])
def test_a_linked_worktree_is_a_source_of_its_own(repo, folder, fuse, options):
    """Its Git data are in another repository's folder; its files and its HEAD are its own."""
    second = folder / "second"
    repo.git("worktree", "add", "-q", "-b", "second", str(second))
    (second / "openpype/version.py").write_text('__version__ = "4.0.0"\n')
    subprocess.run(["git", "-C", second, "commit", "-qam", "four"], check=True,
                   env={**os.environ, **ENVIRONMENT})
    with mounted(second, folder / "mnt", options) as mnt:
        assert os.listdir(mnt / "package/openpype") == ["4.0.0"]
        assert list(oracle.compare(oracle.package_a(second), package(mnt, "4.0.0"))) == []
        assert sorted(os.listdir(mnt / "branches")) == ["main", "second"]
        # What is committed over there is a branch here.
        repo.write({"openpype/lib/tools.py": "main\n"})
        commit = repo.commit()
        assert os.readlink(mnt / "branches/main").endswith(commit)
        assert b"main\n" == oracle.read_zip(client_zip(
            mnt / "branches/main").read_bytes())[b"openpype/lib/tools.py"][0]


def test_what_is_of_git_is_never_shown_through_a_linked_worktree(repo, folder, fuse):
    second = folder / "second"
    repo.git("worktree", "add", "-q", "-b", "second", str(second))
    os.symlink("../.git", second / "openpype/pointer")
    os.symlink("../../source/.git/config", second / "openpype/config")
    with mounted(second, folder / "mnt") as mnt:
        found = {p["path"] for p in status(mnt)["problems"]}
        assert found == {"openpype/pointer", "openpype/config"}
        with pytest.raises(OSError):
            open(client_zip(mnt), "rb")
