"""
Attributes that change bytes (gitattributes(5)): a revision's files have those of a checkout by Git itself. What Git
cannot encode it tells of, and leaves in UTF-8; we fail to open it.
"""

import errno
import os
import random
import re
import secrets
import shutil
import subprocess

import pytest

from mounting import errors, mounted, package, run
from repository import ENVIRONMENT

SEED = int(os.environ.get("ADDONFS_SEED", secrets.randbelow(1 << 32)))
SERVER = "server_addon/server/"

ENCODINGS = {
    "UTF-16", "UTF-16BE", "UTF-16LE", "UTF-16LE-BOM", "UTF-16BE-BOM", "utf16le-bom", "UTF-32", "UTF-32LE", "utf-8", "UTF8",
    "latin-1", "ISO-8859-1", "CP1252", "SHIFT-JIS", "ISO-2022-JP", "UTF-7", "KOI8-R", "no-such-encoding",
}
OTHERS = ["", "text eol=crlf", "text=auto eol=crlf", "ident", "text=auto ident eol=crlf"]
TEXTS = ["one\ntwo $Id$\n", "Grüße, $Id$ 5 €\nzwei\n", "日本\n語", "\U0001f600\r\n", "", "\ufeffmark\n", b"\xff\xfe no UTF-8\n"]


def checkout(repo, path):
    """A clean one, and what Git could not encode in it."""
    result = subprocess.run(["git", "clone", "-q", repo.path, path], capture_output=True, check=True,
                            env={**os.environ, **ENVIRONMENT}, timeout=120)
    return path, set(re.findall("failed to encode '(.*?)' from", result.stderr.decode()))


def commit(repo, files, attributes, mode="100644"):
    """Files as they are, under attributes with which `git add` would refuse some of them."""
    repo.write({**files, ".gitattributes": ""})
    repo.commit()
    data = attributes if isinstance(attributes, bytes) else attributes.encode()
    blob = repo.git("hash-object", "-w", "--stdin", data=data).decode().strip()
    entries = [line for line in repo.git("ls-tree", "-z", "HEAD").split(b"\0") if not line.endswith(b"\t.gitattributes")]
    tree = repo.git("mktree", "-z", data=b"\0".join([f"{mode} blob {blob}\t.gitattributes".encode(), *entries]))
    made = repo.git("commit-tree", "-p", "HEAD", "-m", "attributes", tree.decode().strip())
    repo.git("update-ref", "HEAD", made.decode().strip())


def differences(clean, failed, names, place):
    """Between a checkout and a package, whose server folder `names` are in."""
    for name in names:
        shown = place / name.removeprefix(SERVER)
        if name in failed:
            # In an export there is nothing; a mount lists it.
            assert not shown.exists() or refuses_to_open(shown), name
        elif shown.read_bytes() != (clean / name).read_bytes():
            yield name, (clean / name).read_bytes(), shown.read_bytes()


def refuses_to_open(path):
    with pytest.raises(OSError) as failure:
        path.read_bytes()
    return failure.value.errno == errno.EIO


def exported(repo, folder, *options):
    result = run("export", repo.path, folder / "out", "-o", ",".join(["rev=main", "problems=skip", *options]))
    assert result.returncode == 0, result.stderr
    return folder / "out/openpype/3.15.12"


def test_every_encoding_gives_the_bytes_of_a_checkout_or_an_error(repo, folder, fuse):
    files, attributes = {}, []
    for encoding in sorted(ENCODINGS):
        for other in OTHERS:
            for text in TEXTS:
                name = f"{SERVER}e/{len(files)}.txt"
                files[name] = text
                attributes.append(f"/{name} {other} working-tree-encoding={encoding}\n")
    commit(repo, files, "".join(attributes))
    clean, failed = checkout(repo, folder / "clean")
    assert 0 < len(failed) < len(files) / 2
    head = repo.git("rev-parse", "HEAD").decode().strip()
    with mounted(repo.path, folder / "mnt", "rev=main,version=git") as mnt:
        for tree in (mnt, mnt / "commits" / head):
            [version] = (tree / "package/openpype").iterdir()
            assert list(differences(clean, failed, files, version)) == []
        told = {problem["path"]: problem["reason"] for problem in errors(mnt)}
        assert set(told) == failed
        assert all("working-tree-encoding=" in reason for reason in told.values())
    assert list(differences(clean, failed, files, exported(repo, folder))) == []


PIECES = ["one", "\n", "\r\n", "\r", "$Id$", "$Id: 0123456789012345678901234567890123456789 $", "$Id: theirs,v 1.2 $",
          "$Id: one $", "$Id:$", "$Id: $", "$Id:\t1\t$", "$Id:x y$", "$Id: a\n$", "$Id", "$Idx", "$Id\0", "$", "\0", "ä", "\x1b", "\1", "\x7f", "日本",
          "\ufeff", " ", "\x1a", "text " * 40]
