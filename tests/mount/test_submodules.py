"""Submodules: what a checkout with --recurse-submodules holds, or an empty folder that is told."""

import copy
import errno
import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

import oracle
from mounting import ADDONFS, client_zip, daemon_pid, errors, mounted, package, run, status, until
from repository import ENVIRONMENT, Link, Repository
from samples import package_py
from users import own

PATH = "openpype/vendor/lib"
FILES = {
    "__init__.py": "import this\n", "deep/er/code.py": "code = 1\n", "text.txt": "one\ntwo\n",
    "run.bat": "echo off\n", ".hidden": "no", "wide.md": "a\nb\n",
    ".gitattributes": "*.txt text eol=crlf\ndeep/er/code.py text eol=crlf\n",
}


def git(path, *arguments):
    return subprocess.run(
        ["git", "-C", str(path), "-c", "protocol.file.allow=always", *arguments], check=True,
        capture_output=True, env={**os.environ, **ENVIRONMENT}, timeout=120).stdout.decode().strip()


def add(repo, origin, path=PATH, *options):
    git(repo.path, "submodule", "add", "-q", *options, str(origin.path), path)
    return repo.commit("submodule")


def checkout(repo, path, revision="HEAD"):
    """A clean checkout, submodules included, as a source that knows nothing of Git."""
    git(repo.path.parent, "clone", "-q", "--no-hardlinks", str(repo.path), str(path))
    git(path, "checkout", "-q", "--detach", revision)
    git(path, "submodule", "update", "-q", "--init", "--recursive")
    for folder, _, files in os.walk(path):
        if ".git" in files:
            os.unlink(os.path.join(folder, ".git"))
    return path


def clone(repo, path, *options):
    git(repo.path.parent, "clone", "-q", *options, str(repo.path), str(path))
    return path


def cloned(repo, path):
    """A clone with its submodules, checked out as Git does it."""
    made = copy.copy(repo)
    made.path = clone(repo, path, "--recurse-submodules")
    return made


def ask_anew(path):
    """Let the kernel ask for this name although it remembers it: whoever would make it must know."""
    with pytest.raises(FileExistsError):
        os.mkdir(path)


def modules(path):
    return path / ".git/modules"


def warnings(mnt):
    return [(problem["path"], problem["reason"]) for problem in status(mnt)["problems"]
            if problem["severity"] == "warning"]


def members(tree, version="3.15.12"):
    return oracle.read_zip(client_zip(tree, version).read_bytes())


def same(source, tree, version="3.15.12"):
    assert list(oracle.compare(oracle.package_a(source), package(tree, version))) == []


@pytest.fixture
def origin(folder):
    return Repository(folder / "origin", FILES)


@pytest.fixture
def super(repo, origin):
    add(repo, origin)
    return repo


@pytest.mark.parametrize("options", ["", "rev=HEAD", "watch=poll"])
def test_a_submodule_is_shown_as_a_checkout_has_it(super, folder, fuse, options):
    super = cloned(super, folder / "clone")
    commit = super.git("rev-parse", "HEAD").decode().strip()
    clean = checkout(super, folder / "clean")
    # Its own attributes apply, and none of those around it.
    assert (clean / PATH / "text.txt").read_bytes() == b"one\r\ntwo\r\n"
    assert (clean / PATH / "run.bat").read_bytes() == b"echo off\n"
    with mounted(super.path, folder / "mnt", options) as mnt:
        for tree in (mnt, mnt / "HEAD", mnt / "branches/main", mnt / "commits" / commit,
                     mnt / "snapshots/current"):
            same(clean, tree)
            names = set(members(tree))
            assert b"openpype/vendor/lib/deep/er/code.py" in names
            assert not any(b".git" in name for name in names)
            assert (tree / "client/openpype_3.15.12" / PATH / "text.txt").read_bytes() == (
                b"one\r\ntwo\r\n")
            with zipfile.ZipFile(tree / "upload/openpype-3.15.12.zip") as upload:
                assert upload.read("addon/private/client.zip") == client_zip(tree).read_bytes()
        assert warnings(mnt) == [] and errors(mnt) == []


def test_every_commit_shows_its_own_commit_of_the_submodule(super, origin, folder, fuse):
    first = super.git("rev-parse", "HEAD").decode().strip()
    origin.write({"deep/er/code.py": "code = 2\n", "new.py": "new\n"})
    os.unlink(origin.path / "text.txt")
    origin.commit()
    git(super.path / PATH, "pull", "-q")
    second = super.commit("moved")
    git(super.path, "mv", PATH, "openpype/other")
    third = super.commit("renamed")
    with mounted(super.path, folder / "mnt") as mnt:
        for commit in (third, first, second):
            same(checkout(super, folder / commit, commit), mnt / "commits" / commit)
        same(super.path, mnt)
    # No commit of it becomes one of ours.
    with mounted(super.path, folder / "mnt", "rev=main") as mnt:
        with pytest.raises(FileNotFoundError):
            os.listdir(mnt / "commits" / origin.git("rev-parse", "HEAD").decode().strip())


def test_the_live_view_follows_the_gitlink(super, origin, folder, fuse):
    with mounted(super.path, folder / "mnt", "rev=main") as mnt:
        before = client_zip(mnt).read_bytes()
        for number in range(3):
            origin.write({"deep/er/code.py": f"number = {number}\n"})
            origin.commit()
            git(super.path / PATH, "pull", "-q")
            super.commit("moved")
            found = members(mnt)[b"openpype/vendor/lib/deep/er/code.py"][0]
            assert found == b"number = %d\r\n" % number
        super.git("reset", "-q", "--hard", "HEAD~3")
        assert client_zip(mnt).read_bytes() == before


