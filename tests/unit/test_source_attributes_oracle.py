"""source_attributes against git check-attr --cached: what any files of .gitattributes say of any path."""

import os
import random
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from repository import ENVIRONMENT  # noqa: E402

PROGRAM = os.environ.get("ADDONFS_SOURCE_ATTRIBUTES_CLI")
SEED = int(os.environ.get("ADDONFS_SEED", secrets.randbelow(1 << 32)))
ROUNDS = int(os.environ.get("ADDONFS_ROUNDS", 60))
OURS = ["text", "crlf", "eol", "ident", "working-tree-encoding"]


@pytest.fixture(autouse=True)
def program():
    if not PROGRAM:
        pytest.skip("source_attributes_cli (environment variable ADDONFS_SOURCE_ATTRIBUTES_CLI)")


@pytest.fixture
def index(tmp_path):
    """A repository in whose index to put things, so that what Git says is of nothing else."""
    def git(*arguments, data=None):
        return subprocess.run(["git", "-C", tmp_path, *arguments], input=data, check=True, capture_output=True,
                              env={**os.environ, **ENVIRONMENT, "GIT_ATTR_NOSYSTEM": "1"}, timeout=60).stdout
    git("init", "-q")
    return git


def of_git(index, files, paths):
    index("read-tree", "--empty")
    entries = []
    for folder, text in files.items():
        blob = index("hash-object", "-w", "--stdin", data=text).decode().strip()
        entries.append(f"100644 {blob}\t{folder}{'/' if folder else ''}.gitattributes\0".encode())
    index("update-index", "-z", "--index-info", data=b"".join(entries))
    said = index("check-attr", "--cached", "-z", "--stdin", *OURS, data=b"".join(path + b"\0" for path in paths))
    values = said.split(b"\0")[2:-1:3]
    return [values[i:i + len(OURS)] for i in range(0, len(values), len(OURS))]


def of_us(files, paths):
    nearest = sorted(files.items(), key=lambda item: -len(item[0]))
    question = [b"%d\n" % len(files)]
    for folder, text in nearest:
        question.append(b"%d %s\n%s" % (len(text), folder.encode(), text))
    result = subprocess.run([PROGRAM], input=b"".join(question) + b"".join(path + b"\0" for path in paths),
                            check=True, capture_output=True, timeout=60)
    return [[value.removeprefix(b"=") for value in line.split(b"\t")] for line in result.stdout.split(b"\n")[:-1]]


def compare(index, files, paths):
    """What both say, of each path."""
    right = of_git(index, files, paths)
    for path, theirs, ours in zip(paths, right, of_us(files, paths), strict=True):
        assert ours == theirs, (path, files)
    return dict(zip(paths, right))


def lines_of(text, names):
    return {"": text}, [name.encode() if isinstance(name, str) else name for name in names]


