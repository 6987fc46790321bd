"""Acting as other users, and in mount namespaces of one's own. For root."""

import os
import pwd
import subprocess
import textwrap

from mounting import ADDONFS
from repository import ENVIRONMENT

USER = pwd.getpwnam("nobody")
OTHER = pwd.getpwnam("daemon")


def own(path, user=USER):
    """Give everything at and below `path` to the user."""
    for base, folders, files in os.walk(path):
        for name in [base, *(os.path.join(base, n) for n in folders + files)]:
            os.chown(name, user.pw_uid, user.pw_gid, follow_symlinks=False)


def as_user(script, *arguments, user=USER, conf="", device="666", before="", **environment):
    """Run a shell script as a plain user, in a mount namespace whose /dev/fuse such a user may open.

    `before` is run as root there.
    """
    # The user namespace is not new, so fusermount3 is set-uid root as on any host.
    setup = textwrap.dedent(f"""
        set -e
        mkdir -p "$1"; mount -t tmpfs none "$1"; mknod -m {device} "$1/fuse" c 10 229
        touch "$1/fuse.conf"; echo '{conf}' > "$1/fuse.conf"
        mount --bind "$1/fuse" /dev/fuse
        test ! -e /etc/fuse.conf || mount --bind "$1/fuse.conf" /etc/fuse.conf
        {before}
        shift
        exec setpriv --reuid={user.pw_uid} --regid={user.pw_gid} --clear-groups \\
            env HOME=/nonexistent "$@"
    """)
    namespace = arguments[0].parent / "namespace"
    return subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", setup, "sh", namespace,
         *(f"{name}={value}" for name, value in environment.items()),
         "sh", "-ec", script, "sh", *arguments],
        capture_output=True, text=True, timeout=120, env={**os.environ, **ENVIRONMENT})


def in_namespace(script, *arguments):
    """Run a shell script in a mount namespace of its own; $0 is addonfs."""
    return subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-ec", script, ADDONFS,
                           *map(os.fspath, arguments)], capture_output=True, text=True, timeout=120,
                          env={**os.environ, **ENVIRONMENT})
