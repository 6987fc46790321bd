"""`make install` into an empty folder: what is there, that it works from there, and that it goes again."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from building import Make
from conftest import need
from mounting import TIMEOUT, clean, client_zip, is_mounted, package
from repository import ENVIRONMENT

WANTED = {
    "bin/addonfs", "sbin/mount.addonfs", "lib/systemd/system/addonfs@.service",
    "share/man/man1/addonfs.1", "share/man/man8/mount.addonfs.8",
    "share/bash-completion/completions/addonfs", "share/zsh/site-functions/_addonfs",
    "share/fish/vendor_completions.d/addonfs.fish", "share/doc/addonfs/examples/example.mount",
}


@pytest.fixture
def make(program, folder):
    need(shutil.which("make"), "make")
    need("ADDONFS_BUILD" in os.environ, "a build (environment variable ADDONFS_BUILD)")
    return Make(Path(os.environ["ADDONFS_BUILD"]), folder / "build")


def files(root):
    return {os.path.relpath(os.path.join(base, name), root) for base, _, names in os.walk(root) for name in names}


def call(*command):
    return subprocess.run([*map(os.fspath, command)], capture_output=True, timeout=TIMEOUT, check=True,
                          env={**os.environ, **ENVIRONMENT})


def test_all_of_it_is_installed_and_goes_again(make, folder):
    root = folder / "root"
    (root / "usr/share/man/man1").mkdir(parents=True)
    (root / "usr/share/man/man1/other.1").write_text("another program's\n")
    for _ in range(2):
        make("install", DESTDIR=root, PREFIX="/usr")
        assert files(root / "usr") == WANTED | {"share/man/man1/other.1"}
    assert os.access(root / "usr/bin/addonfs", os.X_OK)
    assert os.readlink(root / "usr/sbin/mount.addonfs") == "../bin/addonfs"
    unit = (root / "usr/lib/systemd/system/addonfs@.service").read_text()
    assert "ExecStart=/usr/bin/addonfs mount" in unit and "@PREFIX@" not in unit
    for name in WANTED - {"bin/addonfs", "sbin/mount.addonfs"}:
        assert (root / "usr" / name).stat().st_mode & 0o777 == 0o644, name
    make("uninstall", DESTDIR=root, PREFIX="/usr")
    assert files(root / "usr") == {"share/man/man1/other.1"}


def test_it_works_from_where_it_is_installed(make, repo, folder, fuse):
    place = folder / "mnt"
    place.mkdir()
    make("install", PREFIX=folder / "opt")
    try:
        assert call(folder / "opt/bin/addonfs", "--version").stdout.startswith(b"addonfs ")
        call(folder / "opt/sbin/mount.addonfs", repo.path, place, "-o", "rev=HEAD,nofail")
        shown = client_zip(place).read_bytes()
        call(folder / "opt/bin/addonfs", "umount", place)
        assert not is_mounted(place)
        call(folder / "opt/bin/addonfs", "mount", repo.path, place, "-o", "rev=HEAD")
        assert client_zip(place).read_bytes() == shown and os.listdir(package(place))
        call(folder / "opt/bin/addonfs", "umount", place)
    finally:
        clean(place)


def test_the_manual_pages_are_formatted_without_a_warning(make, folder):
    need(shutil.which("man"), "man")
    make("install", DESTDIR=folder / "root", PREFIX="/usr")
    for page in ("man1/addonfs.1", "man8/mount.addonfs.8"):
        path = folder / "root/usr/share/man" / page
        result = subprocess.run(["man", "--warnings", "-l", "-E", "UTF-8", "-Tutf8", path], capture_output=True,
                                timeout=TIMEOUT, env={**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8"})
        assert result.returncode == 0 and result.stderr == b"" and b"addonfs" in result.stdout
