"""Who may see what: plain users, root over another user's repository, private files."""

import errno
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

import oracle
from mounting import clean, client_zip, mounted, package, run, status
from repository import ENVIRONMENT, Repository
from users import OTHER, USER, as_user, own

pytestmark = pytest.mark.usefixtures("root_user", "fuse")


def test_a_plain_user_mounts_and_unmounts_through_fusermount3(repo, folder, binary):
    (folder / "mnt").mkdir()
    own(repo.path)
    own(folder / "mnt")
    result = as_user(
        '"$1" mount "$2" "$3"; cat "$3/package/openpype/3.15.12/version.py"; '
        'sha256sum "$3/package/openpype/3.15.12/private/client.zip"; '
        'pid=$(getfattr --only-values -n user.addonfs.pid "$3" 2>/dev/null || '
        'sed -n \'s/.*"pid":[^0-9]*\\([0-9]*\\).*/\\1/p\' "$3/.addonfs/status.json"); '
        '"$1" umount "$3"; '
        # Gone, or waiting to be collected by whatever is process 1 here.
        'test ! -e "/proc/$pid" || grep -q "^State:.*zombie" "/proc/$pid/status"; '
        'grep " $3 " /proc/self/mountinfo || echo gone',
        binary, repo.path, folder / "mnt")
    assert result.returncode == 0, result.stderr
    assert '__version__ = "3.15.12"' in result.stdout and result.stdout.endswith("gone\n")
    with mounted(repo.path, folder / "root mnt") as mnt:
        data = client_zip(mnt).read_bytes()
    import hashlib
    assert hashlib.sha256(data).hexdigest() in result.stdout


def test_what_fusermount3_refuses_is_one_line(repo, folder, binary):
    (folder / "mnt").mkdir()
    own(repo.path)
    own(folder / "mnt")
    for options, words in [("allow_other", "user_allow_other")]:
        result = as_user('"$1" mount "$2" "$3" -o "$4"', binary, repo.path, folder / "mnt", options)
        assert result.returncode == 1
        assert result.stderr.startswith("addonfs: ") and result.stderr.count("\n") == 1
        assert words in result.stderr
    own(folder / "mnt", OTHER)
    result = as_user('"$1" mount "$2" "$3"', binary, repo.path, folder / "mnt")
    assert result.returncode == 1 and result.stderr.count("\n") == 1


def test_without_the_right_to_use_fuse_it_is_said_what_to_do(repo, folder, binary):
    (folder / "mnt").mkdir()
    own(repo.path)
    own(folder / "mnt")
    for more, words in (({"device": "600"}, "chmod 666 /dev/fuse"),
                        ({"before": "mount --bind /dev/null /usr/bin/fusermount3"}, "package fuse3")):
        result = as_user('"$1" mount "$2" "$3"', binary, repo.path, folder / "mnt", **more)
        assert result.returncode == 1 and result.stderr.count("\n") == 1
        assert result.stderr.startswith(f"addonfs: {folder}/mnt: cannot mount: ") and words in result.stderr


def test_a_home_that_another_user_has_left_behind_is_named(repo, folder, binary):
    (folder / "mnt").mkdir()
    (folder / "home").mkdir(mode=0o700)
    own(repo.path)
    own(folder / "mnt")
    script = 'unset GIT_CONFIG_GLOBAL GIT_CONFIG_SYSTEM; "$1" mount "$2" "$3"'
    result = as_user(script, binary, repo.path, folder / "mnt", HOME=folder / "home")
    assert result.returncode == 1 and result.stderr.count("\n") == 1
    assert f"HOME is {folder}/home, which this user may not enter: set HOME" in result.stderr


def test_a_plain_user_is_refused_another_users_repository(repo, folder, binary):
    (folder / "mnt").mkdir()
    own(folder / "mnt")
    own(repo.path, OTHER)
    result = as_user('"$1" mount "$2" "$3"', binary, repo.path, folder / "mnt")
    assert result.returncode == 1
    assert "belongs to another user" in result.stderr and "safe.directory" in result.stderr
    assert result.stderr.count("\n") == 1


def test_root_over_another_users_repository_becomes_that_user(repo, folder):
    own(repo.path)
    with mounted(repo.path, folder / "mnt") as mnt:
        pid = status(mnt)["pid"]
        found = Path(f"/proc/{pid}/status").read_text()
        for line, number in (("Uid:", USER.pw_uid), ("Gid:", USER.pw_gid)):
            values = next(x for x in found.splitlines() if x.startswith(line)).split()[1:]
            assert values == [str(number)] * 4
        assert "CapEff:\t0000000000000000" in found
        assert os.stat(package(mnt) / "version.py").st_uid == USER.pw_uid
        assert list(oracle.compare(oracle.package_a(repo.path), package(mnt))) == []


