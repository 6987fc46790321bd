"""mount(8), fstab(5) and the helper that they start: mount.addonfs."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from mounting import ADDONFS, clean, client_zip, is_mounted, package, run, status


@pytest.fixture
def helper(folder, program):
    """A link of the name that mount(8) looks for."""
    link = folder / "bin" / "mount.addonfs"
    link.parent.mkdir()
    link.symlink_to(Path(ADDONFS).resolve())
    return link


@pytest.fixture
def mnt(folder, fuse):
    place = folder / "mnt"
    place.mkdir()
    yield place
    clean(place)


def call(helper, *arguments):
    return subprocess.run([helper, *map(str, arguments)], capture_output=True, timeout=60)


def test_the_helper_takes_what_mount_gives_it(helper, repo, mnt):
    result = call(helper, repo.path, mnt, "-n", "-v", "-o", "rw,nofail,_netdev,x-systemd.automount,user=joe,rev=HEAD")
    assert (result.returncode, result.stderr) == (0, b"")
    assert client_zip(mnt).read_bytes() and status(mnt)["revision"] == "HEAD"


def test_fake_mounts_nothing(helper, repo, mnt):
    assert call(helper, "-f", repo.path, mnt).returncode == 0
    assert not is_mounted(mnt)


@pytest.mark.parametrize("options, code", [("no_such_option", 1), ("level=77", 1), ("rev=nowhere", 32)])
def test_what_is_wrong_has_mounts_exit_code_and_one_line(helper, repo, mnt, options, code):
    result = call(helper, repo.path, mnt, "-o", options)
    assert result.returncode == code and len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith(b"mount.addonfs: ") and not is_mounted(mnt)


def test_sloppy_passes_over_what_nobody_knows(helper, repo, mnt):
    assert call(helper, repo.path, mnt, "-s", "-o", "no_such_option,view=package").returncode == 0
    assert os.listdir(mnt) == ["openpype"]


@pytest.mark.parametrize("arguments", [[], ["only-one"], ["one", "two", "three"], ["-q", "one", "two"]])
def test_a_wrong_call_is_told(helper, arguments):
    result = call(helper, *arguments)
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1


def test_noexec_is_the_kernels_business(helper, repo, mnt):
    assert call(helper, repo.path, mnt, "-o", "noexec").returncode == 0
    options = subprocess.run(["findmnt", "-no", "OPTIONS", mnt], capture_output=True, text=True, check=True).stdout
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(options.strip().split(","))


@pytest.fixture
def installed(helper):
    """mount(8) looks in /sbin and /usr/sbin only."""
    place = Path("/sbin/mount.addonfs")
    if os.geteuid() != 0 or os.path.lexists(place) or not shutil.which("mount"):
        pytest.skip("root, and no mount.addonfs of another origin")
    place.symlink_to(Path(ADDONFS).resolve())
    try:
        yield
    finally:
        place.unlink()


def test_mount_t_addonfs(installed, repo, mnt):
    subprocess.run(["mount", "-t", "addonfs", repo.path, mnt, "-o", "rev=HEAD,allow_other,nofail"], check=True)
    assert package(mnt).is_dir()
    subprocess.run(["umount", mnt], check=True)
    assert not is_mounted(mnt)


def test_a_line_in_fstab(installed, repo, mnt, folder):
    fstab = folder / "fstab"
    fstab.write_text(f"{repo.path} {mnt} addonfs rev=HEAD,view=package,noauto,x-systemd.requires=network.target 0 0\n")
    subprocess.run(["mount", "-T", fstab, mnt], check=True)
    assert os.listdir(mnt) == ["openpype"]
    assert run("umount", mnt).returncode == 0