@pytest.mark.parametrize("text, names, said", [
    # Quotes, with the escapes of C.
    (b'"a b" text\n"c\\040\\"d"text\n"\\303\\244"\tident\n"e\\q" text\n"f\\400" text\n"g\\000h" text\n"i" \n"j text\n"k\\n" text\n',
     ["a b", 'c "d', "ä", "eq", '"e\\q"', '"f\\400"', "g", "i", '"j', "k\n"], 6),
    # Patterns that Git passes over, and how to mean a `!`.
    (b'!a text\n"!b" text\n\\!c text\n"\\\\!d" text\n! text\n/!e text\n', ["a", "!a", "b", "!b", "!c", "!d", "!", "!e"], 3),
    # Macros: set, unset, given a value, in each other, in a circle, and not defined.
    (b"[attr]m text -ident !eol crlf=input\na m\nb -m\nc !m\nd m=1\ne m -text\nf text=auto m\ng m text=auto\n"
     b"[attr]n m\nh n\n[attr]o p text\n[attr]p o ident\ni o\n[attr]q -q text\nj q\nk r\n[attr] s text\n",
     "abcdefghijkst", 8),
    # The one that is built in.
    (b"a binary\nb -binary\nc !binary\nd binary=x\ne text binary\nf binary text\ng diff binary\n[attr]diff text\n", "abcdefg", 4),
    (b"[attr]binary eol=crlf\na binary\n[attr]m text\n[attr]m ident\nb m\n[attr]text eol=lf\nc text\nd -text\n", "abcd", 4),
    (b'"[attr]m x" text\na m\n"[attr] n" ident\nb n\n[attr]-o text\nc -o\n[attr]p=1 text\nd p=1\n[attr]binary\ne binary\n', "abcdemx", 2),
    # Names that are none, and what stands behind an attribute that is unset.
    (b"a text b@\nb text -\nc text --x\nd -text=auto\ne !text=auto\nf text =x\ng text= ident\nh text=a=b\ni text \xc3\xa4\n"
     b"j text x.y_z-9\nk text x=\xff@\nl text builtin_objectmode\n", "abcdefghijkl", 6),
    # The beginning, the ends of lines, what lines are separated by.
    (b"\xef\xbb\xbfa text\nb text\n", ["a", "b", "\ufeffa"], 2),
    (b"a text\r\nb eol=crlf\r\n\r\nc\rtext\r\n\rd text\n \t e\ttext", "abcde", 5),
    (b"a text\x0bident\nb\x0ctext\nc text\n", "abc", 1),
    (b"#a text\n \t#b text\n\\#c text\nd#d text\n", ["#a", "#b", "#c", "d#d"], 2),
    (b"a text\0 ident\nb text\n", "ab", 1),
    # Lines that are too long.
    *[(b"%sa text%s\nb text\n" % (start, b" " * (length - len(start) - 6)), "ab", 1 + (length < 2048))
      for length in (2047, 2048) for start in (b"", b"  ")],
    # Which of many counts.
    (b"a text\na -text\n* ident\na eol=lf eol=crlf\n*b text !text\n", ["a", "b", "x/a"], 3),
    # Patterns.
    (b"/a text\nb/c text\n//d text\n/ text\ne/ text\n*/f ident\nx/**/g eol=lf\n**/h eol=crlf\ni/** text\n",
     ["a", "x/a", "b/c", "x/b/c", "d", "e", "e/e", "f", "x/f", "x/y/f", "x/g", "x/y/z/g", "h", "x/h", "i", "i/j", "i/j/k"], 9),
    (b"a**b/c text\nd**/e ident\n/f** eol=lf\n/?g** text\nh/**\\/i text\n***/j text\nk/***/l text\n",
     ["aXb/c", "aX/b/c", "d/e", "dX/Y/e", "de", "f", "fX/Y", "xgX", "xgX/Y", "h/i", "h/x/i", "j", "x/y/j", "k/l", "k/x/l"], 12),
    (b"[]a] text\n[!]a] ident\n[a-] eol=lf\n[^b] crlf\n", "abcx]-^", 7),
    (b"[[:x] text\n[[:foo:]] ident\n[[:alpha:] crlf\n[z-a] eol=lf\n[a-c-e] working-tree-encoding=a\n", "abcefxz-:[", 9),
    (b"a\\\\b text\nc\\ text\n\\d text\n*\\ text\n[\\]x] ident\n[a\\-c] eol=lf\n[ ident\ne[ ident\n",
     ["a\\b", "c", "c\\", "d", "\\", "]", "x", "a", "b", "-", "[", "e["], 7),
    (b"a[/]b text\nc[!x]d text\ne?f text\ng*h text\n", ["a/b", "c/d", "e/f", "g/h", "gh"], 1),
])
def test_a_line_means_what_it_means_to_git(index, text, names, said):
    values = compare(index, *lines_of(text, names))
    assert sum(any(value != b"unspecified" for value in of) for of in values.values()) == said


@pytest.mark.parametrize("name", ["alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
                                  "upper", "xdigit", "word", ""])
def test_a_class_has_the_bytes_that_it_has_in_git(index, name):
    paths = [b"x" + bytes([byte]) for byte in range(1, 256) if byte != ord("/")]
    compare(index, {"": f"x[[:{name}:]] text\nx[![:{name}:]] ident\nx[_[:{name}:]-] eol=lf\n".encode()}, paths)


def test_files_in_folders_count_from_the_nearest_on(index):
    files = {
        "": b"[attr]m text\n*.x m\n/a/b.x -text\n",
        "a": b"[attr]n ident\n*.x n\nb.x eol=lf\n/c/*.x crlf\n*/d.x ident\nc/e !text\n",
        "a/c": b"*.x eol=crlf\n/d.x !eol\ne binary\n",
        "ab": b"* m ident\n",
    }
    said = compare(index, files, [b"b.x", b"a/b.x", b"a/c/b.x", b"a/c/d.x", b"a/c/e", b"a/d.x", b"ab/x", b"a/c/c/c.x"])
    assert len(set(map(tuple, said.values()))) == 7