@pytest.mark.parametrize("sudo", [False, True])
@pytest.mark.parametrize("whole, git", [(0, USER.pw_uid), (USER.pw_uid, 0), (USER.pw_uid, OTHER.pw_uid)])
def test_root_does_not_believe_a_repository_of_several_owners(repo, folder, whole, git, sudo):
    (folder / "mnt").mkdir()
    for path, uid in ((repo.path, whole), (repo.path / ".git", git)):
        subprocess.run(["chown", "-R", str(uid), path], check=True)
    environment = {**os.environ, **ENVIRONMENT, **({"SUDO_UID": str(USER.pw_uid)} if sudo else {})}
    for command in ("mount", "export"):
        result = run(command, repo.path, folder / "mnt", env=environment)
        clean(folder / "mnt")
        text = result.stderr.decode()
        assert result.returncode == 1 and text.count("\n") == 1
        assert text.startswith(f"addonfs: {repo.path}: belongs to uid {whole}, but its .git to uid {git}:")
        assert "chown" in text and os.listdir(folder / "mnt") == []


def test_root_does_not_believe_whom_sudo_names(repo, folder):
    (folder / "mnt").mkdir()
    os.rename(repo.path / ".git", folder / "elsewhere")
    (repo.path / ".git").write_text(f"gitdir: {folder}/elsewhere\n")
    own(folder / "elsewhere")
    environment = {**os.environ, **ENVIRONMENT, "SUDO_UID": str(USER.pw_uid)}
    result = run("mount", repo.path, folder / "mnt", env=environment)
    clean(folder / "mnt")
    assert result.returncode == 1 and result.stderr.count(b"\n") == 1
    assert b"its .git leads to a folder of another user" in result.stderr


def test_what_the_owner_may_not_read_root_does_not_show(repo, folder):
    own(repo.path)
    secret = repo.path / "openpype/secret.py"
    secret.write_text("root's")
    os.chmod(secret, 0o600)
    os.link("/etc/shadow", repo.path / "server_addon/server/shadow") if os.stat(
        "/etc").st_dev == os.stat(repo.path).st_dev else None
    with mounted(repo.path, folder / "mnt") as mnt:
        assert client_zip(mnt).stat().st_size == 1
        with pytest.raises(OSError):
            client_zip(mnt).read_bytes()
        if "shadow" in os.listdir(package(mnt)):
            with pytest.raises(OSError):
                (package(mnt) / "shadow").read_bytes()
        assert "openpype/secret.py" in {p["path"] for p in status(mnt)["problems"]}


@pytest.mark.parametrize("end", ["TERM", "KILL"])
def test_the_mount_of_another_users_repository_ends_as_any(repo, folder, end):
    own(repo.path)
    (folder / "mnt").mkdir()
    assert run("mount", repo.path, folder / "mnt").returncode == 0
    keeper = int(os.getxattr(folder / "mnt", "user.addonfs.pid"))
    server = status(folder / "mnt")["pid"]
    assert keeper != server
    pidfd = os.pidfd_open(keeper)
    subprocess.run(["kill", f"-{end}", str(server)], check=True)
    from mounting import await_end, is_mounted
    await_end(pidfd)
    if end == "TERM":
        assert not is_mounted(folder / "mnt")
    else:
        with pytest.raises(OSError) as failure:
            os.listdir(folder / "mnt")
        assert failure.value.errno == 107  # ENOTCONN
        assert run("umount", folder / "mnt").returncode == 0


def test_a_refusal_over_another_users_repository_leaves_no_mount(folder):
    repo = Repository(folder / "source", {"README": "x"})
    own(repo.path)
    (folder / "mnt").mkdir()
    from mounting import is_mounted
    result = run("mount", repo.path, folder / "mnt")
    assert result.returncode == 1
    assert "no known layout" in result.stderr.decode() and result.stderr.count(b"\n") == 1
    assert not is_mounted(folder / "mnt")


