"""Mount points that would hide what the mount itself needs are refused, before anything is mounted."""

import os
import subprocess

import pytest

from mounting import ADDONFS, TIMEOUT, clean, client_zip, is_mounted, mounted, run
from repository import ENVIRONMENT, Link, Repository
from users import own

pytestmark = pytest.mark.usefixtures("fuse")


def git(*arguments):
    subprocess.run(["git", *map(os.fspath, arguments)], check=True, capture_output=True,
                   env={**os.environ, **ENVIRONMENT}, timeout=TIMEOUT)


def refuse(source, place, hidden, *words, options="", **more):
    """One line that names both, and no mount."""
    assert os.path.isdir(place)
    try:
        result = run("mount", source, place, *(["-o", options] if options else []), **more)
        text = result.stderr.decode()
        assert result.returncode == 1, text
        assert text.startswith(f"addonfs: {place}: ") and text.count("\n") == 1, text
        for word in (str(hidden), "choose another folder", *words):
            assert word in text, text
        assert not is_mounted(place)
    finally:
        clean(place)


@pytest.fixture
def second(repo, folder):
    """A second worktree, whose Git folder is inside the first one's."""
    repo.git("worktree", "add", "-q", "-b", "other", str(folder / "second"))
    return folder / "second"


@pytest.mark.parametrize("options", ["", "rev=other", "rev=HEAD"])
@pytest.mark.parametrize("other", [False, True])
def test_the_repository_of_a_second_worktree(repo, second, options, other, root_user):
    if other:
        own(repo.path)
        own(second)
    refuse(second, repo.path, repo.path / ".git", options=options)
    refuse(second, repo.path / ".git/refs", repo.path / ".git", options=options)


@pytest.mark.parametrize("options", ["", "rev=HEAD"])
def test_where_objects_are_borrowed_from(repo, folder, options):
    # Each borrows from the one before; one says so relative to its own objects.
    git("clone", "-q", "--shared", repo.path, folder / "middle")
    git("clone", "-q", "--shared", folder / "middle", folder / "last")
    info = folder / "last/.git/objects/info"
    (info / "alternates").write_text("# a comment\n\n../../../middle/.git/objects\n")
    (folder / "link").symlink_to(repo.path)
    (folder / "middle/.git/objects/info/alternates").write_text(f"{folder}/link/.git/objects\n")
    for place in (repo.path, folder / "middle"):
        refuse(folder / "last", place, place.name, "Git's data", options=options)
    (folder / "mnt").mkdir()
    with mounted(folder / "last", folder / "mnt", options) as mnt:
        assert client_zip(mnt).read_bytes()


def test_alternates_in_a_circle(repo, folder):
    git("clone", "-q", "--shared", repo.path, folder / "clone")
    (repo.path / ".git/objects/info/alternates").write_text(f"{folder}/clone/.git/objects\n")
    refuse(folder / "clone", repo.path, repo.path / ".git/objects")
    with mounted(folder / "clone", folder / "mnt"):
        pass


@pytest.mark.parametrize("name", ["objects", "refs", "objects/pack"])
def test_git_folders_that_are_links(repo, folder, name):
    (folder / "elsewhere").mkdir()
    os.rename(repo.path / ".git" / name, folder / "elsewhere/moved")
    (repo.path / ".git" / name).symlink_to(folder / "elsewhere/moved")
    refuse(repo.path, folder / "elsewhere", f".git/{name}")


def test_caches_and_temporary_files(repo, folder):
    (folder / "a/cache").mkdir(parents=True, mode=0o700)
    refuse(repo.path, folder / "a", folder / "a/cache", "cache=DIR", options=f"cache={folder}/a/cache")
    refuse(repo.path, folder / "a/cache", "a/cache", options=f"cache={folder}/a/cache")
    environment = {**os.environ, **ENVIRONMENT, "XDG_CACHE_HOME": f"{folder}/a"}
    refuse(repo.path, folder / "a", folder / "a/addonfs", env=environment)
    (folder / "b").mkdir()
    (folder / "t").symlink_to("b")
    environment = {**os.environ, **ENVIRONMENT, "TMPDIR": f"{folder}/t"}
    refuse(repo.path, folder / "b", folder / "t", "TMPDIR", env=environment)
    with mounted(repo.path, folder / "a", "cache=none"):
        pass


@pytest.mark.parametrize("other", [False, True])
def test_what_the_package_is_made_of(repo, folder, other, root_user):
    (repo.path / "openpype/.hidden.d/x").mkdir(parents=True)
    if other:
        own(repo.path)
    for name, hidden in (("openpype", "openpype/version.py"), ("server_addon", "server_addon/server"),
                         ("server_addon/server", "server_addon/server"),
                         ("server_addon/client", "server_addon/client/pyproject.toml")):
        refuse(repo.path, repo.path / name, repo.path / hidden, "the package is made of")
    # The walk leaves it out, so nothing is missing.
    with mounted(repo.path, repo.path / "openpype/.hidden.d/x") as mnt:
        assert client_zip(mnt).read_bytes()
    # A revision is not read from there.
    with mounted(repo.path, repo.path / "openpype", "rev=main") as mnt:
        assert client_zip(mnt).read_bytes()


def test_what_a_link_in_the_source_leads_through(folder):
    repo = Repository(folder / "source")
    os.makedirs(repo.path / "src/deep")
    os.rename(repo.path / "openpype", repo.path / "src/deep/openpype")
    repo.write({"openpype": Link("way/openpype"), "way": Link("src/deep")})
    for name in ("src", "src/deep", "src/deep/openpype"):
        refuse(repo.path, repo.path / name, "openpype", "the package is made of")


def test_another_path_of_the_same_folder(repo, second, folder, root_user):
    (folder / "alias").mkdir()
    result = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-ec",
         'mount --bind "$1" "$2"; ! "$0" mount "$3" "$2"; ! "$0" mount "$1" "$2"; umount "$2"',
         ADDONFS, repo.path, folder / "alias", second],
        capture_output=True, timeout=TIMEOUT, env={**os.environ, **ENVIRONMENT})
    text = result.stderr.decode()
    assert result.returncode == 0 and text.count("choose another folder") == 2, text
