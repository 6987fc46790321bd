"""Read your writes: after every operation on the worktree or the repository the mount is at once what
the oracle says. A state machine of hypothesis, with inotify, with poll, and following a branch.

    ADDONFS_OPERATIONS=100000 ADDONFS_SEED=7      how many operations in all; which ones
    ADDONFS_SHRINK=1                              look for a shorter series that fails (takes long)
"""

import errno
import os
import random
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

import oracle
from mounting import client_zip, is_mounted, run
from repository import Repository

# Under a sanitizer everything is several times as slow.
OPERATIONS = int(os.environ.get("ADDONFS_OPERATIONS", "200" if os.environ.get("SANITIZE") else "2000"))
SEED = int(os.environ.get("ADDONFS_SEED", random.SystemRandom().randrange(2**32)))
STEPS = 50

ROOTS = ["openpype", "server_addon/server"]
NAMES = st.sampled_from(["a", "a.py", "b", "b.py", "lib", "lib.py", "tools.py", "deep", "x.pyc", ".hidden",
                         "__pycache__", "settings", "main.py", "é"])
PATHS = st.builds(lambda top, names: "/".join((top, *names)), st.sampled_from(ROOTS),
                  st.lists(NAMES, min_size=1, max_size=4))
TEXTS = st.sampled_from(["", "x", "y", "one\n", "two\n", "longer\n" * 200, "l0nger\n" * 200])
TARGETS = st.sampled_from(["a", "b.py", "../openpype/a", "../../openpype/lib", ".", "..", "/etc/passwd",
                           "nowhere", "../../.git/config", "../lib/tools.py"])
KEPT = {"openpype/version.py"}
PICKS = st.integers(0, 10**6)