def test_a_file_keeps_owner_read_and_exec_bits_and_is_never_writable(repo, folder):
    server = repo.path / "server_addon/server"
    for name, mode in (("a", 0o600), ("b", 0o755), ("c", 0o444), ("d", 0o4711), ("e", 0o640)):
        (server / name).write_text(name)
        os.chmod(server / name, mode)
    os.chown(server / "e", 1234, 2345)
    with mounted(repo.path, folder / "mnt") as mnt:
        found = {n: os.stat(package(mnt) / n) for n in "abcde"}
    assert {n: s.st_mode & 0o7777 for n, s in found.items()} == {
        "a": 0o400, "b": 0o555, "c": 0o444, "d": 0o511, "e": 0o440}
    assert (found["e"].st_uid, found["e"].st_gid) == (1234, 2345)


def test_a_zip_is_as_private_as_its_most_private_member(repo, folder):
    with mounted(repo.path, folder / "mnt") as mnt:
        assert client_zip(mnt).stat().st_mode & 0o777 == 0o444
        os.chmod(repo.path / "openpype/lib/tools.py", 0o640)
        assert client_zip(mnt).stat().st_mode & 0o777 == 0o440
        os.chmod(repo.path / "openpype/lib/tools.py", 0o600)
        assert client_zip(mnt).stat().st_mode & 0o777 == 0o400
        os.chmod(repo.path / "openpype/lib/tools.py", 0o644)
        os.chmod(repo.path / "openpype/lib", 0o750)
        assert client_zip(mnt).stat().st_mode & 0o777 == 0o440


def test_a_private_folder_keeps_its_files_private(repo, folder):
    os.chmod(repo.path / "server_addon", 0o700)
    with mounted(repo.path, folder / "mnt", "allow_other") as mnt:
        assert os.stat(package(mnt) / "__init__.py").st_mode & 0o777 == 0o400
        denied = subprocess.run(["setpriv", f"--reuid={OTHER.pw_uid}", f"--regid={OTHER.pw_gid}",
                                 "--clear-groups", "cat", package(mnt) / "__init__.py"],
                                capture_output=True)
        assert denied.returncode != 0


def test_with_allow_other_another_user_reads_what_is_public_only(repo, folder):
    os.chmod(repo.path / "server_addon/server/__init__.py", 0o600)
    with mounted(repo.path, folder / "mnt", "allow_other") as mnt:
        def read(name):
            return subprocess.run(
                ["setpriv", f"--reuid={OTHER.pw_uid}", f"--regid={OTHER.pw_gid}", "--clear-groups",
                 "cat", package(mnt) / name], capture_output=True)
        assert read("version.py").returncode == 0
        assert read("__init__.py").returncode != 0
        assert read("private/client.zip").returncode == 0
    with mounted(repo.path, folder / "mnt") as mnt:
        assert read("version.py").returncode != 0


def can_read(path, uid, gid):
    """As that user, in that group alone."""
    return subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "cat", path],
                          capture_output=True).returncode == 0


def set_acl(path, *entries):
    """What setfacl does: (tag, permissions, id) in the order of the tags (acl(5))."""
    packed = b"".join(struct.pack("<HHI", tag, bits, number & 0xFFFFFFFF) for tag, bits, number in entries)
    try:
        os.setxattr(path, "system.posix_acl_access", struct.pack("<I", 2) + packed)
    except OSError as error:
        assert error.errno == errno.ENOTSUP
        pytest.skip("a file system without access control lists")


def test_what_cannot_be_read_on_disk_for_an_acl_cannot_be_read_in_the_mount(repo, folder):
    secret = repo.path / "server_addon/server/secret.py"
    secret.write_text("secret")
    os.chown(secret, 0, 100)
    os.chmod(secret, 0o600)
    # setfacl -m u:1234:r: the group has nothing, but the mode shows the mask in its place.
    set_acl(secret, (1, 6, -1), (2, 4, 1234), (4, 0, -1), (16, 4, -1), (32, 0, -1))
    assert os.stat(secret).st_mode & 0o777 == 0o640
    member = repo.path / "openpype/lib/tools.py"
    with mounted(repo.path, folder / "mnt", "allow_other") as mnt:
        for uid, gid in ((4321, 100), (4321, 4321)):
            assert not can_read(secret, uid, gid)
            assert not can_read(package(mnt) / "secret.py", uid, gid)
        assert can_read(client_zip(mnt), 4321, 100)
        # A change that moves neither mode nor size: everyone but user 1234.
        set_acl(member, (1, 6, -1), (2, 4, 1234), (4, 4, -1), (16, 4, -1), (32, 4, -1))
        assert can_read(client_zip(mnt), 1234, 1234)
        set_acl(member, (1, 6, -1), (2, 0, 1234), (4, 4, -1), (16, 4, -1), (32, 4, -1))
        assert not can_read(client_zip(mnt), 1234, 1234)


