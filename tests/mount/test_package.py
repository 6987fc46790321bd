"""What a mount shows is what the packaging rules say: worktree, revisions, bare repositories."""

import errno
import hashlib
import json
import os
import subprocess
import zipfile

import pytest

import oracle
from mounting import client_zip, mounted, package, run, status
from repository import ENVIRONMENT, Link, Repository


def check(source, version_folder):
    expected = oracle.package_a(source)
    assert not expected.unreadable and not expected.bad_members
    assert list(oracle.compare(expected, version_folder)) == []
    return expected


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_worktree_is_shown_as_the_rules_say(mount, repo):
    expected = check(repo.path, package(mount))
    assert b"openpype/lib/tools.py" in expected.members
    assert b".dot" in expected.files and b"settings/main.py" in expected.files


def test_uncommitted_and_untracked_files_count(repo, folder, fuse):
    repo.write({"openpype/new.py": "new", "openpype/lib/tools.py": "edited",
                ".gitignore": "ignored.py\n", "openpype/ignored.py": "ignored by git, not by us"})
    with mounted(repo.path, folder / "mnt") as mnt:
        expected = check(repo.path, package(mnt))
    assert {b"openpype/new.py", b"openpype/ignored.py"} <= expected.members.keys()


@pytest.mark.parametrize("revision", [
    "main", "v1", "refs/tags/v1", "HEAD", "{id}", "{id:.9}", "heads/main", "dead", "v1-0-g{id:.7}",
    "v2~1", "v2^", "HEAD^{{commit}}~1"])
def test_a_revision_is_shown_as_a_clean_checkout_holds_it(repo, folder, fuse, revision):
    first = repo.git("rev-parse", "HEAD").decode().strip()
    repo.git("tag", "-a", "-m", "one", "v1")
    repo.git("branch", "dead", first)  # which could be an abbreviated id as well
    if "1" in revision.replace("v1", "") or "^" in revision:
        repo.write({"openpype/lib/tools.py": "the next commit"})
        repo.commit()
        repo.git("tag", "v2")
    repo.write({"openpype/lib/tools.py": "not committed", "openpype/untracked.py": "x"})
    clean = repo.checkout(folder / "clean", first)
    revision = revision.format(id=first)
    with mounted(repo.path, folder / "mnt", f"rev={revision}") as mnt:
        expected = check(clean, package(mnt))
        assert status(mnt)["commit"] == first
        assert status(mnt)["revision"] == revision and not status(mnt)["worktree"]
    assert expected.members[b"openpype/start.bat"][0] == b"@echo off\r\necho one\r\n"
    assert b"openpype/untracked.py" not in expected.members


def test_a_bare_repository_shows_its_head(repo, folder, fuse):
    subprocess.run(["git", "clone", "-q", "--bare", repo.path, folder / "bare.git"],
                   check=True, env={**os.environ, **ENVIRONMENT})
    with mounted(folder / "bare.git", folder / "mnt") as mnt:
        check(repo.checkout(folder / "clean"), package(mnt))
        assert status(mnt)["revision"] == "HEAD"
    with mounted(folder / "bare.git", folder / "mnt", "rev=main") as mnt:
        check(folder / "clean", package(mnt))


def test_settings_of_the_clone_do_not_change_a_revision(repo, folder, fuse):
    clean = repo.checkout(folder / "clean")
    with mounted(clean, folder / "mnt", "rev=HEAD") as mnt:
        before = sha256(client_zip(mnt))
    (clean / ".git/info").mkdir(exist_ok=True)
    (clean / ".git/info/attributes").write_text("*.py text eol=crlf\n*.bat -text\n")
    (clean / ".gitattributes").write_text("* -text\n")
    subprocess.run(["git", "-C", clean, "config", "core.autocrlf", "true"], check=True)
    subprocess.run(["git", "-C", clean, "config", "core.eol", "crlf"], check=True)
    with mounted(clean, folder / "mnt", "rev=HEAD") as mnt:
        assert sha256(client_zip(mnt)) == before


