"""Clones of every kind, and what a clone may hold that must not be run or followed."""

import os
import shutil
import subprocess

import pytest

import oracle
from mounting import client_zip, errors, mounted, package, run, status
from repository import ENVIRONMENT


def git(path, *arguments, **environment):
    return subprocess.run(["git", "-C", str(path), *arguments], check=True, capture_output=True,
                          env={**os.environ, **ENVIRONMENT, **environment},
                          timeout=120).stdout.decode().strip()


def clone(repo, path, *options):
    git(repo.path.parent, "clone", "-q", *options, f"file://{repo.path}", str(path))
    return path


def same(source, tree, version="3.15.12"):
    assert list(oracle.compare(oracle.package_a(source), package(tree, version))) == []


def told(mnt):
    return {problem["path"]: problem["reason"] for problem in errors(mnt)}


def test_a_sparse_checkout_shows_what_lies_there_and_commits_show_all(repo, folder, fuse):
    repo.write({"openpype/large/file.bin": b"\0" * 100000})
    repo.commit()
    path = clone(repo, folder / "sparse", "--no-checkout")
    git(path, "sparse-checkout", "set", "--no-cone", "/*", "!/openpype/large/")
    git(path, "checkout", "-q", "main")
    assert not (path / "openpype/large").exists()
    clean = repo.checkout(folder / "clean")
    with mounted(path, folder / "mnt") as mnt:
        same(path, mnt)
        same(clean, mnt / "HEAD")
        git(path, "sparse-checkout", "disable")
        same(clean, mnt)
    git(path, "sparse-checkout", "set", "--no-cone", "/openpype/", "/server_addon/")
    with mounted(path, folder / "mnt", "rev=main") as mnt:
        same(clean, mnt)


@pytest.mark.parametrize("kind", ["blob:none", "blob:limit=2k", "tree:0"])
def test_a_partial_clone_fails_for_what_it_lacks_and_heals(repo, folder, fuse, kind):
    """Nothing is fetched by us: what the promisor has is missing until somebody else fetches it."""
    repo.git("config", "uploadpack.allowFilter", "true")
    repo.git("config", "uploadpack.allowAnySHA1InWant", "true")
    repo.write({"openpype/large/file.bin": b"\0" * 100000})
    repo.commit()
    clean = repo.checkout(folder / "clean")
    path = clone(repo, folder / "partial", f"--filter={kind}", "--no-checkout")
    if kind.startswith("blob:limit"):
        with mounted(path, folder / "mnt", "rev=main") as mnt:
            for tree in (mnt, mnt / "HEAD"):
                with pytest.raises(OSError):
                    client_zip(tree).read_bytes()
            assert set(told(mnt)) == {"openpype/large/file.bin", "openpype/img/blob.bin"}
            assert all("git fetch" in reason for reason in told(mnt).values())
            git(path, "checkout", "-q", "main")
            for tree in (mnt, mnt / "HEAD"):
                same(clean, tree)
            assert errors(mnt) == []
        return
    (folder / "mnt").mkdir()
    before = sorted(os.listdir(path / ".git/objects/pack"))
    result = run("mount", path, folder / "mnt", "-o", "rev=main")
    assert result.returncode != 0 and result.stderr.count(b"\n") == 1, result.stderr
    assert b"missing from the repository" in result.stderr
    assert sorted(os.listdir(path / ".git/objects/pack")) == before
    git(path, "checkout", "-q", "main")
    with mounted(path, folder / "mnt", "rev=main") as mnt:
        same(clean, mnt)
        same(clean, mnt / "HEAD")


def test_a_shallow_clone_shows_what_a_full_one_shows(repo, folder, fuse):
    repo.write({"openpype/lib/tools.py": "later\n"})
    repo.commit()
    path = clone(repo, folder / "shallow", "--depth=1")
    clean = repo.checkout(folder / "clean")
    with mounted(path, folder / "mnt") as mnt:
        same(clean, mnt)
        same(clean, mnt / "HEAD")
        assert errors(mnt) == []
        assert sorted(os.listdir(mnt / "commits")) == [git(path, "rev-parse", "HEAD")]
        with pytest.raises(FileNotFoundError):
            os.stat(mnt / "commits" / repo.git("rev-parse", "HEAD~1").decode().strip())