class Operations(RuleBasedStateMachine):
    """`options` of the mount is what subclasses differ in."""

    options = ""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="addonfs-strict-"))
        self.repo = Repository(self.folder / "source")
        self.root = self.repo.path
        self.mnt = self.folder / "mnt"
        self.mnt.mkdir()
        result = run("mount", self.root, self.mnt, *(["-o", self.options] if self.options else []))
        assert result.returncode == 0, result.stderr.decode()
        self.version = None

    def teardown(self):
        try:
            result = run("umount", self.mnt)
            assert result.returncode == 0, result.stderr.decode()
        finally:
            assert not is_mounted(self.mnt)
            shutil.rmtree(self.folder)

    # What is done. A place that is taken or missing makes an operation do nothing, or something else.

    def place(self, path):
        path = self.root / path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError:
            return None
        return path

    def pick(self, number, folders):
        """Something that is there, as a path from the root; None if there is nothing."""
        found = []
        for top in ROOTS:
            for base, names, files in os.walk(self.root / top):
                found += [os.path.relpath(os.path.join(base, name), self.root)
                          for name in (names if folders else files)]
        found = [path for path in found if path not in KEPT]
        return sorted(found)[number % len(found)] if found else None

    def pick_file(self, number):
        path = self.pick(number, False)
        return self.root / path if path and not os.path.islink(self.root / path) else None

    def pick_to_write(self, number):
        place = self.pick_file(number)
        return None if place and self.is_out_of_sight(place) else place

    def is_out_of_sight(self, place):
        """Another name of a file, in a folder that is dropped: nobody watches it (README, Not seen)."""
        above = place.relative_to(self.root).parts[:-1]
        return (any(name.startswith(".") or name == "__pycache__" for name in above)
                and place.exists() and place.stat().st_nlink > 1)

    def remove(self, path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif os.path.lexists(path):
            path.unlink()

    @rule(path=PATHS, text=TEXTS)
    def write(self, path, text):
        place = self.place(path)
        if (place and not place.is_dir() and path not in KEPT and not place.is_symlink()
                and not self.is_out_of_sight(place)):
            place.write_text(text)

    @rule(pick=PICKS, text=TEXTS)
    def append(self, pick, text):
        if place := self.pick_to_write(pick):
            with open(place, "a") as file:
                file.write(text)

    @rule(pick=PICKS)
    def overwrite_under_the_same_times(self, pick):
        place = self.pick_to_write(pick)
        if place and place.stat().st_size:
            status = place.stat()
            with open(place, "r+b") as file:
                file.write(random.choice(b"0123456789").to_bytes(1, "big"))
            os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))

    @rule(path=PATHS, text=TEXTS)
    def replace(self, path, text):
        place = self.place(path)
        if place and not place.is_dir() and path not in KEPT:
            new = self.root / "outside"
            new.write_text(text)
            os.rename(new, place)

    @rule(pick=PICKS, folders=st.booleans(), new=PATHS)
    def move(self, pick, folders, new):
        old, target = self.pick(pick, folders), self.place(new)
        if old and target and not os.path.lexists(target):
            source = self.root / old
            # By way of a link the target may still lie in the source.
            if os.path.lexists(source) and not target.parent.resolve().is_relative_to(source.resolve()):
                os.rename(source, target)

    @rule(one=PICKS, other=PICKS)
    def swap(self, one, other):
        one, other = self.pick(one, True), self.pick(other, True)
        if one and other and not (one + "/").startswith(other + "/") and \
                not (other + "/").startswith(one + "/"):
            os.rename(self.root / one, self.root / "outside-swap")
            os.rename(self.root / other, self.root / one)
            os.rename(self.root / "outside-swap", self.root / other)

    @rule(pick=PICKS, folders=st.booleans())
    def delete(self, pick, folders):
        if path := self.pick(pick, folders):
            self.remove(self.root / path)

    @rule(path=PATHS)
    def make_folder(self, path):
        place = self.place(path)
        if place and not os.path.lexists(place):
            place.mkdir()

    @rule(pick=PICKS, mode=st.sampled_from([0o644, 0o755, 0o600, 0o744]))
    def chmod(self, pick, mode):
        if place := self.pick_to_write(pick):
            os.chmod(place, mode)

    @rule(pick=PICKS, path=PATHS)
    def link_hard(self, pick, path):
        one, other = self.pick_file(pick), self.place(path)
        if one and other and not os.path.lexists(other):
            os.link(one, other)

    @rule(path=PATHS, leads_to=TARGETS)
    def link(self, path, leads_to):
        place = self.place(path)
        if place and not os.path.lexists(place):
            os.symlink(leads_to, place)

    @rule(path=PATHS, name=NAMES, count=st.integers(1, 4))
    def make_many(self, path, name, count):
        place = self.place(path)
        if place and not os.path.lexists(place):
            for number in range(count):
                (place / f"{name}{number}").mkdir(parents=True)
                (place / f"{name}{number}/file.py").write_text(f"{number}\n")

    @rule(pick=PICKS)
    def take_away_and_bring_back(self, pick):
        path = self.pick(pick, True)
        place = self.root / path if path else self.root
        if path and place.is_dir() and not place.is_symlink():
            copy = self.root / "outside"
            self.remove(copy)
            shutil.copytree(place, copy, symlinks=True)
            shutil.rmtree(place)
            os.rename(copy, place)

    @rule(number=st.integers(0, 3))
    def set_version(self, number):
        (self.root / "openpype/version.py").write_text(f'__version__ = "1.0.{number}"\n')

    @rule()
    def break_version(self):
        (self.root / "openpype/version.py").write_text("__version__ = compute()\n")

    # What Git does.

    def git(self, *arguments):
        self.repo.git(*arguments, check=False)

    @rule(message=st.sampled_from(["a", "b"]))
    def commit(self, message):
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)

    @rule(name=st.sampled_from(["main", "other", "third"]))
    def switch(self, name):
        self.git("checkout", "-q", "-f", "-B" if name == "third" else "-b", name)
        self.git("checkout", "-q", "-f", name)

    @rule(back=st.integers(0, 2))
    def reset(self, back):
        self.git("reset", "-q", "--hard", f"HEAD~{back}")

    @rule()
    def stash(self):
        self.git("stash", "-q", "-u")

    @rule()
    def unstash(self):
        self.git("stash", "pop", "-q")

    @rule()
    def clean(self):
        self.git("clean", "-q", "-f", "-d", "-x", "openpype", "server_addon")

    @rule(all_of_it=st.booleans())
    def pack(self, all_of_it):
        self.git("pack-refs", "--all")
        if all_of_it:
            self.git("gc", "-q", "--prune=now")

    @rule()
    def update_ref(self):
        self.git("update-ref", "refs/heads/other", "HEAD")

    # What must hold after each.

    def expected(self):
        return self.root

    @invariant()
    def the_mount_is_what_the_oracle_says(self):
        compare(self.expected(), self.mnt)


