"""
Objects that lie elsewhere (objects/info/alternates, gitrepository-layout(5)): they are looked for where Git looks, and
with the rights of the source's owner.
"""

import errno
import os
import shutil
import subprocess

import pytest

import oracle
from mounting import errors, mounted, package, run, settle, status
from repository import ENVIRONMENT
from users import USER, own

FILE = "server_addon/server/secret.py"
SECRET = "what only root may read\n"


@pytest.fixture
def borrower(repo, folder):
    """A repository without an object, all of which are in that of `repo`; not checked out."""
    repo.write({FILE: SECRET})
    repo.commit()
    path = folder / "borrower"
    subprocess.run(["git", "clone", "-q", "--shared", "--no-checkout", repo.path, path], check=True, capture_output=True,
                   env={**os.environ, **ENVIRONMENT})
    return path


def alternates(path):
    return path / ".git/objects/info/alternates"


def git_can_read(path, revision="HEAD^{tree}", user=None):
    """Does Git itself find the object, as root or as the user?"""
    become = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"] if user else []
    return subprocess.run([*become, "git", "-C", path, "-c", "safe.directory=*", "cat-file", "-p", revision], capture_output=True,
                          env={**os.environ, **ENVIRONMENT}).returncode == 0


def same(right, place):
    assert list(oracle.compare(right, place)) == []


@pytest.mark.parametrize("closed", [".", ".git", ".git/objects", ".git/objects/pack", ".git/objects/pack/*.pack"])
def test_what_the_owner_may_not_borrow_root_does_not_serve(repo, borrower, folder, fuse, root_user, closed):
    right = oracle.package_a(repo.checkout(folder / "clean"))
    own(borrower)
    if "pack" in closed:
        repo.git("repack", "-adq")
    [place] = repo.path.glob(closed) if "*" in closed else [repo.path / closed]
    os.chmod(place, 0o700)
    assert git_can_read(borrower) and not git_can_read(borrower, user=USER)
    for command, to in (("mount", folder / "mnt"), ("export", folder / "out")):
        to.mkdir()
        result = run(command, borrower, to, "-o", "rev=main")
        assert result.returncode == 1 and result.stderr.count(b"\n") == 1
        assert f"{repo.path}/.git/objects" in result.stderr.decode() and b"Permission denied" in result.stderr
        assert os.listdir(to) == []
    os.chmod(place, 0o755)
    assert git_can_read(borrower, user=USER)
    with mounted(borrower, folder / "mnt", "rev=main") as mnt:
        same(right, package(mnt))


def test_one_object_that_the_owner_may_not_borrow_is_named_and_served_when_he_may(repo, borrower, folder, fuse, root_user):
    right = oracle.package_a(repo.checkout(folder / "clean"))
    own(borrower)
    blob = repo.git("rev-parse", f"HEAD:{FILE}").decode().strip()
    closed = repo.path / ".git/objects" / blob[:2] / blob[2:]
    os.chmod(closed, 0o600)
    assert git_can_read(borrower, blob) and not git_can_read(borrower, blob, user=USER)
    with mounted(borrower, folder / "mnt", "rev=main") as mnt:
        for tree in (mnt, mnt / "HEAD"):
            with pytest.raises(OSError):
                (package(tree) / "secret.py").read_bytes()
            assert (package(tree) / "version.py").read_bytes() == (folder / "clean/openpype/version.py").read_bytes()
        told = {problem["path"]: problem["reason"] for problem in errors(mnt)}
        # The archive to upload fails for it, too.
        assert FILE in told and all(blob in reason and "Permission denied" in reason for reason in told.values())
        os.chmod(closed, 0o444)
        for tree in (mnt, mnt / "HEAD"):
            same(right, package(tree))
        assert errors(mnt) == []


FORMS = {
    "absolute": "{store}\n",
    "no line end": "{store}",
    "relative": "../../../source/.git/objects\n",
    "below a folder that is not there": "{folder}/nowhere/../source/.git/objects\n",
    "through a link": "{folder}/link/.git/objects\n",
    "back from a link": "{folder}/link/../source/.git/objects\n",
    "with slashes": "{folder}//source/./.git/objects///\n",
    "quoted": '"{folder}/s\\157urce/.git/objects"\n',
    "quoted, relative": '"../../../source/.git/objects"\n',
    "not quoted to the end": '"{store}\n',
    "words behind a quote": '"{store}" \n',
    "commented": "# a comment\n{store}\n",
    "commented out": "#{store}\n",
    "empty lines": "\n\n{store}\n\n",
    "after others": "/nowhere\n{folder}/clean/.git\n{store}\n",
    "twice": "{store}\n{store}\n",
    "itself": ".\n",
    "itself and the other": ".\n{store}\n",
    "a blank before": " {store}\n",
    "a blank behind": "{store} \n",
    "DOS": "{store}\r\n",
    "the repository": "{folder}/source\n",
    "empty": "",
}