@pytest.mark.parametrize("options", ["", "rev=HEAD"])
def test_nothing_that_a_configuration_names_is_run_or_followed(repo, folder, fuse, options):
    proof = folder / "proof"
    program = folder / "program"
    program.write_text(f"#!/bin/sh\ntouch {proof}\ncat\n")
    program.chmod(0o755)
    repo.write({"openpype/text.txt": "one\ntwo\n",
                ".gitattributes": "* filter=evil\n*.bat text eol=crlf\n*.py diff=evil merge=evil\n"})
    repo.commit()
    clean = repo.checkout(folder / "clean")
    hooks = repo.path / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-checkout", "post-index-change", "fsmonitor-watchman", "reference-transaction"):
        shutil.copy(program, hooks / name)
    included = folder / "included"
    included.write_text(f"[core]\n\tautocrlf = true\n\tfsmonitor = {program}\n")
    for key, value in [
        ("include.path", str(included)), ("includeIf.gitdir:/.path", str(included)),
        ("core.fsmonitor", str(program)), ("core.hooksPath", str(hooks)),
        ("filter.evil.smudge", str(program)), ("filter.evil.clean", str(program)),
        ("filter.evil.process", str(program)), ("filter.evil.required", "true"),
        ("core.sshCommand", str(program)), ("core.pager", str(program)), ("core.eol", "crlf"),
        ("core.autocrlf", "true"), ("core.attributesFile", str(folder / "attributes")),
        ("diff.evil.textconv", str(program)), ("remote.origin.promisor", "true"),
        ("core.symlinks", "false"), ("core.fileMode", "false"), ("core.ignoreCase", "true"),
    ]:
        subprocess.run(["git", "config", "--file", repo.path / ".git/config", key, value], check=True)
    (folder / "attributes").write_text("* text eol=crlf\n")
    (repo.path / ".git/info").mkdir(exist_ok=True)
    (repo.path / ".git/info/attributes").write_text("* text eol=crlf filter=evil\n")
    with mounted(repo.path, folder / "mnt", options) as mnt:
        same(clean if options else repo.path, mnt)
        same(clean, mnt / "HEAD")
        repo_text = oracle.read_zip(client_zip(mnt).read_bytes())[b"openpype/text.txt"][0]
        assert repo_text == b"one\ntwo\n"
    (folder / "out").mkdir()
    assert run("export", repo.path, folder / "out", *(["-o", options] if options else [])).returncode == 0
    assert run("verify", folder / "out", repo.path).returncode == 0
    assert not proof.exists()


def test_a_git_file_may_lead_elsewhere_and_its_repository_is_what_counts(repo, folder, fuse):
    """As `git init --separate-git-dir` leaves it."""
    clean = repo.checkout(folder / "clean")
    repo.git("init", "-q", "--separate-git-dir", str(folder / "data"))
    assert (repo.path / ".git").is_file()
    for options in ("", "rev=HEAD"):
        with mounted(repo.path, folder / "mnt", options) as mnt:
            same(clean if options else repo.path, mnt)
            same(clean, mnt / "HEAD")
            repo.write({"openpype/lib/tools.py": f"{options or 'worktree'}\n"})
            commit = repo.commit()
            assert os.readlink(mnt / "HEAD") == f"commits/{commit}"
            repo.git("reset", "-q", "--hard", "HEAD~1")
    # One that leads nowhere is told.
    (repo.path / ".git").write_text(f"gitdir: {folder}/nowhere\n")
    result = run("mount", repo.path, folder / "mnt")
    assert result.returncode != 0 and result.stderr.count(b"\n") == 1
    assert str(repo.path).encode() in result.stderr


@pytest.mark.parametrize("options, what", [("--object-format=sha256", "SHA-256"), ("--ref-format=reftable", "reftable")])
def test_what_is_not_supported_is_refused_in_one_line(folder, fuse, options, what):
    path = folder / "made"
    made = subprocess.run(["git", "init", "-q", options, str(path)], capture_output=True)
    if made.returncode != 0:
        # This Git cannot make one; the configuration is all that is looked at.
        subprocess.run(["git", "init", "-q", str(path)], check=True)
        for key, value in (("core.repositoryformatversion", "1"), ("extensions.refstorage", "reftable")):
            subprocess.run(["git", "config", "--file", path / ".git/config", key, value], check=True)
    for command in (["mount", path, folder / "mnt"], ["export", path, folder]):
        (folder / "mnt").mkdir(exist_ok=True)
        result = run(*command)
        assert result.returncode != 0 and result.stderr.count(b"\n") == 1
        assert f"{path}: " in result.stderr.decode() and what in result.stderr.decode()


def test_alternates_and_references_are_read(repo, folder, fuse):
    path = folder / "borrowed"
    git(folder, "clone", "-q", "--shared", str(repo.path), str(path))
    clean = repo.checkout(folder / "clean")
    with mounted(path, folder / "mnt", "rev=HEAD") as mnt:
        same(clean, mnt)
        same(clean, mnt / "HEAD")


def test_a_repository_that_is_being_rebased_or_merged_is_what_lies_there(repo, folder, fuse):
    repo.git("checkout", "-q", "-b", "other")
    repo.write({"openpype/lib/tools.py": "other\n"})
    repo.commit()
    repo.git("checkout", "-q", "main")
    repo.write({"openpype/lib/tools.py": "main\n"})
    repo.commit()
    repo.git("merge", "-q", "other", check=False)
    with mounted(repo.path, folder / "mnt") as mnt:
        same(repo.path, mnt)
        assert b"<<<<<<<" in oracle.read_zip(client_zip(mnt).read_bytes())[b"openpype/lib/tools.py"][0]
        repo.git("merge", "--abort")
        same(repo.path, mnt)
        assert status(mnt)["problems"] == []
