"""`addonfs status` tells of every mount, and waits for none; `umount --lazy`."""

import json
import os
import signal
import subprocess

import pytest

from mounting import (ADDONFS, TIMEOUT, await_end, clean, daemon_pid, is_mounted, mounted, package, run, status, until)
from repository import Link, Repository
from samples import SAMPLES
from users import as_user, own

pytestmark = pytest.mark.usefixtures("fuse")


def report(*arguments, code=0):
    result = run("status", *arguments, "--json")
    assert result.stderr == b"" and result.returncode == code, result
    return json.loads(result.stdout)["mounts"]


def of(mountpoint, reports):
    found, = [item for item in reports if item["mountpoint"] == str(mountpoint)]
    return found


def test_a_mount_tells_what_its_status_json_says(repo, folder):
    with mounted(repo.path, folder / "mnt") as mnt:
        found, = report(mnt)
        assert found["state"] == "alive" and found["mountpoint"] == str(mnt)
        expected = status(mnt)
        assert found["status"]["addons"] == [{"name": "openpype", "version": "3.15.12"}]
        for name in ("source", "pid", "generation", "layout", "problems", "worktree"):
            assert found["status"][name] == expected[name]
        assert found["status"]["ready"] == found["status"]["members"] == 6
        text = run("status", mnt).stdout.decode()
        lines = [line.split(maxsplit=1) for line in text.splitlines()]
        assert lines[0] == [f"{mnt}:", "alive"]
        assert ["source", str(repo.path)] in lines and ["revision", "worktree"] in lines
        assert ["addons", "openpype 3.15.12"] in lines and ["compressed", "6 of 6 files"] in lines
        assert ["generation", str(expected["generation"])] in lines
        hits, misses = (expected["cache"][name] for name in ("hits", "misses"))
        assert ["cache", f"{hits} hits, {misses} misses"] in lines and misses == expected["compressed"] > 0


def test_all_mounts_are_found(repo, folder):
    other = Repository(folder / "other", SAMPLES["cd"])
    with mounted(repo.path, folder / "one") as one, mounted(other.path, folder / "t w o", "view=package,rev=main") as two:
        reports = [item for item in json.loads(run("status", "--json").stdout)["mounts"]]
        assert of(one, reports)["status"]["source"] == str(repo.path)
        found = of(two, reports)["status"]
        assert found["revision"] == "main" and found["layout"] == "c+d" and len(found["addons"]) == 5
        text = run("status").stdout.decode()
        assert f"{one}: alive\n" in text and f"{two}: alive\n" in text


def test_problems_make_it_exit_with_1(repo, folder):
    with mounted(repo.path, folder / "mnt") as mnt:
        repo.write({"openpype/zz": Link("nowhere")})
        found, = report(mnt, code=1)
        assert found["status"]["problems"][0]["path"] == "openpype/zz"
        result = run("status", mnt)
        assert result.returncode == 1 and "error: openpype/zz: the link is broken" in result.stdout.decode()
        os.unlink(repo.path / "openpype/zz")
        report(mnt)


def test_a_dead_mount_is_told_as_dead(repo, folder):
    with mounted(repo.path, folder / "alive") as alive:
        (folder / "dead").mkdir()
        assert run("mount", repo.path, folder / "dead").returncode == 0
        try:
            pid = daemon_pid(folder / "dead")
            pidfd = os.pidfd_open(pid)
            os.kill(pid, signal.SIGKILL)
            await_end(pidfd)
            os.close(pidfd)
            found, = report(folder / "dead", code=1)
            assert found["state"] == "dead" and found["status"] is None
            reports = json.loads(run("status", "--json").stdout)["mounts"]
            assert of(alive, reports)["state"] == "alive" and of(folder / "dead", reports)["state"] == "dead"
            result = run("status", folder / "dead")
            assert result.returncode == 1 and result.stdout.decode() == \
                f"{folder}/dead: dead: its daemon has gone: addonfs umount clears it\n"
        finally:
            run("umount", folder / "dead")
            clean(folder / "dead")