@pytest.mark.parametrize("options", ["", "rev=HEAD"])
def test_what_was_not_fetched_is_an_empty_folder_and_is_told(super, folder, fuse, options):
    path = clone(super, folder / "clone")
    commit = git(path, "rev-parse", "HEAD")
    with mounted(path, folder / "mnt", options) as mnt:
        assert not any(b"vendor/lib" in name for name in members(mnt))
        (told,) = warnings(mnt)
        assert told[0] == PATH and "git submodule update --init" in told[1]
        same(path, mnt)
        same(path, mnt / "commits" / commit)
        generation = status(mnt)["generation"]
        # As soon as it is there, it is shown: live, and frozen.
        git(path, "submodule", "update", "-q", "--init")
        clean = checkout(super, folder / "clean")
        same(clean, mnt)
        same(clean, mnt / "commits" / commit)
        assert warnings(mnt) == [] and status(mnt)["generation"] != generation


def test_a_frozen_commit_knows_what_the_live_view_has_found(super, folder, fuse):
    """What it lacked comes, and the live view goes there first."""
    path = clone(super, folder / "clone")
    commit = git(path, "rev-parse", "HEAD")
    git(path, "reset", "-q", "--hard", "HEAD~1")
    with mounted(path, folder / "mnt", "rev=main") as mnt:
        assert b"openpype/vendor/lib/__init__.py" not in members(mnt / "commits" / commit)
        git(folder, "clone", "-q", "--bare", str(folder / "origin"), str(modules(path) / PATH))
        git(path, "reset", "-q", "--hard", commit)
        clean = checkout(super, folder / "clean")
        same(clean, mnt)
        same(clean, mnt / "commits" / commit)


@pytest.mark.parametrize("before", ["", "modules", PATH, "file", "link", "dangling"])
def test_wherever_the_way_to_it_ended_it_is_shown_when_it_has_come(super, folder, fuse, before):
    path = clone(super, folder / "clone")
    place = modules(path) / PATH
    aside = folder / "aside"
    git(folder, "clone", "-q", "--bare", str(folder / "origin"), str(aside))
    clean = checkout(super, folder / "clean")
    if before:
        os.makedirs({"modules": modules(path), PATH: place}.get(before, place.parent))
    if before == "file":
        place.write_text("no folder")
    if before == "link":
        os.symlink(aside, place)
    if before == "dangling":
        os.makedirs(modules(path) / "other/folder")
        os.symlink(modules(path) / "other/folder/lib", place)
    with mounted(path, folder / "mnt", "rev=HEAD") as mnt:
        for tree in (mnt, mnt / "HEAD"):
            assert b"openpype/vendor/lib/__init__.py" not in members(tree)
        if before in ("file", "link"):
            os.unlink(place)
        target = modules(path) / "other/folder/lib" if before == "dangling" else place
        os.makedirs(target.parent, exist_ok=True)
        if before == PATH:
            os.rmdir(place)
        shutil.move(aside, target)
        for tree in (mnt, mnt / "HEAD"):
            same(clean, tree)
        assert warnings(mnt) == []


def test_a_commit_that_was_not_fetched_is_told_and_then_shown(super, origin, folder, fuse):
    path = clone(super, folder / "clone", "--recurse-submodules")
    origin.write({"deep/er/code.py": "later\n"})
    origin.commit()
    git(super.path / PATH, "pull", "-q")
    commit = super.commit("moved")
    git(path, "pull", "-q", "--no-recurse-submodules")
    with mounted(path, folder / "mnt", "rev=main") as mnt:
        (told,) = warnings(mnt)
        assert told[0] == PATH and origin.git("rev-parse", "HEAD").decode().strip() in told[1]
        assert b"openpype/vendor/lib/__init__.py" not in members(mnt / "commits" / commit)
        git(path / PATH, "fetch", "-q")
        clean = checkout(super, folder / "clean")
        same(clean, mnt)
        same(clean, mnt / "commits" / commit)
        assert warnings(mnt) == []


@pytest.mark.parametrize("where", ["", PATH, f"{PATH}/objects"])
def test_what_cannot_be_read_is_not_taken_for_absent(super, folder, fuse, where):
    clean = checkout(super, folder / "clean")
    place = modules(super.path) / where
    shutil.move(place, folder / "aside")
    os.symlink(place, place)
    with mounted(super.path, folder / "mnt", "rev=HEAD") as mnt:
        for tree in (mnt, mnt / "HEAD"):
            with pytest.raises(OSError):
                client_zip(tree).read_bytes()
        assert warnings(mnt) == []
        (told,) = errors(mnt)
        assert told["path"] == PATH and os.strerror(errno.ELOOP) in told["reason"]
        os.unlink(place)
        shutil.move(folder / "aside", place)
        for tree in (mnt, mnt / "HEAD"):
            same(clean, tree)
        assert errors(mnt) == []


def test_a_frozen_tree_of_which_nothing_is_missing_stays_what_it_is(super, folder, fuse):
    commit = super.git("rev-parse", "HEAD").decode().strip()
    with mounted(super.path, folder / "mnt") as mnt:
        file = mnt / "commits" / commit / "client/openpype_3.15.12" / PATH / "text.txt"
        client_zip(mnt / "commits" / commit).read_bytes()
        before = os.stat(file)
        shutil.move(modules(super.path), folder / "aside")
        ask_anew(mnt / "commits" / commit)
        assert os.stat(file).st_ino == before.st_ino
        assert file.read_bytes() == b"one\r\ntwo\r\n"


