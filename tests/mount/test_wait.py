"""addonfs wait: asleep until there is another generation."""

import contextlib
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from mounting import ADDONFS, TIMEOUT, await_end, clean, daemon_pid, is_mounted, mounted, package, run, until

README = Path(__file__).resolve().parents[2] / "README.md"
TOOLS = "openpype/lib/tools.py"


def generation(mount):
    return (mount / ".addonfs/generation").read_text().strip()


class Waiter:
    """`addonfs wait` in the background; it has begun to wait when it is constructed."""

    def __init__(self, mount, *arguments):
        self.process = subprocess.Popen([ADDONFS, "wait", mount, *arguments], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        # It sleeps in poll(2) when it has read the generation: two system calls, so look for that.
        wchan = f"/proc/{self.process.pid}/syscall"
        while self.process.poll() is None:
            with open(wchan) as file:
                if file.read().split()[0] in ("7", "73", "271"):  # poll (x86-64, arm64), ppoll
                    break

    def end(self, code):
        out, err = self.process.communicate(timeout=TIMEOUT)
        assert self.process.returncode == code, err
        return out.strip(), err


def test_it_prints_the_generation_as_soon_as_it_differs(repo, mount):
    first = generation(mount)
    assert run("wait", mount, "--since", "").stdout.decode().strip() == first
    waiter = Waiter(mount)
    # One operation: whoever truncates and writes makes two generations.
    (repo.path / "other").write_text("other")
    os.replace(repo.path / "other", repo.path / TOOLS)
    second, _ = waiter.end(0)
    assert second == generation(mount) != first
    # What changed while nobody waited is not missed.
    assert run("wait", mount, "--since", first).stdout.decode().strip() == second
    waiter = Waiter(mount, "--since", second)
    (repo.path / "openpype/lib/new/deep").mkdir(parents=True)
    (repo.path / "openpype/lib/new/deep/file.py").write_text("x")
    assert waiter.end(0)[0] not in (first, second)


def test_what_changes_nothing_is_no_other_generation(repo, mount):
    first = generation(mount)
    (repo.path / "README").write_text("not in the package")
    (repo.path / "openpype/lib/x.pyc").write_text("dropped")
    repo.commit()
    assert generation(mount) == first
    result = run("wait", mount, "--since", first, "--timeout", "0.01")
    assert result.returncode == 1 and result.stdout == b"" and result.stderr == b""


def test_a_generation_is_a_number_however_it_is_written(mount):
    number = generation(mount)
    for since in (number, f"0{number}", f"{number:0>60}"):
        result = run("wait", mount, "--since", since, "--timeout", "0")
        assert result.returncode == 1 and result.stdout == b"", since
    for since in ("", "0", "007", str(int(number) - 1), str(2**64 - 1)):
        assert run("wait", mount, "--since", since).stdout.decode().strip() == number


@pytest.mark.parametrize("change", ["commit", "update-ref", "packed", "branch", "push"])
def test_a_ref_that_moves_wakes(repo, folder, fuse, change):
    revision = {"branch": "feature/new~0", "commit": "HEAD"}.get(change, "main")
    repo.write({TOOLS: "second\n"})
    second = repo.commit()
    repo.git("branch", "feature/new", "HEAD~1")
    repo.git("reset", "-q", "--hard", "HEAD~1")
    if change == "packed":
        repo.git("pack-refs", "--all")
    if change == "push":
        subprocess.run(["git", "clone", "-q", "--bare", repo.path, folder / "bare.git"], check=True)
    source = folder / "bare.git" if change == "push" else repo.path
    with mounted(source, folder / "mnt", f"rev={revision}") as mnt:
        first = generation(mnt)
        waiter = Waiter(mnt)
        if change == "commit":
            repo.write({TOOLS: "third\n"})
            repo.commit()
        elif change == "branch":
            repo.git("branch", "-f", "feature/new", second)
        elif change == "push":
            repo.git("push", "-q", str(source), f"{second}:main")
        else:
            repo.git("update-ref", "refs/heads/main", second)
        assert waiter.end(0)[0] == generation(mnt) != first


def test_under_poll_it_wakes_as_well(repo, folder, fuse):
    with mounted(repo.path, folder / "mnt", "watch=poll") as mnt:
        first = generation(mnt)
        waiter = Waiter(mnt)
        (repo.path / TOOLS).write_text("other")
        assert waiter.end(0)[0] != first


def test_umount_lets_waiters_go(repo, folder, fuse):
    with mounted(repo.path, folder / "mnt") as mnt:
        waiters = [Waiter(mnt) for _ in range(3)]
    for waiter in waiters:
        out, err = waiter.end(2)
        assert out == "" and "gone" in err and err.count("\n") == 1


def test_a_daemon_that_dies_lets_waiters_go(repo, folder, fuse):
    (folder / "mnt").mkdir()
    assert run("mount", repo.path, folder / "mnt").returncode == 0
    waiter = Waiter(folder / "mnt")
    pidfd = os.pidfd_open(daemon_pid(folder / "mnt"))
    os.kill(daemon_pid(folder / "mnt"), signal.SIGKILL)
    await_end(pidfd)
    waiter.end(2)
    assert run("umount", folder / "mnt").returncode == 0
    assert not is_mounted(folder / "mnt")


def test_wrong_uses(folder, program):
    for arguments in (["wait"], ["wait", "a", "--timeout", "x"], ["wait", "a", "--timeout", "-1"],
                      ["mount", "a", "b", "--since", "1"], ["wait", "a", "-o", "ro"]):
        result = run(*arguments)
        assert result.returncode == 2 and result.stderr.decode().count("\n") == 1
    result = run("wait", folder)
    assert result.returncode == 2 and "not mounted" in result.stderr.decode()


def test_a_generation_that_cannot_be_told_is_no_success(mount):
    with open("/dev/full", "w") as full:
        for arguments, code in ((["wait", mount, "--since", ""], 2), (["--help"], 1), (["--version"], 1)):
            result = subprocess.run([ADDONFS, *arguments], stdout=full, stderr=subprocess.PIPE, timeout=TIMEOUT)
            assert result.returncode == code
            assert result.stderr == b"addonfs: standard output: cannot be written\n"


def test_two_mounts_never_have_the_same_generation(repo, folder, fuse):
    seen = set()
    for _ in range(3):
        with mounted(repo.path, folder / "mnt") as mnt:
            seen.add(generation(mnt))
            (repo.path / TOOLS).write_text(os.urandom(4).hex())
            seen.add(generation(mnt))
    assert len(seen) == 6


def waits_since(shell):
    """The generation that the `addonfs wait` of a shell was given, or None while it runs something else."""
    for child in Path(f"/proc/{shell}/task/{shell}/children").read_text().split():
        with contextlib.suppress(OSError):
            arguments = Path(f"/proc/{child}/cmdline").read_text().split("\0")
            if arguments[1:2] == ["wait"]:
                return arguments[arguments.index("--since") + 1]
            return waits_since(child)
    return None


def test_a_deploy_loop_misses_nothing(repo, folder, fuse):
    """The loop of the README; the last state arrives, however edits and copies fall together."""
    (script,) = [block for block in re.findall(r"^```sh\n(.*?)^```$", README.read_text(), re.M | re.S)
                 if "addonfs wait" in block]
    mnt, target = folder / "view", folder / "target"
    mnt.mkdir()
    try:
        assert run("mount", repo.path, mnt).returncode == 0
        loop = subprocess.Popen(
            ["sh", "-c", script.replace("server:addons/openpype/", "target/")], cwd=folder,
            env={**os.environ, "PATH": f"{Path(ADDONFS).resolve().parent}:{os.environ['PATH']}", "g": ""})
        for number in range(30):
            (repo.path / "server_addon/server/settings/main.py").write_text(f"x = {number}\n")
            (repo.path / TOOLS).write_text(f"x = {number}\n")
        (repo.path / "server_addon/server/settings/main.py").write_text("done\n")
        until(lambda: subprocess.run(["diff", "-r", package(mnt), target / "3.15.12"],
                                     capture_output=True).returncode == 0)
        assert (target / "3.15.12/settings/main.py").read_text() == "done\n"
        # Not while rsync still reads, nor before it is begun: when the loop waits for what comes after this.
        until(lambda: waits_since(loop.pid) == (mnt / ".addonfs/generation").read_text().strip())
        until(lambda: run("umount", mnt).returncode == 0)
        assert loop.wait(TIMEOUT) == 0
    finally:
        clean(mnt)
