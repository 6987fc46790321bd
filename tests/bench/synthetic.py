"""Repositories to measure on: the same bytes everywhere, made from nothing but a seed.

The one that `make bench` takes without REPO has the shape of OpenPype's tree: about 3,300 files in
530 folders, 60 MB; most files are Python of a few kilobytes, and half of the bytes are in a few
fonts, images and programs. Zipped it is half as large.
"""

import random

from repository import Repository

BLOCK = 4096
POOL = 1 << 20

# Files of a kind: how many, their median size and how far sizes spread around it (the sigma of a
# log-normal distribution), the share of bytes that do not compress, and the end of their names.
KINDS = [
    (2540, 3200, 1.3, 0.0, ".py"),
    (500, 2500, 1.6, 0.0, ".json"),
    (190, 5000, 1.3, 0.75, ".png"),
    (70, 260000, 0.6, 0.35, ".ttf"),
    (2, 5000000, 0.0, 0.5, ".dll"),
]
FOLDERS = 530


class Bytes:
    """Bytes that compress as source code does, mixed with such that do not compress."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        words = [
            "".join(self.random.choices("etaoinsrhldcumfpgwybvk_", k=self.random.randint(2, 11)))
            for _ in range(1500)
        ]
        text, marks = [], [" ", " ", ".", "(", "):\n        ", " = ", ", ", "\n    "]
        weights = [1 / (n + 2) for n in range(len(words))]
        for word in self.random.choices(words, weights, k=POOL // 7):
            text += word, self.random.choice(marks)
        self.text = "".join(text).encode()

    def block(self, size, noise):
        if self.random.random() < noise:
            return self.random.randbytes(size)
        at = self.random.randrange(len(self.text) - size)
        return self.text[at : at + size]

    def make(self, size, noise=0.0, block=BLOCK):
        return b"".join(
            self.block(min(block, size - at), noise) for at in range(0, size, block)
        )


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def begin(root):
    """A repository with everything of an addon but the client's files."""
    repository = Repository(root, files={})
    for name, text in {
        ".gitattributes": "* text=auto\n*.bat text eol=crlf\n",
        "openpype/version.py": '"""Version."""\n__version__ = "1.0.0"\n',
        "server_addon/server/__init__.py": "class Addon:\n    pass\n",
        "server_addon/client/pyproject.toml": "[project]\n",
    }.items():
        write(repository.path / name, text.encode())
    return repository


def folders(root, count, chance):
    """`count` folders, each in one of those before it."""
    found = [(root, 1)]
    for n in range(count):
        above, depth = chance.choice([place for place in found if place[1] < 7])
        found.append((above / f"folder{n:03}", depth + 1))
    return [folder for folder, _ in found]


def seed_tree(root):
    """The repository to measure on if there is no other."""
    repository, data = begin(root), Bytes(1)
    places = folders(repository.path / "openpype", FOLDERS, data.random)
    for count, median, sigma, noise, end in KINDS:
        for n in range(count):
            size = min(int(data.random.lognormvariate(0, sigma) * median), 5000000)
            write(data.random.choice(places) / f"file{n:04}{end}", data.make(size, noise))
    for n in range(20):
        write(repository.path / f"server_addon/server/settings/s{n:02}.py", data.make(2000))
    repository.commit("A synthetic addon")


def equal_files(root, count, size, block):
    """`count` files of one size, fifty in a folder; not committed, for the worktree is shown."""
    repository, data = begin(root), Bytes(2)
    for n in range(count):
        place = repository.path / "openpype" / f"folder{n // 50:04}" / f"file{n:06}.py"
        write(place, b"# %d\n" % n + data.make(size, block=block))


def many_folders(root, count):
    """`count` folders, each with a file; not committed."""
    repository = begin(root)
    for n in range(count):
        write(repository.path / "openpype" / f"folder{n // 100:03}" / f"below{n:06}" / "file.py", b"")
