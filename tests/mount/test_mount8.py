"""mount(8), fstab(5) and the helper that they start: mount.addonfs."""

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from mounting import ADDONFS, clean, client_zip, is_mounted, status
from users import OTHER, USER, as_user, in_namespace, own


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
    mkdir -p /run/mount
    mount -t tmpfs none /run/mount  # where mount(8) notes who mounted what
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


def test_the_flags_of_mount_reach_the_helper(repo, mnt, root_user):
    script = INSTALLED + """
        for flags in -r -w -v -n "-s -o no_such_option" "-t addonfs"; do
            mount $flags -t addonfs "$1" "$2" >/dev/null
            findmnt -no OPTIONS "$2" | cut -c 1-3
            umount "$2"
        done
        mount -f -t addonfs "$1" "$2"
        ! findmnt "$2"
    """
    result = in_namespace(script, repo.path, mnt)
    assert (result.returncode, result.stderr, result.stdout) == (0, "", "ro,\n" * 6)


@contextlib.contextmanager
def another_namespace():
    """A process with a mount namespace of its own."""
    with subprocess.Popen(["unshare", "-m", "--propagation", "private", "cat"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, bufsize=0) as process:
        process.stdin.write(b"it is there\n")
        assert process.stdout.read(12) == b"it is there\n"
        yield process.pid
        process.stdin.close()


def test_another_mount_namespace_is_entered(helper, repo, mnt, root_user):
    def inside(pid, *command):
        return subprocess.run(["nsenter", "-t", str(pid), "-m", *map(str, command)], capture_output=True, text=True, timeout=60)

    with another_namespace() as pid:
        result = call(helper, repo.path, mnt, "-N", f"/proc/{pid}/ns/mnt", "-o", "view=package")
        assert (result.returncode, result.stderr) == (0, b"")
        assert not is_mounted(mnt) and os.listdir(mnt) == []
        assert inside(pid, "ls", mnt).stdout == "openpype\n"
        assert inside(pid, ADDONFS, "umount", mnt).returncode == 0
    for path in ("/nowhere", repo.path, "/proc/self/ns/uts"):
        result = call(helper, repo.path, mnt, "-N", path)
        assert result.returncode == 32 and result.stderr.startswith(f"mount.addonfs: {path}: ".encode())
        assert not is_mounted(mnt)


def with_fstab(options, script, repo, mnt, user=USER, **more):
    """Run a script as a plain user, where fstab(5) has a line for the mount point, whose owner is USER."""
    own(mnt)
    own(repo.path, user)
    fstab = mnt.parent / "fstab"
    fstab.write_text(f"{repo.path} {mnt} addonfs {options} 0 0\n")
    before = INSTALLED.replace("/mnt", "/media").replace('"$0"', f"'{ADDONFS}'") + f"""
        test -e /etc/fstab || touch /etc/fstab
        mount --bind '{fstab}' /etc/fstab
    """
    return as_user(script, mnt, Path(ADDONFS).resolve(), before=before, user=user, **more)


def test_a_plain_user_mounts_a_line_of_fstab(repo, mnt, root_user):
    """mount(8) starts the helper as that user, who mounts as with `addonfs mount`, and may unmount again."""
    script = """
        mount "$1"
        ls "$1"
        stat -c %U "$1"
        findmnt -no OPTIONS "$1"
        umount "$1"
        ls -A "$1"
    """
    # `user` means that nothing is executed unless `exec` is said; without it mount(8) is no more than the user's.
    for options, noexec in (("user,view=package,noauto", True), ("users,exec,view=package", False), ("view=package", False)):
        result = with_fstab(options, script, repo, mnt)
        assert (result.returncode, result.stderr) == (0, "")
        listed, owner, shown = result.stdout.split()
        assert (listed, owner) == ("openpype", USER.pw_name)
        assert {"ro", "nosuid", "nodev", f"user_id={USER.pw_uid}"} <= set(shown.split(","))
        assert ("noexec" in shown.split(",")) == noexec


def test_a_plain_user_is_refused_what_addonfs_mount_refuses(repo, mnt, root_user):
    """Whatever the line in fstab allows: whom the mount point does not belong to, and other users without fuse.conf."""
    for options, user in (("user,allow_other", USER), ("user", OTHER)):
        result = with_fstab(options, 'mount "$1"', repo, mnt, user=user)
        assert result.returncode == 32 and result.stderr.count("\n") == 1
        assert result.stderr.startswith("mount.addonfs: ") and "fusermount3" in result.stderr, result.stderr
        assert not is_mounted(mnt)
