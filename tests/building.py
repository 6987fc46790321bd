"""make in the source tree, with the program under test: nothing is built again for it."""

import os
import shutil
import subprocess
from pathlib import Path

from conftest import need
from mounting import TIMEOUT
from repository import ENVIRONMENT

TOP = Path(__file__).resolve().parents[1]


class Make:
    """make in the source tree, on a copy of the build, so that the demo is mounted there."""

    def __init__(self, original, build):
        self.build = build
        build.mkdir()
        for name in ("flags", "sources", "libaddonfs.a", "addonfs"):
            shutil.copy2(original / name, build / name)
        shutil.copytree(original / "obj", build / "obj")
        flags = (build / "flags").stat().st_mtime_ns
        self(f"{build}/flags")
        need((build / "flags").stat().st_mtime_ns == flags, "a build with the flags that make has now")

    def __call__(self, *arguments, code=0, **variables):
        # Not what the make that started us was told to do; its variables are in the environment.
        environment = {name: value for name, value in os.environ.items()
                       if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "BUILD", "REPO", "MNT")}
        result = subprocess.run(
            ["make", *map(str, arguments), f"BUILD={self.build}",
             *(f"{name}={value}" for name, value in variables.items())],
            cwd=TOP, env={**environment, **ENVIRONMENT}, capture_output=True, text=True, timeout=TIMEOUT)
        assert (result.returncode != 0) == code, result.stderr
        return result.stderr if code else result.stdout

    def run(self, **variables):
        def program():
            found = (self.build / "addonfs").stat()
            return found.st_ino, found.st_size, found.st_mtime_ns

        before = program()
        output = self("run", **variables)
        assert program() == before, output
        assert "  CC" not in output and "LINK" not in output
        return output