def test_a_folder_that_keeps_its_group_out_keeps_it_out_of_the_zip(repo, folder):
    closed = repo.path / "openpype/closed"
    closed.mkdir()
    (closed / "file.py").write_text("x = 1\n")
    os.chown(closed, 0, 200)
    with mounted(repo.path, folder / "mnt", "allow_other") as mnt:
        assert can_read(client_zip(mnt), 4321, 200)
        os.chmod(closed, 0o705)
        assert not can_read(closed / "file.py", 4321, 200)
        assert not can_read(client_zip(mnt), 4321, 200)


def test_a_revisions_files_are_0444_or_0555(repo, folder):
    repo.write({"server_addon/server/run.sh": b"x"})
    os.chmod(repo.path / "server_addon/server/run.sh", 0o700)
    repo.commit()
    with mounted(repo.path, folder / "mnt", "rev=HEAD") as mnt:
        assert os.stat(package(mnt) / "run.sh").st_mode & 0o7777 == 0o555
        assert os.stat(package(mnt) / "version.py").st_mode & 0o7777 == 0o444
        assert client_zip(mnt).stat().st_mode & 0o7777 == 0o444


def test_uid_gid_and_umask_are_shown_as_asked(repo, folder):
    with mounted(repo.path, folder / "mnt", "uid=1234,gid=2345,umask=027") as mnt:
        for path in (mnt, package(mnt), package(mnt) / "version.py", client_zip(mnt)):
            found = os.stat(path)
            assert (found.st_uid, found.st_gid) == (1234, 2345)
            assert found.st_mode & 0o027 == 0


def test_uid_gid_and_umask_say_who_reads(repo, folder):
    with mounted(repo.path, folder / "mnt", "allow_other,uid=1234,gid=2345,umask=077") as mnt:
        for path in (package(mnt) / "version.py", client_zip(mnt), mnt / "upload/openpype-3.15.12.zip"):
            assert can_read(path, 1234, 65534) and not can_read(path, 4321, 2345)
    with mounted(repo.path, folder / "mnt", "allow_other,uid=1234,gid=2345,umask=007") as mnt:
        assert can_read(client_zip(mnt), 4321, 2345) and not can_read(client_zip(mnt), 4321, 65534)


def test_what_holds_a_private_file_is_private_wherever_it_is_shown(repo, folder):
    os.chmod(repo.path / "openpype/lib/tools.py", 0o600)
    with mounted(repo.path, folder / "mnt", "allow_other") as mnt:
        def reads(path):
            return can_read(path, OTHER.pw_uid, OTHER.pw_gid)

        client = mnt / "client/openpype_3.15.12/openpype"
        snapshot = Path(os.path.realpath(mnt / "snapshots/current"))
        for path in (client_zip(mnt), mnt / "upload/openpype-3.15.12.zip", client / "lib/tools.py", client_zip(snapshot),
                     snapshot / "upload/openpype-3.15.12.zip"):
            assert path.read_bytes() and not reads(path), path
        for path in (client / "version.py", package(mnt) / "version.py", package(snapshot) / "version.py"):
            assert reads(path), path


def test_the_mount_is_nosuid_nodev_and_read_only(repo, folder):
    with mounted(repo.path, folder / "mnt") as mnt:
        with open("/proc/self/mountinfo") as file:
            line = next(x for x in file if x.split()[4] == str(mnt))
    assert {"ro", "nosuid", "nodev"} <= set(line.split()[5].split(","))
    assert "default_permissions" in line and "fuse.addonfs" in line


def test_export_by_root_reads_as_the_owner(repo, folder, binary):
    own(repo.path)
    (repo.path / "openpype/secret.py").write_text("root's")
    os.chmod(repo.path / "openpype/secret.py", 0o600)
    (folder / "out").mkdir()
    own(folder / "out")
    result = run("export", repo.path, folder / "out")
    assert result.returncode == 1 and b"openpype/secret.py" in result.stderr
    os.unlink(repo.path / "openpype/secret.py")
    result = run("export", repo.path, folder / "out")
    assert result.returncode == 0, result.stderr
    assert os.stat(folder / "out/openpype/3.15.12/version.py").st_uid == USER.pw_uid
