"""What the tests need: a missing need is a visible skip, and a failure where everything must run."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TEST = "test_folders.py::test_another_version_moves_a_name_in_the_addons_folder"

# A /dev without the FUSE device, for one process and those that it starts.
HIDE = '''
    mount -t tmpfs none "$1"
    for device in null zero random urandom; do
        touch "$1/$device"; mount --bind "/dev/$device" "$1/$device"
    done
    mount --rbind "$1" /dev
    shift
    exec "$@"
'''


def run_tests(folder, *, required, hide=False, **environment):
    place = Path(tempfile.mkdtemp(dir=folder))
    # With a folder for temporary files of its own: it must not clear up those of the run it is part of.
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs",
               f"--basetemp={place}/tmp", HERE / TEST]
    if hide:
        (place / "dev").mkdir()
        command = ["unshare", "-m", "--propagation", "private", "sh", "-ec", HIDE, "sh", place / "dev",
                   *command]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={
        **os.environ, "PYTHONDONTWRITEBYTECODE": "1", "ADDONFS_REQUIRE_FUSE": "1" if required else "",
        **environment})


@pytest.mark.usefixtures("root_user", "fuse")
def test_without_dev_fuse_what_mounts_is_skipped_and_says_so(folder):
    result = run_tests(folder, required=False, hide=True)
    assert result.returncode == 0, result.stdout
    assert re.search(r"SKIPPED.*/dev/fuse", result.stdout) and "1 skipped" in result.stdout


@pytest.mark.usefixtures("root_user", "fuse")
def test_where_everything_must_run_it_is_a_failure(folder):
    result = run_tests(folder, required=True, hide=True)
    assert result.returncode == 1, result.stdout
    assert "needed here: /dev/fuse" in result.stdout and "skipped" not in result.stdout


@pytest.mark.usefixtures("fuse")
@pytest.mark.parametrize("required", [False, True])
def test_with_dev_fuse_it_runs(folder, required):
    result = run_tests(folder, required=required)
    assert result.returncode == 0 and "1 passed" in result.stdout, result.stdout


def test_without_the_program_it_is_the_same(folder):
    for required, code, words in ((False, 0, "1 skipped"), (True, 1, "needed here: the program")):
        result = run_tests(folder, required=required, ADDONFS=str(folder / "absent"))
        assert result.returncode == code and words in result.stdout, result.stdout


def test_in_ci_everything_must_run():
    script = (HERE.parents[1] / ".ci/run").read_text()
    assert re.search(r"^export\b.*\bADDONFS_REQUIRE_FUSE=1\b", script, re.MULTILINE)