def compare(source, mnt):
    live = mnt / "package" / "openpype"
    expected = None
    try:
        expected = oracle.package_a(source)
    except (OSError, oracle.Unreadable, ValueError, AttributeError, SyntaxError):
        pass
    if expected is None or expected.version is None:
        with pytest.raises(OSError) as failure:
            os.listdir(live)
        assert failure.value.errno == errno.EIO
        return
    assert os.listdir(live) == [expected.version.decode()]
    folder = live / expected.version.decode()
    found, unreadable = read(folder)
    found.pop(b"private/client.zip", None)
    unreadable.discard(b"private/client.zip")
    assert list(oracle.differences(expected.files, found)) == []
    assert unreadable == set(expected.unreadable)
    if expected.bad_members:
        with pytest.raises(OSError) as failure:
            client_zip(mnt, expected.version.decode()).read_bytes()
        assert failure.value.errno == errno.EIO
    elif b"private/client.zip" not in expected.unreadable:
        members = oracle.read_zip(client_zip(mnt, expected.version.decode()).read_bytes())
        assert list(oracle.differences(expected.members, members)) == []


def read(folder):
    """Files that can be read, and paths that cannot (a folder that cannot be listed is one path)."""
    files, unreadable = {}, set()
    folder = os.fsencode(folder)

    def failed(error):
        assert error.errno == errno.EIO, error
        unreadable.add(os.path.relpath(os.fsencode(error.filename), folder))

    for base, _, names in os.walk(folder, onerror=failed):
        for name in names:
            path = os.path.join(base, name)
            try:
                with open(path, "rb") as file:
                    files[os.path.relpath(path, folder)] = (
                        file.read(), bool(os.fstat(file.fileno()).st_mode & 0o100))
            except OSError as error:
                failed(error)
    return files, unreadable


class Polled(Operations):
    options = "watch=poll"


class Followed(Operations):
    """The view of a branch, HEAD, against a clean checkout of it."""

    options = "rev=HEAD"

    def expected(self):
        clean = self.folder / "clean"
        shutil.rmtree(clean, ignore_errors=True)
        return self.repo.checkout(clean, "HEAD")

    @invariant()
    def head_is_the_same(self):
        assert os.readlink(self.mnt / "HEAD") == "commits/" + self.repo.git(
            "rev-parse", "HEAD").decode().strip()


@pytest.mark.parametrize("machine, share", [(Operations, 0.75), (Polled, 0.1), (Followed, 0.15)])
def test_every_operation_is_seen_at_once(fuse, machine, share):
    print(f"ADDONFS_SEED={SEED}")
    examples = max(1, int(OPERATIONS * share / STEPS))
    phases = [Phase.generate, *([Phase.shrink] if os.environ.get("ADDONFS_SHRINK") else [])]
    limits = settings(max_examples=examples, stateful_step_count=STEPS, deadline=None, database=None,
                      phases=phases, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(seed(SEED)(machine), settings=limits)
