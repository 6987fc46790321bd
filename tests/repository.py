"""Git repositories that tests make for themselves, OpenPype-shaped (layout a)."""

import os
import stat
import subprocess
from pathlib import Path

ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_AUTHOR_NAME": "Author",
    "GIT_AUTHOR_EMAIL": "author@example.com",
    "GIT_AUTHOR_DATE": "2023-07-01T12:00:00Z",
    "GIT_COMMITTER_NAME": "Author",
    "GIT_COMMITTER_EMAIL": "author@example.com",
    "GIT_COMMITTER_DATE": "2023-07-01T12:00:00Z",
}


class Link(str):
    """A symbolic link to this target."""


class Exec(bytes):
    """The content of an executable file."""


class Special:
    """What is neither a file nor a folder nor a link; devices (here: /dev/null's number) are for root to make."""

    def __init__(self, kind):
        self.kind = kind


class Fifo(Special):
    """A FIFO."""

    def __init__(self):
        super().__init__(stat.S_IFIFO)


BASE = {
    "openpype/version.py": '# -*- coding: utf-8 -*-\n"""Version."""\n__version__ = "3.15.12"\n',
    "openpype/__init__.py": "",
    "openpype/lib/tools.py": "def tool():\n    return 1\n" * 50,
    "openpype/lib/run.sh": Exec(b"#!/bin/sh\nexit 0\n"),
    "openpype/lib/__pycache__/tools.cpython-39.pyc": b"\0\1",
    "openpype/.hidden": "no",
    "openpype/.dir/file": "no",
    "openpype/start.bat": "@echo off\necho one\n",
    "openpype/img/blob.bin": bytes(range(256)) * 40,
    "server_addon/server/__init__.py": "class Addon:\n    pass\n",
    "server_addon/server/.dot": "taken",
    "server_addon/server/old.pyc": b"taken too",
    "server_addon/server/settings/main.py": "x = 1\n",
    "server_addon/server/settings/.dropped": "no",
    "server_addon/client/pyproject.toml": "[project]\n",
    ".gitattributes": "* text=auto\n*.bat text eol=crlf\n*.bin -text\n",
}


def write(root, files):
    """Make what `files` says (path -> content) below `root`."""
    for name, content in files.items():
        path = os.path.join(os.fsencode(root), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.lexists(path):
            os.unlink(path)
        if isinstance(content, Link):
            os.symlink(os.fsencode(content), path)
        elif isinstance(content, Special):
            os.mknod(path, content.kind | 0o644, os.makedev(1, 3))
        else:
            data = content.encode() if isinstance(content, str) else bytes(content)
            with open(path, "wb") as file:
                file.write(data)
            os.chmod(path, 0o755 if isinstance(content, Exec) else 0o644)


class Repository:
    def __init__(self, path, files=None, bare=False):
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        os.chmod(self.path, 0o755)
        self.git("init", "-q", "-b", "main", *(["--bare"] if bare else []))
        if not bare:
            self.write(BASE if files is None else files)
            self.commit("first")

    def git(self, *arguments, check=True, data=None):
        return subprocess.run(
            ["git", "-C", str(self.path), *arguments],
            check=check,
            capture_output=True,
            input=data,
            env={**os.environ, **ENVIRONMENT},
            timeout=120,
        ).stdout

    def write(self, files):
        write(self.path, files)

    def commit(self, message="change"):
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message, "--allow-empty")
        return self.git("rev-parse", "HEAD").decode().strip()

    def checkout(self, path, revision="HEAD"):
        """A clean checkout with default settings, somewhere else: the oracle's source for a revision."""
        subprocess.run(
            ["git", "clone", "-q", "--no-hardlinks", str(self.path), str(path)],
            check=True, capture_output=True, env={**os.environ, **ENVIRONMENT}, timeout=120,
        )
        subprocess.run(
            ["git", "-C", str(path), "-c", "advice.detachedHead=false", "checkout", "-q", revision],
            check=True, capture_output=True, env={**os.environ, **ENVIRONMENT}, timeout=120,
        )
        return Path(path)