VALUES = [["text", "-text", "text=auto", "text=input", "text=other"], ["eol=lf", "eol=crlf", "-eol", "eol=other"],
          ["ident", "ident", "-ident", "ident=yes"], ["crlf", "-crlf", "crlf=input", "crlf=auto"],
          ["working-tree-encoding=" + encoding for encoding in ("UTF-16", "UTF-16LE-BOM", "latin-1", "UTF8", "UTF-7")]]


def test_any_attributes_over_any_text_give_the_bytes_of_a_checkout_or_an_error(repo, folder, program):
    print("ADDONFS_SEED =", SEED)
    chance = random.Random(SEED)
    files, attributes = {}, []
    for number in range(1500):
        name = f"{SERVER}r/{number}.txt"
        few = chance.sample(PIECES, chance.randrange(1, len(PIECES)))
        files[name] = "".join(chance.choice(few) for _ in range(chance.choice([1, 3, 6, 12])))
        kinds = chance.sample(VALUES, chance.randrange(1, len(VALUES) + 1))
        attributes.append(" ".join(["/" + name, *map(chance.choice, kinds)]) + "\n")
    commit(repo, files, "".join(attributes))
    clean, failed = checkout(repo, folder / "clean")
    assert sum((clean / name).read_bytes() != text.encode() for name, text in files.items()) > len(files) / 4
    assert list(differences(clean, failed, files, exported(repo, folder, "cache=none"))) == []


def test_an_encoding_without_a_name_is_an_error_as_in_git(repo, folder, fuse):
    name = SERVER + "settings/main.py"
    commit(repo, {}, f"{name} working-tree-encoding\n")
    result = subprocess.run(["git", "clone", "-q", repo.path, folder / "clean"], capture_output=True,
                            env={**os.environ, **ENVIRONMENT})
    assert result.returncode != 0 and b"working-tree-encoding" in result.stderr
    with mounted(repo.path, folder / "mnt", "rev=main") as mnt:
        assert refuses_to_open(package(mnt) / "settings/main.py")
        assert {problem["path"] for problem in errors(mnt)} == {name}
        assert (package(mnt) / "__init__.py").read_bytes() == (repo.path / SERVER / "__init__.py").read_bytes()


def test_macros_count_at_the_root_of_a_commit_and_nowhere_else(repo, folder, fuse):
    """gitattributes(5): [attr] may stand there and in info/attributes; the latter is no commit's."""
    text = "one $Id$\ntwo\n"
    files = {SERVER + name: text for name in ("m/dos.txt", "m/both.txt", "m/plain.txt", "m/deep/theirs.txt", "m/data.bin")}
    commit(repo, {**files, SERVER + "m/deep/.gitattributes": "[attr]deep eol=crlf\n*.txt deep\n"},
           "[attr]dos text eol=crlf\n[attr]both dos ident\ndos.txt dos\nboth.txt both\ntheirs.txt theirs\n*.bin binary\n")
    clean, failed = checkout(repo, folder / "clean")
    assert not failed
    assert {name for name in files if (clean / name).read_bytes() != text.encode()} == {SERVER + "m/dos.txt", SERVER + "m/both.txt"}
    info = repo.path / ".git/info"
    info.mkdir(exist_ok=True)
    (info / "attributes").write_text("[attr]theirs text eol=crlf\n[attr]dos -text\n[attr]binary eol=crlf\n*.txt ident\n")
    shutil.rmtree(repo.path / SERVER / "m")
    repo.git("reset", "-q", "--hard")
    assert b"\r\n" in (repo.path / SERVER / "m/deep/theirs.txt").read_bytes()
    with mounted(repo.path, folder / "mnt", "rev=main") as mnt:
        assert list(differences(clean, failed, files, package(mnt))) == []
    with mounted(repo.path, folder / "mnt") as mnt:
        # What lies on the disk, and beside it the commit.
        assert list(differences(repo.path, failed, files, package(mnt))) == []
        assert list(differences(clean, failed, files, package(mnt / "HEAD"))) == []


def converted(clean, files):
    """What a checkout did not leave as it is in the commit."""
    return {name.removeprefix(SERVER) for name, text in files.items() if (clean / name).read_bytes() != text.encode()}


TEXT = "one $Id$\ntwo\n"


@pytest.mark.parametrize("attributes, names, expected", [
    (b'"a b.txt" text eol=crlf\n"\\303\\244.txt" text eol=crlf\n"c\\q" eol=crlf\n"d" eol=crlf\n',
     ["a b.txt", "\u00e4.txt", "c", "d"], {"a b.txt", "\u00e4.txt", "d"}),
    (b'!a text eol=crlf\n"!b" eol=crlf\n\\!c eol=crlf\nd eol=crlf -x=1 y@\ne eol=crlf\n', ["!a", "a", "!b", "b", "!c", "d", "e"], {"!c", "e"}),
    (b"* text eol=crlf\na binary\nb -binary\nc !binary\nd binary=x\ne text binary\nf binary text\n", [*"abcdefg"], {*"bcdfg"}),
    (b"\xef\xbb\xbfa eol=crlf\nb eol=crlf\r\nc eol=crlf" + b" " * 2040 + b"\nd eol=crlf\n\0e eol=crlf\n", [*"abcde"], {*"bd"}),
    (SERVER.encode() + b"w/**/a eol=crlf\nw*/b eol=crlf\n**/w/[^c-d] ident\n/" + SERVER.encode() + b"w** -ident\n",
     ["w/a", "w/x/a", "w/b", "w/x/y/a", "w/c", "w/e", "x/w/e", "x/w/d"], {"w/a", "w/x/a", "w/x/y/a", "x/w/e"}),
])
def test_lines_mean_what_they_mean_to_git(repo, folder, program, attributes, names, expected):
    files = {SERVER + name: TEXT for name in names}
    commit(repo, files, attributes)
    clean, failed = checkout(repo, folder / "clean")
    assert not failed and converted(clean, files) == expected
    assert list(differences(clean, failed, files, exported(repo, folder, "cache=none"))) == []


