"""What a revision holds: its commit's own attributes, and links as in a worktree."""

import errno
import os
import shutil
import subprocess
import zipfile

import pytest

import oracle
from mounting import client_zip, mounted, package, status
from repository import ENVIRONMENT, Link


def expected(repo, folder, revision="HEAD"):
    """The package that a clean checkout has, read before anything is done to the repository."""
    place = folder / "checkout"
    found = oracle.package_a(repo.checkout(place, revision))
    shutil.rmtree(place)
    return found


@pytest.mark.parametrize("variable", ["HOME", "XDG_CONFIG_HOME"])
def test_the_users_attributes_do_not_change_what_a_revision_holds(repo, folder, fuse, variable):
    right = expected(repo, folder)
    place = folder / "home" if variable == "XDG_CONFIG_HOME" else folder / "home/.config"
    (place / "git").mkdir(parents=True)
    (place / "git/attributes").write_text("*.py text eol=crlf\n* ident\n")
    (place / "git/config").write_text("[core]\n\tautocrlf = true\n\tsafecrlf = true\n")
    environment = {k: v for k, v in os.environ.items() if k != "XDG_CONFIG_HOME"}
    environment[variable] = os.fspath(folder / "home")
    for _ in range(2):  # the second time from the cache
        with mounted(repo.path, folder / "mnt", "rev=main", env=environment) as mnt:
            assert list(oracle.compare(right, package(mnt))) == []


def test_the_hosts_attributes_do_not_change_what_a_revision_holds(repo, folder, program, root_user):
    repo.write({".gitattributes": "*.py theirs\n*.bat text eol=crlf\n*.bin -text\n"})
    repo.commit()
    right = expected(repo, folder)
    (folder / "gitattributes").write_text("[attr]theirs text eol=crlf\n* text eol=crlf\n")
    script = (
        'mount -t tmpfs none "$1"; cp -a /etc/. "$1"; cp "$2" "$1/gitattributes"; '
        'mount --bind "$1" /etc; "$3" export "$4" "$5" -o rev=main,cache=none')
    (folder / "etc").mkdir()
    result = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-ec", script, "sh", folder / "etc",
         folder / "gitattributes", program, repo.path, folder / "out"],
        capture_output=True, env={**os.environ, **ENVIRONMENT})
    assert result.returncode == 0, result.stderr
    assert list(oracle.compare(right, folder / "out/openpype/3.15.12")) == []


def test_an_index_in_the_current_folder_is_nothing_to_us(repo, folder, program):
    right = expected(repo, folder)
    repo.write({".gitattributes": "*.py text eol=crlf\n"})
    repo.git("add", "-A")
    (folder / "garbage").mkdir()
    (folder / "garbage/index").write_text("garbage")
    for place in (repo.path / ".git", folder / "garbage"):
        result = subprocess.run(
            [program, "export", repo.path, folder / "out", "-o", "rev=main,cache=none"],
            capture_output=True, cwd=place, env={**os.environ, **ENVIRONMENT})
        assert result.returncode == 0, result.stderr
        assert list(oracle.compare(right, folder / "out/openpype/3.15.12")) == []
        shutil.rmtree(folder / "out")


def test_attributes_that_are_missing_fail_what_they_are_for(repo, folder, fuse):
    repo.write({"openpype/lib/.gitattributes": "*.py text eol=crlf\n"})
    repo.commit()
    right = expected(repo, folder)
    oid = repo.git("rev-parse", "HEAD:openpype/lib/.gitattributes").decode().strip()
    place = repo.path / ".git/objects" / oid[:2] / oid[2:]
    data = place.read_bytes()
    place.unlink()
    with mounted(repo.path, folder / "mnt", "rev=main") as mnt:
        with pytest.raises(OSError) as failure:
            client_zip(mnt).read_bytes()
        assert failure.value.errno == errno.EIO
        assert {p["path"] for p in status(mnt)["problems"]} == {
            "openpype/lib/tools.py", "openpype/lib/run.sh"}
        assert all(oid in p["reason"] for p in status(mnt)["problems"])
        place.write_bytes(data)
        assert list(oracle.compare(right, package(mnt))) == []


def test_a_link_that_goes_on_from_a_file_is_broken_in_both(repo, folder, fuse):
    repo.write({"openpype/wrong.py": Link("version.py/../__init__.py")})
    repo.commit()
    for options in ("", "rev=main"):
        with mounted(repo.path, folder / "mnt", options) as mnt:
            with pytest.raises(OSError) as failure:
                client_zip(mnt).read_bytes()
            assert failure.value.errno == errno.EIO
            (problem,) = status(mnt)["problems"]
            assert problem["path"] == "openpype/wrong.py" and "broken" in problem["reason"]


def test_a_linked_file_follows_the_attributes_of_where_it_is(repo, folder, fuse):
    repo.write({
        "openpype/notes.txt": Link("../shared/notes.txt"),
        "shared/notes.txt": "one\ntwo\n",
        "shared/.gitattributes": "*.txt text eol=lf\n",
    })
    repo.commit()
    with mounted(repo.path, folder / "mnt", "rev=main") as mnt:
        with zipfile.ZipFile(client_zip(mnt)) as archive:
            assert archive.read("openpype/notes.txt") == b"one\ntwo\n"
        repo.write({"shared/.gitattributes": "*.txt text eol=crlf\n"})
        repo.commit()
        with zipfile.ZipFile(client_zip(mnt)) as archive:
            assert archive.read("openpype/notes.txt") == b"one\r\ntwo\r\n"