NAMES = ["a", "b", "ab", "aab", "abb", "foo", "foob", "x.y", "a b", "ä", "-", "]", "a*", "!a", "#a", "A1", "aaaaab", "\\", "a\\b"]
FOLDERS = ["", "a", "a/b", "ab", "a/b/ab", "x.y", "a/aab/foo/b"]
PATHS = [f"{folder}/{name}".removeprefix("/").encode() for folder in FOLDERS for name in NAMES]
PIECES = ["a", "b", "ab", "foo", "*", "**", "?", "/", "/", "**/", "/**/", "/**", "[ab]", "[!a]", "[^b]", "[a-c]", "[[:alpha:]]",
          "[[:foo:]]", "[[:x]", "[]a]", "[a", "\\*", "\\", "\\/", "x.y", "ä", "!", "#", "]", "-", "***", "[!/]", "*a*a",
          "[[:digit:][:upper:]]", "[\\]]", "\\a", " ", "[a-]"]
WORDS = ["text", "-text", "!text", "text=auto", "text=", "crlf", "-crlf", "crlf=input", "eol=lf", "eol=crlf", "-eol", "!eol",
         "ident", "-ident", "ident=1", "working-tree-encoding=UTF-16", "working-tree-encoding=", "-working-tree-encoding",
         "binary", "-binary", "!binary", "binary=x", "m", "-m", "!m", "n", "m=1", "k", "diff", "-diff", "merge", "-text=x"]
ODD_WORDS = ["A@", "--a", "-", "!!m", "=x"]
ODD_LINES = ["#a text", " ", "\ufeffa text", *(f"a text{' ' * n}" for n in (2041, 2042))]


def near(chance, path):
    """A pattern that was a path."""
    pattern, at = "", 0
    while at < len(path):
        kind, skipped = chance.random(), 1
        if kind < 0.5:
            pattern += path[at]
        elif kind < 0.58:
            pattern += "?"
        elif kind < 0.66:
            inside = chance.choice([path[at], "a-c", "ab", "[:alpha:]", "]a", "a-"])
            pattern += f"[{chance.choice(['', '!', '^'])}{inside}]"
        elif kind < 0.8:
            pattern += "*"
            skipped = chance.randrange(4)
        elif kind < 0.92:
            pattern += chance.choice(["**", "/**/", "**/", "/**", "*/", "***/", "**\\/"])
            skipped = chance.choice([0, 1, 2, 4])
        else:
            pattern += "\\" + path[at]
        at += skipped
    return chance.choice(["", "", "", "/", "**/"]) + pattern


def line(chance):
    kind = chance.random()
    if kind < 0.03:
        return chance.choice(ODD_LINES)
    words = [chance.choice(WORDS if chance.random() < 0.97 else ODD_WORDS) for _ in range(chance.choice([1, 1, 2, 3, 4]))]
    if kind < 0.15:
        pattern = "[attr]" + chance.choice(["m", "n", "k", "binary", "text", "diff", "-m", " m", "m@"])
    elif kind < 0.7:
        pattern = near(chance, chance.choice(PATHS).decode()).replace(" ", "?")
    else:
        pattern = "".join(chance.choices(PIECES, k=chance.choice([1, 1, 2, 2, 3, 5, 7])))
        if chance.random() < 0.3:
            pattern = '"' + pattern.replace("\\", chance.choice(["\\", "\\\\"])).replace("a", chance.choice(["a", "\\141"])) + '"'
    return chance.choice(["", "", "", " ", "\t"]) + pattern + " " + " ".join(words) + chance.choice(["", "", "", "\r", " "])


def test_any_files_say_of_any_path_what_they_say_to_git(index):
    print("ADDONFS_SEED =", SEED)
    chance = random.Random(SEED)
    said = 0
    for _ in range(ROUNDS):
        files = {}
        for folder in chance.sample(FOLDERS, chance.randrange(1, 5)):
            text = "\n".join(line(chance) for _ in range(chance.choice([1, 2, 3, 6, 12])))
            files[folder] = text.encode() + chance.choice([b"\n", b"", b"\0* text\n"])
        values = compare(index, files, PATHS)
        said += sum(any(value != b"unspecified" for value in of) for of in values.values())
    assert said > ROUNDS * len(PATHS) / 50