def test_one_that_hangs_holds_nobody_up(repo, folder):
    with mounted(repo.path, folder / "alive") as alive, mounted(repo.path, folder / "stopped") as stopped:
        pid = daemon_pid(stopped)
        os.kill(pid, signal.SIGSTOP)
        try:
            result = run("status", "--json", "--timeout", "1", timeout=30)
            reports = json.loads(result.stdout)["mounts"]
            assert result.returncode == 1
            assert of(stopped, reports)["state"] == "hangs" and of(alive, reports)["state"] == "alive"
            assert run("status", stopped, "--timeout=0.1").stdout.decode() == \
                f"{stopped}: hangs: does not answer\n"
        finally:
            os.kill(pid, signal.SIGCONT)


def test_progress_is_told_while_it_compresses(repo, folder):
    repo.write({"openpype/large.bin": os.urandom(1 << 20) * 48})
    seen = set()
    with mounted(repo.path, folder / "mnt", "cache=none,level=12") as mnt:
        ready, members = map(int, os.getxattr(mnt, "user.addonfs.progress").split())
        assert members == 7 and ready <= 7

        def is_done():
            found, = json.loads(run("status", mnt, "--json", "--timeout", "0.05").stdout)["mounts"]
            seen.add((found["state"], found["ready"]))
            return found["state"] == "alive"

        until(is_done)
        assert all(state == "alive" and ready == 7 or state in ("busy", "hangs") for state, ready in seen), seen
        found, = report(mnt)
        assert found["ready"] == found["members"] == 7


def test_what_is_no_mount_is_trouble(folder):
    result = run("status", folder)
    assert result.returncode == 2
    assert result.stderr.decode() == f"addonfs: {folder}: addonfs is not mounted here\n"
    result = run("status", folder / "absent")
    assert result.returncode == 2 and result.stderr.decode().count("\n") == 1


def test_a_bind_mount_of_a_part_is_not_told_twice(repo, folder, root_user):
    with mounted(repo.path, folder / "mnt") as mnt:
        (folder / "bind").mkdir()
        if subprocess.run(["mount", "--bind", mnt / "package", folder / "bind"], capture_output=True).returncode:
            pytest.skip("the right to mount")
        try:
            found = [item["mountpoint"] for item in json.loads(run("status", "--json").stdout)["mounts"]]
            assert str(mnt) in found and str(folder / "bind") not in found
        finally:
            subprocess.run(["umount", folder / "bind"], check=True)


def test_a_mount_that_others_may_not_enter_is_hidden_from_them(repo, folder, root_user, binary):
    with mounted(repo.path, folder / "mnt") as mnt:
        # Of all mounts: its exit code is that of others' tests as well.
        result = as_user('"$1" status --json || test $? = 1', binary)
        assert result.returncode == 0, result.stderr
        found = of(mnt, json.loads(result.stdout)["mounts"])
        assert (found["state"], found["status"]) == ("hidden", None)


def test_root_asks_as_the_user_whose_it_is(folder, root_user):
    repo = Repository(folder / "source")
    own(folder / "source")
    with mounted(repo.path, folder / "mnt") as mnt:
        found, = report(mnt)
        assert found["state"] == "alive" and found["status"]["source"] == str(repo.path)


def test_lazy_takes_a_busy_mount_away(repo, folder):
    (folder / "mnt").mkdir()
    assert run("mount", repo.path, folder / "mnt").returncode == 0
    try:
        pidfd = os.pidfd_open(daemon_pid(folder / "mnt"))
        with open(package(folder / "mnt") / "version.py", "rb") as file:
            result = run("umount", folder / "mnt")
            assert result.returncode == 1 and b"busy" in result.stderr and b"--lazy" in result.stderr
            result = run("umount", "--lazy", folder / "mnt")
            assert result.returncode == 0 and result.stdout == result.stderr == b""
            assert not is_mounted(folder / "mnt")
            assert file.read() == (repo.path / "openpype/version.py").read_bytes()
        await_end(pidfd)
        os.close(pidfd)
    finally:
        clean(folder / "mnt")


def test_a_reader_who_ends_early_is_no_crash(repo, folder):
    with mounted(repo.path, folder / "mnt") as mnt:
        with open("/dev/full", "wb") as full:
            result = subprocess.run([ADDONFS, "status", mnt], stdout=full, stderr=subprocess.PIPE, timeout=TIMEOUT)
        assert result.returncode == 2
        assert result.stderr.decode() == "addonfs: standard output: cannot be written\n"