@pytest.mark.parametrize("options", ["", "problems=skip"])
def test_a_frozen_tree_stays_what_it_is_whatever_cannot_heal(repo, folder, fuse, options):
    """A broken link will never lead anywhere, and what another commit lacks is not its own."""
    repo.write({"server_addon/server/broken": Link("nowhere"), "openpype/leaving": Link("../../x")})
    first = repo.commit("broken")
    repo.write({"openpype/gone.py": "gone\n"})
    second = repo.commit("more")
    name = repo.git("rev-parse", "HEAD:openpype/gone.py").decode().strip()
    file = object_path(repo.path / ".git", name)
    data = file.read_bytes()
    os.unlink(file)
    with mounted(repo.path, folder / "mnt", options) as mnt:
        frozen = package(mnt / "commits" / first) / "version.py"
        before = os.stat(frozen)
        client = mnt / "commits" / second / "client/openpype_3.15.12/openpype"
        assert options or os.lstat(client / "gone.py")
        if not options:
            with pytest.raises(OSError):
                client_zip(mnt / "commits" / second).read_bytes()
        for content in (None, data):
            if content:
                file.write_bytes(content)
            ask_anew(mnt / "commits" / first)
            assert os.stat(frozen).st_ino == before.st_ino


def test_a_frozen_tree_that_was_tried_again_in_vain_stays_what_it_is(super, origin, folder, fuse):
    """Another submodule has come: it was worth a try."""
    other = Repository(folder / "other", {"other.py": "other\n"})
    add(super, other, "openpype/vendor/other")
    path = clone(super, folder / "clone")
    first = git(path, "rev-parse", "HEAD~1")
    with mounted(path, folder / "mnt", "rev=main") as mnt:
        files = [package(mnt / "commits" / first) / "version.py",
                 mnt / "commits" / first / "client/openpype_3.15.12/openpype/version.py"]
        before = [os.stat(file).st_ino for file in files]
        assert {told[0] for told in warnings(mnt)} == {PATH, "openpype/vendor/other"}
        git(path, "submodule", "update", "-q", "--init", "openpype/vendor/other")
        until(lambda: {told[0] for told in warnings(mnt)} == {PATH})
        ask_anew(mnt / "commits" / first)
        assert [os.stat(file).st_ino for file in files] == before
        git(path, "submodule", "update", "-q", "--init")
        ask_anew(mnt / "commits" / first)
        assert b"openpype/vendor/lib/__init__.py" in members(mnt / "commits" / first)


