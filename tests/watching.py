"""Which files somebody reads, as the kernel tells it, and holding up those who do."""

import ctypes
import os
import select
import struct
import threading

libc = ctypes.CDLL(None, use_errno=True)

IN_ACCESS, IN_ISDIR, IN_NONBLOCK = 0x1, 0x40000000, os.O_NONBLOCK
FAN_CLASS_CONTENT, FAN_CLOEXEC = 0x4, 0x1
FAN_MARK_ADD, FAN_ACCESS_PERM, FAN_ALLOW = 0x1, 0x20000, 0x1
AT_FDCWD = -100


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


class Reads:
    """The files below a folder that are read (inotify(7)); folders that are listed do not count."""

    def __init__(self, root):
        self.fd = checked(libc.inotify_init1(IN_NONBLOCK))
        self.folders = {}
        for base, names, _ in os.walk(os.fsencode(root)):
            names[:] = [name for name in names if name != b".git"]
            self.folders[checked(libc.inotify_add_watch(self.fd, base, IN_ACCESS))] = \
                os.path.relpath(base, os.fsencode(root))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    def take(self):
        """The paths that were read since the last time."""
        found = set()
        while True:
            try:
                data = os.read(self.fd, 1 << 16)
            except BlockingIOError:
                return found
            while data:
                watch, mask, _, length = struct.unpack_from("iIII", data)
                name = data[16:16 + length].rstrip(b"\0")
                data = data[16 + length:]
                if not mask & IN_ISDIR:
                    found.add(os.fsdecode(os.path.normpath(os.path.join(self.folders[watch], name))))


class HeldUp:
    """
    Whoever reads one of these files waits until `let_go` (fanotify(7); for root).

        with HeldUp(path) as held:
            …                       # somebody begins to read
            held.await_reader()
            …                       # and goes on waiting
            held.let_go()
    """

    def __init__(self, *paths):
        self.fd = checked(libc.fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, os.O_RDONLY))
        for path in paths:
            checked(libc.fanotify_mark(self.fd, FAN_MARK_ADD, ctypes.c_uint64(FAN_ACCESS_PERM), AT_FDCWD,
                                       os.fsencode(path)))
        self.waiting = []
        self.thread = None
        self.end, self.ended = os.pipe()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.let_go()
        os.close(self.end)
        self.thread.join()
        os.close(self.fd)  # the kernel lets go of everybody who still waits
        os.close(self.ended)

    def receive(self):
        data = os.read(self.fd, 4096)
        while data:
            length, _, _, _, _, event, _ = struct.unpack_from("=IBBHQii", data)
            data = data[length:]
            self.waiting.append(event)

    def await_reader(self, timeout=120):
        """Wait until somebody wants to read one of them."""
        if not self.waiting:
            assert select.select([self.fd], [], [], timeout)[0], "nobody reads it"
            self.receive()

    def answer(self):
        for event in self.waiting:
            os.write(self.fd, struct.pack("=iI", event, FAN_ALLOW))
            os.close(event)
        self.waiting = []

    def let_go(self):
        """From now on nobody waits."""
        def go_on():
            self.answer()
            while self.ended not in select.select([self.fd, self.ended], [], [])[0]:
                self.receive()
                self.answer()

        if not self.thread:
            self.thread = threading.Thread(target=go_on)
            self.thread.start()