def test_attributes_apply_as_in_a_checkout(repo, folder, fuse):
    text = "one\ntwo $Id$\n"
    repo.write({
        "openpype/a/.gitattributes": "*.txt eol=crlf\nb.txt -text\nwide.txt working-tree-encoding=UTF-16LE-BOM\n"
                                     "ident.py ident\n",
        "openpype/a/a.txt": text, "openpype/a/b.txt": text, "openpype/a/ident.py": text,
        "openpype/a/wide.txt": "\ufeffgrün\n".encode("utf-16-le"), "openpype/b.txt": text,
    })
    repo.commit()
    clean = repo.checkout(folder / "clean")
    with mounted(repo.path, folder / "mnt", "rev=HEAD") as mnt:
        expected = check(clean, package(mnt))
    assert b"\r\n" in expected.members[b"openpype/a/a.txt"][0]
    assert expected.members[b"openpype/a/wide.txt"][0].startswith(b"\xff\xfe")
    assert b"$Id: " in expected.members[b"openpype/a/ident.py"][0]


def test_links_inside_the_tree_are_followed(repo, folder, fuse):
    repo.write({
        "shared/lib/code.py": "code", "openpype/linked": Link("../shared/lib"),
        "openpype/code2.py": Link("../shared/lib/code.py"), "openpype/chain": Link("linked/code.py"),
        "openpype/.hiddenlink": Link("/nowhere"), "openpype/__pycache__": Link("../../out"),
        "server_addon/server/linked.py": Link("../../shared/lib/code.py"),
        "openpype/lib/noted.pyc": Link("../../shared/lib/code.py"),
    })
    repo.commit()
    for options in ("", "rev=HEAD"):
        with mounted(repo.path, folder / "mnt", options) as mnt:
            source = repo.checkout(folder / "clean") if options else repo.path
            members = check(source, package(mnt)).members
            assert members[b"openpype/linked/code.py"][0] == b"code"
            assert b"openpype/chain" in members and b"openpype/lib/noted.pyc" not in members


def test_a_submodule_is_an_empty_folder_and_a_warning_in_a_revision(repo, folder, fuse):
    head = repo.git("rev-parse", "HEAD").decode().strip()
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{head},openpype/sub")
    repo.git("commit", "-q", "-m", "submodule")
    with mounted(repo.path, folder / "mnt", "rev=HEAD") as mnt:
        members = oracle.read_zip(client_zip(mnt).read_bytes())
        assert not any(name.startswith(b"openpype/sub") for name in members)
        assert [(p["path"], p["severity"]) for p in status(mnt)["problems"]] == [
            ("openpype/sub", "warning")]


def test_the_same_content_gives_the_same_bytes_everywhere(repo, folder, fuse):
    (repo.path / "openpype/grün.py").write_text("ü")
    repo.commit()
    clean = repo.checkout(folder / "clean")
    sums = set()
    for source, options, environment, umask in [
        (clean, "", {"TZ": "Pacific/Kiritimati", "LC_ALL": "C"}, 0o077),
        (clean, "rev=main", {"TZ": "UTC", "LC_ALL": "C.UTF-8"}, 0o000),
        (repo.path, "rev=HEAD", {"TZ": "America/New_York", "LC_ALL": "POSIX"}, 0o022),
    ]:
        with mounted(source, folder / "mnt", options,
                     env={**os.environ, **ENVIRONMENT, **environment}, umask=umask) as mnt:
            sums.add(sha256(client_zip(mnt)))
    assert len(sums) == 1


def test_view_package_mounts_the_folder_that_the_script_fills(repo, folder, fuse):
    with mounted(repo.path, folder / "mnt", "view=package") as mnt:
        assert os.listdir(mnt) == ["openpype"]
        check(repo.path, mnt / "openpype" / "3.15.12")
        assert json.loads((mnt / ".addonfs/status.json").read_text())["layout"] == "a"


def test_the_mount_point_may_lie_inside_the_source(repo, folder, fuse):
    place = repo.path / "package"
    place.mkdir()
    (place / "left over").write_text("by the script")
    with mounted(repo.path, place, "view=package") as mnt:
        check(repo.path, mnt / "openpype" / "3.15.12")
        assert os.listdir(repo.path / "package") == ["openpype"]
    assert os.listdir(place) == ["left over"]


def test_a_mount_point_inside_what_is_packaged_fails_closed_and_does_not_hang(repo, folder, fuse):
    with mounted(repo.path, repo.path / "openpype" / "mnt") as mnt:
        with pytest.raises(OSError):
            client_zip(mnt).read_bytes()
        assert any(p["path"] == "openpype/mnt" for p in status(mnt)["problems"])


def test_server_files_win_over_version_py(repo, folder, fuse):
    repo.write({"server_addon/server/version.py": "# the server's\n"})
    with mounted(repo.path, folder / "mnt") as mnt:
        assert (package(mnt) / "version.py").read_text() == "# the server's\n"
        check(repo.path, package(mnt))