def test_every_form_of_the_list_is_understood_as_git_does(repo, borrower, folder, program):
    clean = oracle.package_a(repo.checkout(folder / "clean"))
    (folder / "deep/below").mkdir(parents=True)
    shutil.copytree(repo.path, folder / "deep/source/nothing")
    (folder / "link").symlink_to("deep/below")
    (folder / "deep/below/.git").symlink_to("../../source/.git")
    read = set()
    for form, text in FORMS.items():
        alternates(borrower).write_bytes(text.format(store=f"{repo.path}/.git/objects", folder=folder).encode())
        result = run("export", borrower, folder / "out", "-o", "rev=main")
        if result.returncode == 0:
            read.add(form)
            same(clean, folder / "out/openpype/3.15.12")
            shutil.rmtree(folder / "out")
        else:
            assert b"missing from the repository" in result.stderr, result.stderr
        assert (form in read) == git_can_read(borrower), form
    assert 0 < len(read) < len(FORMS)


@pytest.mark.parametrize("length", [2, 6, 7])
def test_alternates_of_alternates_and_circles_are_followed_as_far_as_git_does(repo, folder, fuse, length):
    clean = oracle.package_a(repo.checkout(folder / "clean"))
    source = repo.path
    for number in range(length):
        path = folder / f"clone{number}"
        subprocess.run(["git", "init", "-q", path], check=True, env={**os.environ, **ENVIRONMENT})
        # Each way of saying it in turn.
        alternates(path).write_text(os.path.relpath(source, path / ".git/objects") + "/.git/objects\n" if number % 2 else
                                    f"{source}/.git/objects\n")
        source = path
    # And round.
    alternates(repo.path).write_text(f"{source}/.git/objects\n")
    commit = repo.git("rev-parse", "HEAD").decode().strip()
    (source / ".git/refs/heads/main").write_text(f"{commit}\n")
    assert git_can_read(source, "main^{tree}") == (length < 7)
    if length == 7:
        result = run("export", source, folder / "out", "-o", "rev=main")
        assert result.returncode == 1 and f"object {commit} is missing" in result.stderr.decode()
        return
    with mounted(source, folder / "mnt", "rev=main") as mnt:
        same(clean, package(mnt))
        same(clean, package(mnt / "commits" / commit))


@pytest.mark.parametrize("options", ["rev=main", ""])
def test_a_list_that_changes_under_the_mount_is_seen_at_the_next_look(repo, folder, fuse, options):
    files = {f"server_addon/server/{name}.py": f"{name}\n" for name in ("one", "two")}
    repo.write(files)
    repo.commit()
    right = oracle.package_a(repo.checkout(folder / "clean"))
    for name in files:
        blob = repo.git("rev-parse", f"HEAD:{name}").decode().strip()
        away = folder / os.path.basename(name) / blob[:2]
        away.mkdir(parents=True)
        os.rename(repo.path / ".git/objects" / blob[:2] / blob[2:], away / blob[2:])
    info = repo.path / ".git/objects/info"
    if options:
        # From then on another look is taken only where something has changed (source_stores.h).
        settle(repo.path)
    with mounted(repo.path, folder / "mnt", options) as mnt:
        tree = mnt if options else mnt / "HEAD"

        def missing():
            found = set()
            for name in files:
                try:
                    data = (package(tree) / os.path.basename(name)).read_bytes()
                    assert data == files[name].encode()
                except OSError as failure:
                    assert failure.errno == errno.EIO
                    found.add(name)
            told = [problem for problem in errors(mnt) if "is missing from the repository" in problem["reason"]]
            assert not options or {problem["path"] for problem in told} == found
            return found

        assert missing() == set(files)
        # Another file takes its place …
        (info / "new").write_text(f"{folder}/one.py\n")
        os.rename(info / "new", info / "alternates")
        assert missing() == {"server_addon/server/two.py"}
        # … and that one gets a line.
        with open(info / "alternates", "a") as file:
            file.write("../../../two.py\n")
        assert missing() == set()
        same(right, package(tree))
        assert status(mnt)["problems"] == []
