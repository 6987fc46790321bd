"""Generated trees: whatever the names and kinds, the mount is what the oracle says."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import oracle
from mounting import client_zip, errors, mounted, package
from repository import BASE, Exec, Link, Repository, write

NAMES = st.one_of(
    st.sampled_from([
        b"a", b"b.py", b"sub.pyc", b"x.pyc", b"x.pyo", b"pyc", b".pyc", b"x.pyc\n", b"__pycache__",
        b"__pycache__x", b"__pycache__\n", b"x__pycache__", b".hidden", b"..x", b"...", b"with space",
        b"100%", b"%s%n", b"new\nline", b"tab\t", "grün".encode(), "日本".encode(), b"caf\xe9",
        b"back\\slash", b"a\\..\\b", b"UPPER", b"~", b"-rf", b"*", b"'", b'"', b"\x7f", b"\x01",
        b"version.py", b"__init__.py", b"private", b"n" * 255,
    ]),
    st.binary(min_size=1, max_size=12).filter(
        lambda n: b"/" not in n and b"\0" not in n and n not in (b".", b"..") and
        n.lower() != b".git"),
)
FILES = st.one_of(
    st.binary(max_size=80),
    st.binary(max_size=80).map(Exec),
    st.sampled_from([b"", b"x" * 5000, b"text\nlines\n" * 400]),
)
LINKS = st.sampled_from([
    "a", "b.py", "../a", "../openpype/version.py", ".", "..", "/etc/passwd", "../../../../out",
    "nowhere", "../.git/config", "a/../b.py", "../server_addon", "./a/", "sub.pyc",
]).map(Link)
TREES = st.recursive(
    st.dictionaries(NAMES, st.one_of(FILES, FILES, FILES, LINKS), max_size=5),
    lambda below: st.dictionaries(NAMES, st.one_of(FILES, LINKS, below), max_size=4),
    max_leaves=12,
)


def flatten(tree, prefix=b""):
    for name, content in tree.items():
        path = prefix + b"/" + name
        if isinstance(content, dict):
            yield path, None
            yield from flatten(content, path)
        else:
            yield path, content


def fill(root, client, server):
    for top, tree in ((b"openpype", client), (b"server_addon/server", server)):
        tree = {n: c for n, c in tree.items() if not isinstance(c, dict)
                or not os.path.isfile(os.path.join(os.fsencode(root), top, n))}
        for path, content in flatten(tree):
            place = os.path.join(os.fsencode(root), top + path)
            if content is None:
                os.makedirs(place, exist_ok=True)
            elif path not in (b"/version.py",):
                write(root, {top + path: content})


def empty(root):
    for name in os.listdir(root):
        if name not in (".git", "mnt"):
            place = os.path.join(root, name)
            shutil.rmtree(os.fsencode(place)) if os.path.isdir(place) else os.unlink(place)
    write(root, BASE)


def check(source, mnt):
    expected = oracle.package_a(source)
    folder = os.fsencode(package(mnt))
    found = {}
    unreadable = set()

    def failed(error):
        assert error.errno == 5
        unreadable.add(os.path.relpath(os.fsencode(error.filename), folder))

    for base, _, names in os.walk(folder, onerror=failed):
        for name in names:
            path = os.path.join(base, name)
            relative = os.path.relpath(path, folder)
            assert os.stat(path).st_mode & 0o222 == 0
            try:
                with open(path, "rb") as file:
                    found[relative] = (file.read(), bool(os.fstat(file.fileno()).st_mode & 0o100))
                assert os.stat(path).st_size == len(found[relative][0])
            except OSError as error:
                assert error.errno == 5
                unreadable.add(relative)
    archive = found.pop(b"private/client.zip", None)
    assert list(oracle.differences(expected.files, found)) == []
    assert unreadable - {b"private/client.zip"} == set(expected.unreadable)
    if expected.bad_members or b"private" in expected.unreadable:
        assert archive is None
    else:
        assert list(oracle.differences(expected.members, oracle.read_zip(archive[0]))) == []
    assert bool(errors(mnt)) == expected.upload_fails


def content(path):
    try:
        return path.read_bytes()
    except OSError:
        return None


EXAMPLES = settings(
    max_examples=120, deadline=None, derandomize=True, print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture,
                           HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def shared(fuse):
    """One worktree, mounted once, filled anew for each example: liveness is tested along with it."""
    with tempfile.TemporaryDirectory() as folder:
        repo = Repository(Path(folder) / "source")
        with mounted(repo.path, Path(folder) / "mnt") as mnt:
            yield repo, mnt


@EXAMPLES
@given(client=TREES, server=TREES)
def test_a_worktree_is_shown_as_the_oracle_says(shared, client, server):
    repo, mnt = shared
    empty(repo.path)
    fill(repo.path, client, server)
    check(repo.path, mnt)


@settings(EXAMPLES, max_examples=15)
@given(client=TREES, server=TREES)
def test_a_revision_is_shown_as_a_clean_checkout(fuse, client, server):
    with tempfile.TemporaryDirectory() as folder:
        repo = Repository(Path(folder) / "source")
        fill(repo.path, client, server)
        repo.commit()
        clean = repo.checkout(Path(folder) / "clean")
        with mounted(repo.path, Path(folder) / "mnt", "rev=HEAD") as mnt:
            check(clean, mnt)
            data = content(client_zip(mnt))
        with mounted(clean, Path(folder) / "mnt") as mnt:
            assert data == content(client_zip(mnt))