def test_status_names_everything(mount, repo):
    text = status(mount)
    assert text["pid"] > 1 and os.path.exists(f"/proc/{text['pid']}")
    assert text["source"] == str(repo.path) and text["mountpoint"] == str(mount)
    assert text["worktree"] is True and text["revision"] is None and text["commit"] is None
    assert text["generation"] >= 1 and text["layout"] == "a"
    assert text["addons"] == [{"name": "openpype", "version": "3.15.12"}]
    assert text["problems"] == []
    assert text["versions"].keys() == {"addonfs", "libfuse", "libgit2", "libdeflate"}
    assert text["versions"]["addonfs"] == run("--version").stdout.decode().split()[1]


def test_empty_folders_leave_no_trace(repo, folder, fuse):
    (repo.path / "server_addon/server/empty/deeper").mkdir(parents=True)
    (repo.path / "openpype/empty").mkdir()
    with mounted(repo.path, folder / "mnt") as mnt:
        assert "empty" not in os.listdir(package(mnt))
        check(repo.path, package(mnt))


def test_a_git_folder_or_file_never_shows(repo, folder, fuse):
    repo.write({"server_addon/server/.git": "gitdir: elsewhere\n",
                "server_addon/server/settings/.GIT/config": "x"})
    with mounted(repo.path, folder / "mnt") as mnt:
        assert ".git" not in os.listdir(package(mnt))
        assert os.listdir(package(mnt) / "settings") == ["main.py"]
        assert {p["severity"] for p in status(mnt)["problems"]} == {"warning"}


def test_the_case_of_git_does_not_matter(repo, folder, fuse):
    """Where case counts, `.GIT` is another name; on the disk that the package is unpacked to it may be Git's."""
    repo.write({"server_addon/server/.GIT/config": "a", "server_addon/server/settings/.Git": "gitdir: /elsewhere\n",
                "server_addon/server/.env": "shown", "server_addon/server/link": Link(".GIT/config"),
                "server_addon/server/Main.py": "upper", "server_addon/server/main.py": "lower",
                "openpype/LIB/tools.py": "upper", "openpype/link": Link("../server_addon/server/settings/.Git")})
    with mounted(repo.path, folder / "mnt") as mnt:
        shown = [name for _, folders, files in os.walk(package(mnt)) for name in folders + files]
        assert ".env" in shown and not [name for name in shown if name.lower() == ".git"]
        assert (package(mnt) / "Main.py").read_text() == "upper" and (package(mnt) / "main.py").read_text() == "lower"
        for path in (package(mnt) / "link", client_zip(mnt)):
            with pytest.raises(OSError) as failure:
                path.read_bytes()
            assert failure.value.errno == errno.EIO
        told = {problem["path"] for problem in status(mnt)["problems"] if problem["severity"] == "error"}
        assert told == {"server_addon/server/link", "openpype/link"}
        os.unlink(repo.path / "openpype/link")
        with zipfile.ZipFile(client_zip(mnt)) as archive:
            assert {"openpype/LIB/tools.py", "openpype/lib/tools.py"} <= set(archive.namelist())


def test_a_worktree_of_git_worktree_is_a_source(repo, folder, fuse):
    repo.git("worktree", "add", "-q", str(folder / "second"), "-b", "other")
    (folder / "second/openpype/only_here.py").write_text("x")
    with mounted(folder / "second", folder / "mnt") as mnt:
        assert b"openpype/only_here.py" in check(folder / "second", package(mnt)).members


def test_a_copy_by_cp_rsync_and_tar_equals_the_mount(mount, repo, folder):
    source = package(mount)
    subprocess.run(["cp", "-r", source, folder / "cp"], check=True)
    subprocess.run(["rsync", "-a", f"{source}/", folder / "rsync"], check=True)
    (folder / "tar").mkdir()
    subprocess.run(f"tar -C '{source}' -cf - . | tar -C '{folder}/tar' -xf -", shell=True,
                   check=True)
    for copy in ("cp", "rsync", "tar"):
        check(repo.path, folder / copy)
    again = subprocess.run(["rsync", "-ai", f"{source}/", folder / "rsync"], check=True,
                           capture_output=True)
    assert again.stdout == b""


def test_a_repository_with_a_gitdir_elsewhere(folder, fuse):
    repo = Repository(folder / "source")
    (repo.path / ".git").rename(folder / "gitdir")
    (repo.path / ".git").write_text(f"gitdir: {folder}/gitdir\n")
    with mounted(repo.path, folder / "mnt") as mnt:
        check(repo.path, package(mnt))
