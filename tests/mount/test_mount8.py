"""mount(8), fstab(5) and the helper that they start: mount.addonfs."""

import os
import subprocess
from pathlib import Path

import pytest

from mounting import ADDONFS, clean, client_zip, is_mounted, status
from users import in_namespace


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


@pytest.mark.parametrize("options", ["ro", "defaults", "user", "users,noauto", "auto,owner,group", "exec,suid,dev",
                                     "sync,atime,X-mount.mkdir", "comment=any thing"])
def test_each_word_that_is_for_others_changes_nothing(helper, repo, mnt, options):
    result = call(helper, repo.path, mnt, "-o", options)
    assert (result.returncode, result.stderr) == (0, b"")
    shown = subprocess.run(["findmnt", "-no", "OPTIONS", mnt], capture_output=True, text=True, check=True).stdout
    assert {"ro", "nosuid", "nodev"} <= set(shown.strip().split(","))


# mount(8) looks in /sbin: a tmpfs in place of what there is, in a namespace of its own, has nothing but the helper.
INSTALLED = """
    mount -t tmpfs none /mnt
    mkdir /mnt/sbin
    mount --bind /sbin /mnt/sbin
    mount -t tmpfs none /sbin
    ln -s "$(realpath "$0")" /sbin/mount.addonfs
    PATH=$PATH:/mnt/sbin
"""


def test_mount_t_addonfs(repo, mnt, root_user):
    script = INSTALLED + """
        mount -t addonfs "$1" "$2" -o rev=HEAD,allow_other,nofail
        ls "$2/package/openpype"
        umount "$2"
        ls -A "$2"
    """
    result = in_namespace(script, repo.path, mnt)
    assert (result.returncode, result.stderr, result.stdout) == (0, "", "3.15.12\n")


def test_a_line_in_fstab(repo, mnt, folder, root_user):
    fstab = folder / "fstab"
    fstab.write_text(f"{repo.path} {mnt} addonfs rev=HEAD,view=package,noauto,x-systemd.requires=network.target 0 0\n")
    script = INSTALLED + """
        mount -T "$1" "$2"
        ls "$2"
        "$0" umount "$2"
        ls -A "$2"
    """
    result = in_namespace(script, fstab, mnt)
    assert (result.returncode, result.stderr, result.stdout) == (0, "", "openpype\n")
