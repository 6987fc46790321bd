import ctypes
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from mounting import ADDONFS, mounted  # noqa: E402
from repository import Repository  # noqa: E402

REQUIRED = os.environ.get("ADDONFS_REQUIRE_FUSE") == "1"


def need(condition, what):
    """A missing need is a visible skip; where everything must run, it is a failure."""
    if not condition:
        if REQUIRED:
            pytest.fail(f"needed here: {what}")
        pytest.skip(what)


CLONE_NEWNS = 0x20000
MS_REC, MS_PRIVATE = 0x4000, 0x40000


def pytest_configure(config):
    """
    Each of several workers has its mounts for itself: `addonfs umount` tells of whoever else holds a mount, as
    would a namespace that a test makes beside it.
    """
    # In the background of a shell these are ignored, and whoever is started by us would ignore them, too.
    for number in (signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    if hasattr(config, "workerinput") and os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNS) or libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None):
            raise OSError(ctypes.get_errno(), "a mount namespace of its own")


def pytest_runtest_setup(item):
    """No test finds what another one has put into the cache."""
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="addonfs-cache-")


def pytest_runtest_teardown(item):
    # A test that its marks skip was not set up.
    if folder := os.environ.pop("XDG_CACHE_HOME", None):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def program():
    need(ADDONFS and os.access(ADDONFS, os.X_OK), "the program (make; environment variable ADDONFS)")
    return ADDONFS


@pytest.fixture(scope="session")
def fuse(program):
    need(os.path.exists("/dev/fuse"), "/dev/fuse")
    need(os.geteuid() == 0 or os.access("/dev/fuse", os.W_OK), "the right to open /dev/fuse")
    return program


@pytest.fixture
def root_user():
    need(os.geteuid() == 0, "root, to act as several users")


@pytest.fixture
def folder(tmp_path):
    """A folder that other users can reach."""
    for path in [tmp_path, *tmp_path.parents]:
        if path == Path("/tmp") or path == Path("/"):
            break
        try:
            os.chmod(path, 0o755)
        except PermissionError:
            break
    return tmp_path


@pytest.fixture
def binary(program, folder):
    """The program where every user may run it."""
    shutil.copy(program, folder / "addonfs")
    os.chmod(folder / "addonfs", 0o755)
    return folder / "addonfs"


@pytest.fixture
def repo(folder):
    return Repository(folder / "source")


@pytest.fixture
def mount(fuse, repo, folder):
    """The worktree of `repo`, mounted."""
    with mounted(repo.path, folder / "mnt") as place:
        yield place