def test_of_a_link_the_text_counts_as_in_a_checkout(repo, folder, program):
    """Git reads the index, and there the blob, whatever its mode is."""
    files = {SERVER + "a.txt": TEXT}
    commit(repo, files, "*.txt text eol=crlf", "120000")
    clean, failed = checkout(repo, folder / "clean")
    assert (clean / ".gitattributes").is_symlink() and converted(clean, files) == {"a.txt"}
    assert list(differences(clean, failed, files, exported(repo, folder, "cache=none"))) == []


FOLDERS = ["", "s", "s/t", "s/t/u", "v", "v/s"]
PATTERNS = ["*", "a", "*.txt", "s", "s/", "s/*", "s/**", "**/a", "/a", "/s/a", "t/**/a*", "*/a.txt", "[ab]*", "u/[!b]*", "\"a b\"", "**"]
WORDS = ["text", "-text", "!text", "eol=crlf", "eol=lf", "ident", "-ident", "!ident", "crlf", "-crlf", "text=auto", "binary", "-binary", "m", "-m",
         "n", "binary=1"]


def test_any_attributes_in_any_folders_give_the_bytes_of_a_checkout(repo, folder, program):
    print("ADDONFS_SEED =", SEED)
    chance = random.Random(SEED)
    for number in range(6):
        top = f"{SERVER}r{number}/"
        names = [f"{top}{place}/{name}".replace("//", "/") for place in FOLDERS for name in ("a", "b", "a.txt", "b.txt", "a b")]
        files = {name: TEXT for name in names}
        folders = {}
        for place in chance.sample(FOLDERS, 3):
            lines = [f"{chance.choice(PATTERNS)} {' '.join(chance.sample(WORDS, chance.choice([1, 1, 2, 3])))}" for _ in range(4)]
            folders[f"{top}{place}/.gitattributes".replace("//", "/")] = "\n".join(lines) + "\n[attr]n eol=crlf\n"
        commit(repo, {**files, **folders}, "[attr]m text eol=crlf\n*.txt ident\n[attr]n ident\n")
        clean, failed = checkout(repo, folder / f"clean{number}")
        assert not failed and converted(clean, files)
        assert list(differences(clean, failed, files, exported(repo, folder, "cache=none"))) == []
        shutil.rmtree(folder / "out")


@pytest.mark.parametrize("size, expected", [(12 << 20, {"a"}), (100 << 20, set())])
def test_a_large_file_counts_as_in_git(repo, folder, program, size, expected):
    files = {SERVER + "a": TEXT, SERVER + "b": TEXT}
    line = b"a eol=crlf\n"
    commit(repo, files, b"# nothing\n" * (size // 10) + line)
    clean, failed = checkout(repo, folder / "clean")
    assert not failed and converted(clean, files) == expected
    assert list(differences(clean, failed, files, exported(repo, folder, "cache=none"))) == []


def test_a_file_that_git_reads_and_we_do_not_is_told(repo, folder, fuse):
    repo.write({SERVER + "b/a": "a\n", SERVER + "b/.gitattributes": "# nothing\n" * ((17 << 20) // 10)})
    repo.commit()
    with mounted(repo.path, folder / "mnt", "rev=main") as mnt:
        assert refuses_to_open(package(mnt) / "b/a")
        [problem] = errors(mnt)
        assert problem["path"] == SERVER + "b/a" and SERVER + "b/.gitattributes is too large" in problem["reason"]
        assert (package(mnt) / "__init__.py").read_bytes() == (repo.path / SERVER / "__init__.py").read_bytes()


def test_files_that_are_too_large_together_are_told(repo, folder, fuse):
    """They are a few kilobytes in a pack, and gigabytes where all are read at once."""
    below = [SERVER + "b/" * depth for depth in (1, 2, 3)]
    for number, name in enumerate(below):
        rules = (f"# {number}\n" + "q a\n" * ((15 << 20) // 4)).encode()
        repo.write({name + ".gitattributes": rules, name + "a": "a\n"})
    repo.commit()
    with mounted(repo.path, folder / "mnt", "rev=main") as mnt:
        assert (package(mnt) / "b/a").read_bytes() == b"a\n"
        assert refuses_to_open(package(mnt) / "b/b/b/a")
        assert any(
            problem["path"] == below[2] + "a" and "are too large together: shorten them" in problem["reason"]
            for problem in errors(mnt)
        )