def test_what_is_left_out_is_no_other_tree_at_every_look(repo, folder, fuse):
    repo.write({"openpype/broken": Link("nowhere"), "server_addon/server/big.bin":
                f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 1\n"})
    commit = repo.commit("broken")
    with mounted(repo.path, folder / "mnt", "rev=main,problems=skip") as mnt:
        tree = mnt / "commits" / commit
        numbers = set()
        client_zip(tree).read_bytes()
        for _ in range(5):
            ask_anew(tree)
            numbers.add(os.stat(package(tree) / "version.py").st_ino)
        assert len(numbers) == 1


def test_times_are_those_of_the_gitlink(super, origin, folder, fuse):
    """A checkout of the same commit of ours has the same times everywhere."""
    for number, date in enumerate(("2024-01-01T00:00:00Z", "2024-02-02T00:00:00Z")):
        origin.write({"new.py": f"{number}\n"})
        origin.commit()
        git(super.path / PATH, "pull", "-q")
        super.git("add", "-A")
        subprocess.run(["git", "-C", super.path, "commit", "-qm", "moved"], check=True,
                       env={**os.environ, **ENVIRONMENT, "GIT_COMMITTER_DATE": date})
    super.write({"openpype/lib/tools.py": "after\n", "server_addon/server/linked.py":
                 Link(f"../../{PATH}/new.py")})
    super.commit("after")
    at = int(super.git("log", "-1", "--format=%ct", "--", PATH))
    with mounted(super.path, folder / "mnt", "rev=HEAD") as mnt:
        client = mnt / "client/openpype_3.15.12"
        for name in ("new.py", "deep/er/code.py"):
            assert int(os.stat(client / PATH / name).st_mtime) == at
        assert int(os.stat(client / "openpype/lib/tools.py").st_mtime) != at
        assert int(os.stat(package(mnt) / "linked.py").st_mtime) == at
        newest = int(super.git("log", "-1", "--format=%ct", "--", "openpype"))
        assert int(os.stat(client_zip(mnt)).st_mtime) == newest


def test_submodules_in_submodules(repo, origin, folder, fuse):
    middle = Repository(folder / "middle", {"middle.py": "middle\n", "x.txt": "lf\n"})
    add(middle, origin, "in/ner")
    add(repo, middle, "openpype/middle", "--name", "a/name")
    git(repo.path, "submodule", "update", "-q", "--init", "--recursive")
    clean = checkout(repo, folder / "clean")
    with mounted(repo.path, folder / "mnt", "rev=HEAD") as mnt:
        assert b"openpype/middle/in/ner/deep/er/code.py" in members(mnt)
        same(clean, mnt)
        same(clean, mnt / "HEAD")
        assert warnings(mnt) == []
    # The inner one alone is not there.
    path = clone(repo, folder / "clone")
    git(path, "submodule", "update", "-q", "--init")
    with mounted(path, folder / "mnt", "rev=HEAD") as mnt:
        assert [told[0] for told in warnings(mnt)] == ["openpype/middle/in/ner"]
        assert b"openpype/middle/middle.py" in members(mnt)
        git(path, "submodule", "update", "-q", "--init", "--recursive")
        same(clean, mnt)
        assert warnings(mnt) == []


def test_links_lead_in_and_out_of_a_submodule(repo, origin, folder, fuse):
    origin.write({"out.py": Link("../../lib/tools.py"), "in": Link("deep/er"),
                  "away.py": Link("../../../../elsewhere.py")})
    origin.commit()
    repo.write({"openpype/code.py": Link("vendor/lib/deep/er/code.py"),
                "openpype/deep": Link("vendor/lib/deep"), "openpype/lib2": Link("vendor/lib"),
                "openpype/through.py": Link("vendor/lib/in/code.py")})
    add(repo, origin)
    clean = checkout(repo, folder / "clean")
    (folder / "elsewhere.py").write_text("secret")
    for options in ("", "rev=HEAD"):
        with mounted(repo.path, folder / "mnt", options) as mnt:
            assert {problem["path"] for problem in errors(mnt)} == {
                f"{PATH}/away.py", "openpype/lib2/away.py"}
            with pytest.raises(OSError):
                client_zip(mnt).read_bytes()
    os.unlink(clean / PATH / "away.py")
    os.unlink(origin.path / "away.py")
    origin.commit()
    git(repo.path / PATH, "pull", "-q")
    repo.commit()
    with mounted(repo.path, folder / "mnt", "rev=HEAD") as mnt:
        same(clean, mnt)
        found = members(mnt)
        assert found[b"openpype/code.py"][0] == b"code = 1\r\n"
        assert found[b"openpype/vendor/lib/out.py"][0] == b"def tool():\n    return 1\n" * 50
        assert found[b"openpype/lib2/in/code.py"][0] == b"code = 1\r\n"
    # A link into what is not there fails the zip: nobody knows what it leads to.
    path = clone(repo, folder / "clone")
    with mounted(path, folder / "mnt", "rev=HEAD") as mnt:
        reasons = {problem["path"]: problem["reason"] for problem in errors(mnt)}
        assert set(reasons) == {"openpype/code.py", "openpype/deep", "openpype/through.py"}
        assert all("git submodule update --init" in reason for reason in reasons.values())
        assert {told[0] for told in warnings(mnt)} == {PATH, "openpype/lib2"}
        git(path, "submodule", "update", "-q", "--init")
        same(clean, mnt)
        assert errors(mnt) == [] and warnings(mnt) == []


@pytest.mark.parametrize("options", ["", "watch=poll"])
def test_a_worktree_tells_which_submodules_are_not_checked_out(repo, origin, folder, fuse, options):
    middle = Repository(folder / "middle", {"middle.py": "middle\n"})
    add(middle, origin, "in/ner")
    add(repo, middle, "openpype/middle")
    add(repo, origin, "server_addon/server/lib")
    path = clone(repo, folder / "clone")
    os.makedirs(path / "openpype/empty")
    both = {"openpype/middle", "server_addon/server/lib"}
    with mounted(path, folder / "mnt", options) as mnt:
        assert {told[0] for told in warnings(mnt)} == both
        (path / "openpype/lib/tools.py").write_text("edited\n")
        assert {told[0] for told in warnings(mnt)} == both
        git(path, "submodule", "update", "-q", "--init", "server_addon/server/lib")
        # Its .git is there, and never shown.
        assert {told[0] for told in warnings(mnt)} >= {"openpype/middle"}
        assert ".git" not in os.listdir(package(mnt) / "lib")
        git(path, "submodule", "update", "-q", "--init", "openpype/middle")
        assert "openpype/middle/in/ner" in {told[0] for told in warnings(mnt)}
        git(path, "submodule", "update", "-q", "--init", "--recursive")
        assert not any("submodule" in told[1] for told in warnings(mnt))
        assert b"openpype/middle/in/ner/__init__.py" in members(mnt)
        # What is told is not what it was told of.
        git(path, "submodule", "deinit", "-q", "-f", "--all")
        assert {told[0] for told in warnings(mnt)} == both
        (path / ".gitmodules").write_text("")
        assert warnings(mnt) == []


def object_path(git_dir, name):
    return git_dir / "objects" / name[:2] / name[2:]


@pytest.mark.parametrize("what", ["deep/er/code.py", "deep", "", ".gitattributes"])
@pytest.mark.parametrize("damage", [False, True])
def test_a_missing_or_damaged_object_fails_and_is_told(super, origin, folder, fuse, what, damage):
    clean = checkout(super, folder / "clean")
    name = origin.git("rev-parse", f"HEAD:{what}").decode().strip()
    git_dir = modules(super.path) / PATH
    for pack in (git_dir / "objects/pack").glob("*.pack"):
        data = pack.read_bytes()
        for file in pack.parent.glob(f"{pack.stem}.*"):
            os.unlink(file)
        subprocess.run(["git", "-C", git_dir, "unpack-objects", "-q"], input=data, check=True,
                       env={**os.environ, "GIT_WORK_TREE": str(super.path / PATH)})
    file = object_path(git_dir, name)
    data = file.read_bytes()
    os.unlink(file)
    if damage:
        file.write_bytes(data[:-4])
    with mounted(super.path, folder / "mnt", "rev=HEAD") as mnt:
        for tree in (mnt, mnt / "HEAD"):
            with pytest.raises(OSError):
                client_zip(tree).read_bytes()
        told = [problem for problem in errors(mnt) if name in problem["reason"]]
        assert told and all(problem["path"].startswith(PATH) for problem in told), errors(mnt)
        if file.exists():
            os.unlink(file)
        file.write_bytes(data)
        same(clean, mnt)
        same(clean, mnt / "HEAD")
        assert errors(mnt) == []


HOSTILE = ["../../evil", "..", "x/../../../evil", "/absolute", "", "a\\\\..\\\\..\\\\evil", "link",
           ".", "gone"]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_leads_out_of_modules(repo, origin, folder, fuse, name):
    """CVE-2018-11235: the name stands in a file that anybody may have committed."""
    evil = folder / "evil"
    git(folder, "clone", "-q", "--bare", str(origin.path), str(evil))
    shutil.copytree(evil, repo.path / "evil")
    shutil.copytree(evil, repo.path / ".git/evil")
    os.makedirs(modules(repo.path))
    os.symlink(repo.path / "evil", modules(repo.path) / "link")
    for file in os.listdir(evil):
        os.symlink(evil / file, modules(repo.path) / file)
    section = f'[submodule "{name.format(evil=evil)}"]\n\tpath = {PATH}\n\turl = x\n'
    if name == "/absolute":
        section = section.replace(name, str(evil))
    repo.write({".gitmodules": section})
    commit = origin.git("rev-parse", "HEAD").decode().strip()
    repo.git("add", ".gitmodules")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{commit},{PATH}")
    repo.git("commit", "-qm", "hostile")
    with mounted(repo.path, folder / "mnt", "rev=HEAD") as mnt:
        assert not any(b"vendor/lib" in member for member in members(mnt))
        assert [told[0] for told in warnings(mnt)] == [PATH]


@pytest.mark.parametrize("text", [
    "[include]\n\tpath = {other}\n", "[INCLUDE]\n\tpath = {other}\n", "[includeIf \"gitdir:/\"]\n\tpath = {other}\n",
    "[x] [include] path = {other}\n", "[submodule \"a\"\n", "\0", "[submodule \"lib\"]\n\tpath\n",
    "[submodule \"lib\"]\n\tpath = --lib\n", "# long\n" * 300000,
], ids=range(9))
def test_gitmodules_includes_nothing_and_may_be_anything(super, folder, fuse, text):
    other = folder / "other"
    other.write_text((super.path / ".gitmodules").read_text())
    super.write({".gitmodules": text.format(other=other)})
    super.commit()
    with mounted(super.path, folder / "mnt", "rev=HEAD") as mnt:
        assert not any(b"vendor/lib" in member for member in members(mnt))
        (told,) = warnings(mnt)
        assert told[0] == PATH and ".gitmodules" in told[1]
        # The one that was right is still right.
        assert b"openpype/vendor/lib/__init__.py" in members(
            mnt / "commits" / super.git("rev-parse", "HEAD~1").decode().strip())


def test_gitmodules_that_makes_no_sense_is_told_of_each_submodule(repo, origin, folder, fuse):
    """Read once: a megabyte for each of a thousand would take most of a minute."""
    commit = origin.git("rev-parse", "HEAD").decode().strip()
    repo.write({".gitmodules": "# a line of text\n" * 60000 + '[submodule "a"\n'})
    repo.git("add", ".gitmodules")
    repo.git("update-index", "--index-info", data="".join(
        f"160000 {commit}\topenpype/many/{number}\n" for number in range(1000)).encode())
    repo.git("commit", "-qm", "many")
    with mounted(repo.path, folder / "mnt", "rev=HEAD") as mnt:
        told = [reason for path, reason in warnings(mnt) if "/many/" in path]
        assert told and all("cannot be understood" in reason for reason in told)


@pytest.mark.parametrize("packed", [False, True])
def test_gitmodules_that_is_too_large_is_not_read(super, folder, fuse, packed):
    super.write({".gitmodules": "# a line of text\n" * 4000000})
    super.commit()
    if packed:
        super.git("repack", "-qad")
    with mounted(super.path, folder / "mnt", "rev=HEAD") as mnt:
        (told,) = warnings(mnt)
        assert told[0] == PATH and "it is too large" in told[1]
        lines = Path(f"/proc/{daemon_pid(mnt)}/status").read_text().splitlines()
        (peak,) = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
        assert peak < 50000 or os.environ.get("SANITIZE")


def test_gitmodules_that_is_a_link_is_not_followed(super, folder, fuse):
    super.write({"names": (super.path / ".gitmodules").read_text(), ".gitmodules": Link("names")})
    super.commit()
    with mounted(super.path, folder / "mnt", "rev=HEAD") as mnt:
        assert [told[0] for told in warnings(mnt)] == [PATH]


def test_nothing_of_the_submodules_repository_is_run_or_followed(super, folder, fuse):
    clean = checkout(super, folder / "clean")
    proof = folder / "proof"
    git_dir = modules(super.path) / PATH
    hook = folder / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {proof}\ncat\n")
    hook.chmod(0o755)
    (git_dir / "info").mkdir(exist_ok=True)
    (git_dir / "info/attributes").write_text("* filter=evil text eol=crlf\n")
    for key, value in [("core.worktree", "/etc"), ("core.fsmonitor", str(hook)),
                       ("core.hooksPath", str(folder)), ("filter.evil.smudge", str(hook)),
                       ("filter.evil.required", "true"), ("core.autocrlf", "true"),
                       ("include.path", "/dev/full"), ("extensions.objectformat", "sha256")]:
        subprocess.run(["git", "config", "--file", git_dir / "config", key, value], check=True)
    with mounted(super.path, folder / "mnt", "rev=HEAD") as mnt:
        same(clean, mnt)
        same(clean, mnt / "HEAD")
    assert not proof.exists()


def test_a_linked_worktree_has_submodules_of_its_own(super, origin, folder, fuse):
    second = folder / "second"
    super.git("worktree", "add", "-q", "-b", "second", str(second))
    shared = checkout(super, folder / "shared")
    with mounted(second, folder / "mnt", "rev=HEAD") as mnt:
        same(shared, mnt)
        git(second, "submodule", "update", "-q", "--init")
        origin.write({"deep/er/code.py": "second\n"})
        origin.commit()
        git(second / PATH, "pull", "-q", "origin", "main")
        git(second, "commit", "-qam", "second")
        assert members(mnt)[b"openpype/vendor/lib/deep/er/code.py"][0] == b"second\r\n"
        assert warnings(mnt) == []


def test_a_bare_repository_has_them_where_they_were_put(super, origin, folder, fuse):
    bare = folder / "bare.git"
    git(folder, "clone", "-q", "--bare", str(super.path), str(bare))
    clean = checkout(super, folder / "clean")
    with mounted(bare, folder / "mnt") as mnt:
        assert [told[0] for told in warnings(mnt)] == [PATH]
        git(folder, "clone", "-q", "--bare", str(origin.path), str(bare / "modules" / PATH))
        same(clean, mnt)


def test_commands_agree(super, folder, fuse):
    super = cloned(super, folder / "clone")
    clean = checkout(super, folder / "clean")
    for number, options in enumerate(("", "rev=HEAD", "rev=HEAD,version=git")):
        out = folder / f"out{number}"
        out.mkdir()
        result = run("export", super.path, out, *(["-o", options] if options else []))
        assert result.returncode == 0, result.stderr
        (version,) = os.listdir(out / "openpype")
        if "git" not in options:
            assert list(oracle.compare(oracle.package_a(clean), out / "openpype" / version)) == []
        for source in ("", "rev=HEAD"):
            more = ["-o", ",".join(filter(None, [source, "version=git" * ("git" in options)]))]
            result = run("diff", super.path, out / "openpype" / version, *(more if more[1] else []))
            assert result.returncode == 0, result.stdout + result.stderr
        result = run("verify", out, super.path)
        assert result.returncode == 0, result.stdout + result.stderr


def test_a_derived_version_hangs_on_the_submodule(super, origin, folder, fuse):
    with mounted(super.path, folder / "mnt", "version=git") as mnt:
        (before,) = os.listdir(mnt / "package/openpype")
        super.write({f"{PATH}/deep/er/code.py": "edited\n"})
        (edited,) = os.listdir(mnt / "package/openpype")
        assert ".d" in edited and edited != before
        git(super.path / PATH, "checkout", "-q", ".")
        assert os.listdir(mnt / "package/openpype") == [before]


def test_a_derived_version_knows_when_the_submodule_has_come(super, folder, fuse):
    path = clone(super, folder / "clone")
    with mounted(super.path, folder / "right", "version=git,rev=HEAD") as mnt:
        expected = os.listdir(mnt / "package/openpype")
    with mounted(path, folder / "mnt", "version=git") as mnt:
        assert os.listdir(mnt / "package/openpype") == expected
        git(path, "submodule", "update", "-q", "--init")
        assert os.listdir(mnt / "package/openpype") == expected
        # Of what a checkout does not hold the commit knows now.
        git(path, "submodule", "deinit", "-q", "--all")
        (version,) = os.listdir(mnt / "package/openpype")
        assert version.startswith(expected[0] + ".d")


def test_who_waits_is_woken_when_a_submodule_has_come(super, folder, fuse):
    path = clone(super, folder / "clone")
    with mounted(path, folder / "mnt", "rev=HEAD") as mnt:
        since = str(status(mnt)["generation"])
        waiter = subprocess.Popen([ADDONFS, "wait", mnt, "--since", since], stdout=subprocess.PIPE)
        git(path, "submodule", "update", "-q", "--init")
        out, _ = waiter.communicate(timeout=60)
        assert waiter.returncode == 0 and out.decode().strip() not in ("", since)


def test_an_absent_submodule_does_not_make_a_frozen_tree_new(super, folder, fuse):
    """Not even while the folder where it may come is too young to be trusted."""
    path = clone(super, folder / "clone")
    commit = git(path, "rev-parse", "HEAD")
    os.makedirs(modules(path))
    with mounted(path, folder / "mnt", "rev=HEAD") as mnt:
        numbers = {os.stat(package(mnt / "commits" / commit)).st_ino for _ in range(5)}
        assert len(numbers) == 1


def test_an_absent_object_of_lfs_does_not_make_a_frozen_tree_new(super, folder, fuse):
    """Nothing tells when it comes: but the tree does not hang on it."""
    path = clone(super, folder / "clone")
    (path / "openpype/big.bin").write_text(
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 1\n")
    git(path, "add", "-A")
    git(path, "commit", "-qm", "lfs")
    commit = git(path, "rev-parse", "HEAD")
    with mounted(path, folder / "mnt", "rev=HEAD") as mnt:
        with pytest.raises(OSError):
            client_zip(mnt / "commits" / commit).read_bytes()
        numbers = {os.stat(package(mnt / "commits" / commit)).st_ino for _ in range(5)}
        assert len(numbers) == 1


def test_roots_mount_of_another_users_repository(super, folder, fuse, root_user):
    """Who reads then is that user, whom /proc does not let look at itself like others."""
    clean = checkout(super, folder / "clean")
    own(super.path)
    with mounted(super.path, folder / "mnt", "rev=HEAD") as mnt:
        same(clean, mnt)
        assert not any(path == PATH for path, _ in warnings(mnt))


def test_one_name_for_many_paths(repo, origin, folder, fuse):
    """Each is entered on its own: a commit may not make that without end."""
    add(repo, origin)
    commit = origin.git("rev-parse", "HEAD").decode().strip()
    names, entries = [(repo.path / ".gitmodules").read_text()], []
    for number in range(1100):
        names.append(f'[submodule "{number}/../{PATH}"]\n\tpath = openpype/many/{number}\n'
                     if number % 100 == 99 else
                     f'[submodule "./{"/" * number}{PATH}"]\n\tpath = openpype/many/{number}\n')
        entries.append(f"160000 {commit}\topenpype/many/{number}\n")
    repo.write({".gitmodules": "".join(names)})
    repo.git("add", ".gitmodules")
    repo.git("update-index", "--index-info", data="".join(entries).encode())
    repo.git("commit", "-qm", "many")
    with mounted(repo.path, folder / "mnt", "rev=HEAD") as mnt:
        shown = {name.split(b"/")[2] for name in members(mnt) if name.startswith(b"openpype/many/")}
        told = {os.path.basename(path) for path, _ in warnings(mnt) if "/many/" in path}
        assert len(shown) + len(told) == 1100 and len(shown) >= 1000
        assert {str(number) for number in range(99, 1100, 100)} <= told


def test_names_of_one_commit_do_not_use_up_those_of_others(repo, origin, folder, fuse):
    """And what it lacks is looked for in one place, and found when it has come."""
    add(repo, origin)
    good = repo.git("rev-parse", "HEAD").decode().strip()
    commit = origin.git("rev-parse", "HEAD").decode().strip()
    names = [f'[submodule "no/{number}"]\n\tpath = openpype/many/{number}\n'
             for number in range(4200)]
    repo.write({".gitmodules": "".join(names)})
    repo.git("update-index", "--force-remove", PATH)
    repo.git("add", ".gitmodules")
    repo.git("update-index", "--index-info", data="".join(
        f"160000 {commit}\topenpype/many/{number}\n" for number in range(4200)).encode())
    repo.git("commit", "-qm", "many")
    with mounted(repo.path, folder / "mnt", "rev=HEAD") as mnt:
        assert not any(b"many" in name for name in members(mnt))
        assert b"openpype/vendor/lib/__init__.py" in members(mnt / "commits" / good)
        git(folder, "clone", "-q", "--bare", str(origin.path), str(modules(repo.path) / "no/4100"))
        assert {name.split(b"/")[2] for name in members(mnt) if b"many" in name} == {b"4100"}


@pytest.mark.parametrize("path", ["openpype", "server_addon/server", "server_addon", "server_addon/client"])
def test_a_rule_that_begins_in_a_submodule(repo, origin, folder, fuse, path):
    """All that a rule names lies in one: it is shown, or fails."""
    files = {name[len(path) + 1:]: (repo.path / name).read_bytes()
             for name in repo.git("ls-files").decode().split() if name.startswith(path + "/")}
    inner = Repository(folder / "inner", files)
    repo.git("rm", "-rq", path)
    add(repo, inner, path)
    clean = checkout(repo, folder / "clean")
    with mounted(repo.path, folder / "mnt", "rev=HEAD") as mnt:
        same(clean, mnt)
    lacking = clone(repo, folder / "clone")
    if path == "server_addon/server":
        with mounted(lacking, folder / "mnt", "rev=HEAD") as mnt:
            for tree in (mnt, mnt / "HEAD"):
                with pytest.raises(OSError):
                    os.listdir(package(tree))
            assert "git submodule update --init" in errors(mnt)[0]["reason"]
            git(lacking, "submodule", "update", "-q", "--init")
            for tree in (mnt, mnt / "HEAD"):
                same(clean, tree)
        return
    if path != "server_addon/client":
        # As of the same checkout: what a layout is known by is not there.
        for options in ("", "rev=HEAD"):
            result = run("mount", lacking, folder / "mnt", *(["-o", options] if options else []))
            assert result.returncode != 0 and b"no known layout" in result.stderr
        return
    with mounted(lacking, folder / "mnt", "rev=HEAD") as mnt:
        for tree in (mnt, mnt / "HEAD"):
            with pytest.raises(OSError):
                (package(tree) / "private/pyproject.toml").read_bytes()
        assert ["git submodule update --init" in problem["reason"] for problem in errors(mnt)] == [True]
        git(lacking, "submodule", "update", "-q", "--init")
        for tree in (mnt, mnt / "HEAD"):
            same(clean, tree)


@pytest.mark.parametrize("missing", ["openpype/lib", "openpype/linked.py"])
def test_a_frozen_tree_heals_in_the_repository_itself_too(repo, folder, fuse, missing):
    repo.write({"openpype/linked.py": Link("lib/tools.py")})
    repo.commit()
    clean = repo.checkout(folder / "clean")
    file = object_path(repo.path / ".git", repo.git("rev-parse", f"HEAD:{missing}").decode().strip())
    data = file.read_bytes()
    os.unlink(file)
    with mounted(repo.path, folder / "mnt", "rev=HEAD") as mnt:
        for tree in (mnt, mnt / "HEAD"):
            with pytest.raises(OSError):
                client_zip(tree).read_bytes()
        file.write_bytes(data)
        for tree in (mnt, mnt / "HEAD"):
            same(clean, tree)


# --- An addon that lies whole in a submodule ----------------------------------------------------


def addon(name):
    return {"package.py": package_py(name, "1.0.0"), "server/__init__.py": f"name = '{name}'\n"}


def below(path, files):
    return {f"{path}/{name}": content for name, content in files.items()}


def recipe(**said):
    """Of layout c, but for what is said otherwise."""
    declared = "{folder}/package.py"
    said = {"folders": "server_addon/*", "signs": {"files": [declared]},
            "name": {"file": declared, "variable": "name"},
            "version": {"file": declared, "variable": "version"},
            "rules": [{"source": declared, "destination": "package.py"}], **said}
    return {"addonfs.json": json.dumps({"addonfs_recipe": 1, "addons": [said]})}


THREE = "server_addon/three"
# files, what the submodule holds, and where it is
WHOLE = {
    "addon": (below("server_addon/one", addon("one")), addon("three"), THREE),
    "parent": (addon("one"), below("three", addon("three")), "server_addon"),
    "link": ({**below("server_addon/one", addon("one")), THREE: Link("../vendor/three")}, addon("three"),
             "vendor/three"),
    "linked below": ({**below("server_addon/one", addon("one")), THREE: Link("../vendor/all/three")},
                     below("three", addon("three")), "vendor/all"),
    "sign": ({**recipe(signs={"files": ["{folder}/in/here.py"]}), **below("server_addon/one", addon("one")),
              **below(THREE, addon("three")), "server_addon/one/in/here.py": ""}, {"here.py": ""}, f"{THREE}/in"),
}


@pytest.fixture
def whole(request, folder):
    files, held, path = WHOLE[request.param]
    inner = Repository(folder / "inner", held)
    outer = Repository(folder / "outer", files)
    add(outer, inner, path)
    return outer, inner, path


def shown(mnt):
    return sorted(os.listdir(mnt / "package"))


@pytest.mark.parametrize("whole", list(WHOLE), indirect=True)
def test_no_addon_goes_because_its_commit_was_not_fetched(whole, folder, fuse):
    """rsync --delete would take it away from the server."""
    outer, inner, path = whole
    clone = cloned(outer, folder / "clone").path
    with mounted(clone, folder / "mnt", "rev=main") as mnt:
        assert shown(mnt) == ["one", "three"] and status(mnt)["problems"] == []
        inner.write({"more.py": "more\n"})
        inner.commit()
        git(outer.path / path, "pull", "-q")
        commit = outer.commit("moved")
        git(clone, "pull", "-q", "--no-recurse-submodules")
        for tree in (mnt, mnt / "commits" / commit):
            for top in ("package", "upload", "client"):
                with pytest.raises(OSError) as failure:
                    os.listdir(tree / top)
                assert failure.value.errno == errno.EIO
            assert (tree / "package/one/1.0.0/package.py").read_text() == package_py("one", "1.0.0")
        told = errors(mnt)
        assert {problem["path"] for problem in told} == {THREE if path.startswith("vendor") else path}
        (folder / "out").mkdir()
        result = run("export", clone, folder / "out", "-o", "rev=main")
        assert result.returncode != 0 and b"submodule" in result.stderr
        assert os.listdir(folder / "out") == []
        git(clone / path, "fetch", "-q")
        assert shown(mnt) == shown(mnt / "commits" / commit) == ["one", "three"]
        assert status(mnt)["problems"] == []


@pytest.mark.parametrize("options", ["", "rev=main", "watch=poll"])
@pytest.mark.parametrize("whole", [name for name in WHOLE if "link" not in name], indirect=True)
def test_an_addon_that_was_never_fetched_is_told(whole, folder, fuse, options):
    outer, inner, path = whole
    path_of_clone = clone(outer, folder / "clone")
    commit = git(path_of_clone, "rev-parse", "HEAD")
    with mounted(path_of_clone, folder / "mnt", options) as mnt:
        assert shown(mnt) == shown(mnt / "commits" / commit) == ["one"]
        ((told, reason),) = warnings(mnt)
        assert told == path and "git submodule update --init" in reason and errors(mnt) == []
        (folder / "out").mkdir()
        result = run("export", path_of_clone, folder / "out", *(["-o", options] if options else []))
        assert result.returncode == 0 and path.encode() in result.stderr, result.stderr
        assert os.listdir(folder / "out") == ["one"]
        git(path_of_clone, "submodule", "update", "-q", "--init")
        assert shown(mnt) == shown(mnt / "commits" / commit) == ["one", "three"]
        assert status(mnt)["problems"] == []


@pytest.mark.parametrize("whole", ["link", "linked below"], indirect=True)
def test_a_link_to_an_addon_that_was_never_fetched_is_told(whole, folder, fuse):
    outer, inner, path = whole
    path_of_clone = clone(outer, folder / "clone")
    with mounted(path_of_clone, folder / "mnt", "rev=main") as mnt:
        assert shown(mnt) == ["one"] and [told[0] for told in warnings(mnt)] == [THREE]
        git(path_of_clone, "submodule", "update", "-q", "--init")
        assert shown(mnt) == ["one", "three"] and status(mnt)["problems"] == []


def test_an_addon_behind_a_link_that_cannot_be_read_is_told(folder, fuse):
    repo = Repository(folder / "repo", {**below("server_addon/one", addon("one")),
                                        **below("aside/three", addon("three")), THREE: Link("../aside/three")})
    file = object_path(repo.path / ".git", repo.git("rev-parse", f"HEAD:{THREE}").decode().strip())
    data = file.read_bytes()
    os.unlink(file)
    with mounted(repo.path, folder / "mnt", "rev=main") as mnt:
        with pytest.raises(OSError):
            shown(mnt)
        assert {problem["path"] for problem in errors(mnt)} == {THREE}
        file.write_bytes(data)
        assert shown(mnt) == ["one", "three"] and status(mnt)["problems"] == []
