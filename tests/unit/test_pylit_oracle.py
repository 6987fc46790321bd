"""pylit against Python itself: what it answers is what running the file would bind."""

import ast
import os
import re
import subprocess
import tempfile
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PROGRAM = os.environ.get("ADDONFS_PYLIT_CLI")
NAME = "__version__"


@pytest.fixture(scope="module", autouse=True)
def program():
    if not PROGRAM:
        pytest.skip("pylit_cli (environment variable ADDONFS_PYLIT_CLI)")


def lines_of(sources, *options):
    """What pylit_cli says of each source: (kind, rest of the line)."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, source in enumerate(sources):
            paths.append(os.path.join(folder, str(number)))
            with open(paths[-1], "wb") as file:
                file.write(source if isinstance(source, bytes) else source.encode())
        lines = subprocess.run([PROGRAM, *options, NAME, *paths], check=True, capture_output=True,
                               timeout=60).stdout.decode().splitlines()
    assert len(lines) == len(sources)
    return [line.split(" ", 1) if " " in line else (line, "") for line in lines]


def failure(rest):
    code, message = rest.split(" ", 1)
    return int(code), message


def ask(*sources):
    """For each source: the value, or (errno, message)."""
    return [bytes.fromhex(rest).decode() if kind == "OK" else failure(rest)
            for kind, rest in lines_of(sources)]


def ask_optional(*sources):
    """The same of a name that may be left out: None."""
    return [None if kind == "NONE" else bytes.fromhex(rest).decode() if kind == "OK"
            else failure(rest) for kind, rest in lines_of(sources, "--optional")]


def replace(value, *sources):
    """For each source: the bytes with another value, or (errno, message)."""
    return [bytes.fromhex(rest) if kind == "OK" else failure(rest)
            for kind, rest in lines_of(sources, f"--replace={value}")]


def run(source):
    """What Python binds the name to; None if the file does not run or binds no string."""
    space = {"unknown": "unknown", "condition": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(compile(source, "file.py", "exec"), space)  # our own, harmless text
    except Exception:
        return None
    value = space.get(NAME)
    return value if isinstance(value, str) else None


ACCEPTED = {
    '__version__ = "3.15.12"': "3.15.12",
    "__version__ = '3.15.12'": "3.15.12",
    '__version__="""a"""': "a",
    "__version__ = r'\\d'": "\\d",
    "__version__ = u'x' 'y' \"z\"": "xyz",
    "__version__ = ('x'\n  # comment\n 'y')": "xy",
    "__version__ = (('x'))": "x",
    "__version__: str = 'x'": "x",
    "(__version__) = 'x'": "x",
    "a = __version__ = b = 'x'": "x",
    "a = 1; __version__ = 'x'; b = 2": "x",
    "__version__ = \\\n  'x'": "x",
    "__version__ = 'x' \\\n  'y'": "xy",
    "__version__ = 'a\\\nb'": "ab",
    "__version__ = 'a'\n__version__ = 'b'": "b",
    "if x:\n    __version__ = 'a'\n__version__ = 'b'": "b",
    "__version__ = 'b'\ndef f():\n    __version__ = 1\n": "b",
    "__version__ = 'b'\nclass A:\n    __version__ = 1\n    def f(self): __version__ = 2": "b",
    "\ufeff__version__ = 'x'": "x",
    "# coding: latin-1\n__version__ = 'x'": "x",
    "__version__ = 'x'\r\ny = 1\r\n": "x",
    "__version__ = '''a\r\nb'''": "a\nb",
    "__version__ = '\\x41\\u00e9\\U0001f600\\101\\q'": "Aé😀A\\q",
    "from x import *\n__version__ = 'x'": "x",
    "__version__ = 'x'\nprint(__version__)\na = __version__.split('.')\nd['x'] = __version__": "x",
    "__version__ = 'x'\nd[__version__] = 1\nx.__version__ = 2\nf(__version__=1)": "x",
    "__version__ = 'x'\n__version__.a = 1\n__version__[0] = 2": "x",
    "__version__ = 'x'\nx = lambda __version__=1: 2": "x",
    "__version__ = 'x'\ny = f\"{d[\"k\"]} {x!r:>{w}} {{}} '\"\n": "x",
    "__version__ = 'x'\ny = f'{a:{b}}{{{c}}}' rf'\\{d}'\n": "x",
    "\tx = 1" if False else "x = {\n  'a': 1,\n}\n__version__ = 'x'": "x",
    "__version__: str\n__version__ = 'x'": "x",
    "match = 1\ncase = 2\ntype = 3\n__version__ = 'x'": "x",
    "@decorator\ndef f(a, *, b: int = 3) -> str:\n\treturn 'x'\n__version__ = 'x'": "x",
    "if a: b = 1\nelse: c = 2\n__version__ = 'x'  # done": "x",
    "import os, sys\nfrom a import (b,\n  c as d)\n__version__ = 'x'": "x",
    "__version__ = ''": "",
    "assert __version__ if False else True\n__version__ = 'x'": "x",
    "__version__ = 'x'\nfor i in __version__: pass": "x",
    "__version__ = 'x'\nwith open(__version__) as f: pass": "x",
    "__version__ = 'x'\ny = [__version__ for __version__ in z]": "x",
}

REFUSED = [
    "__version__ = f'x'", "__version__ = b'x'", "__version__ = 1", "__version__ = None",
    "__version__ = 'x',", "__version__ = ('x',)", "__version__ = ['x']", "__version__ = 'x' + 'y'",
    "__version__ = 'x' % 1", "__version__ = 'x'.strip()", "__version__ = x", "__version__ = get()",
    "__version__ = 'x' if y else 'z'", "__version__ = 'x'\n__version__ += 'y'",
    "__version__, a = 'x', 'y'", "[a, __version__] = 'xy'", "a, *__version__ = 'xyz'",
    "__version__ = 'x'\ndel __version__", "from a import __version__",
    "from a import b as __version__", "from a import (c,\n __version__)", "import __version__",
    "import a as __version__", "__version__ = 'x'\nfrom a import *",
    "__version__ = 'x'\nfor __version__ in y: pass", "__version__ = 'x'\nfor a, __version__ in y:\n pass",
    "with a as __version__: pass", "with a as (b, __version__):\n pass",
    "__version__ = 'x'\ntry:\n pass\nexcept E as __version__: pass",
    "def __version__(): pass", "class __version__: pass", "__version__ = 'x'\nprint(__version__ := 1)",
    "__version__ = 'x'\nif a:\n    __version__ = 'y'", "if a: __version__ = 'y'",
    "try:\n    __version__ = 'y'\nexcept E:\n    pass", "while a:\n  __version__ = 'y'",
    "if a:\n  if b:\n    pass\n  else:\n    __version__ = 'y'",
    "__version__ = 'x'\ndef f():\n  global __version__\n  __version__ = 'y'",
    "__version__ = 'x'\ndef f(): global a, __version__", "__version__ = '\\N{DIGIT ONE}'",
    "__version__ = ('x']", "__version__ = 'a\\0b'", "__version__ = '\\ud800'", "__version__ = '\\x4'", "__version__ = 'x",
    "__version__ = '''x", "__version__ = ('x'", "__version__ = 'x'\n  y = 1", "# coding: utf-16\n",
    "# coding: nonesuch\n__version__ = 'x'", b"__version__ = '\xff'", b"__version__ = 'a\x00'",
    b"# coding: ascii\n__version__ = '\xc3\xa9'", "__version__ = 'x'\nif a:\n\ty\n z",
    "async def __version__(): pass", "__version__ = 'x'\nmatch a:\n  case __version__: pass",
    "__version__ = 'x' 'y' f'z'", "x = 'a\\", "__version__ = lambda: 'x'", "__version__ = 'x' b'y'",
    "type __version__ = int", "__version__ = 'x'\nmatch a:\n  case [1, __version__]:\n    pass",
]


@pytest.mark.parametrize("source", ACCEPTED)
def test_a_literal_is_read(source):
    assert ask(source) == [ACCEPTED[source]]


@pytest.mark.parametrize("source", REFUSED)
def test_anything_else_is_refused_with_file_and_line(source):
    (code, message), = ask(source)
    assert code == 22 and message.startswith("file.py:") and message.split(":")[1].isdigit()


def test_a_name_that_is_never_bound_is_told_apart():
    for source in ("", "x = 1", "# __version__ = 'x'", "'''__version__ = 1'''", "__version__: str",
                   "def f():\n  __version__ = 'x'", "x.__version__ = 'y'", "__version__ == 'x'"):
        assert ask(source) == [(2, "file.py: no assignment to __version__")]


def test_lines_are_counted_right():
    for source, line in (("\n\n__version__ = 1", 3), ("'''\n\n'''\n__version__ = 1", 4),
                         ("x = (1,\n2)\n\\\n\n__version__ = f''", 5), ("\r\n\r__version__ = 2", 3)):
        (_, message), = ask(source)
        assert message.startswith(f"file.py:{line}: "), message


@pytest.mark.parametrize("left, right", ["()", "[]", "{}"])
@pytest.mark.parametrize("depth", [1, 2, 99, 199, 200, 201, 250])
def test_brackets_go_as_deep_as_pythons(left, right, depth):
    source = f"x = {left * depth}{right * depth}\n{NAME} = 'a'"
    if left == "{":  # a set of sets has no hash; a dictionary has one, of which nothing is asked
        source = f"x = lambda: {left * depth}{right * depth}\n{NAME} = 'a'"
    answer, = ask(source)
    assert answer == run(source) if depth <= 200 else (run(source) is None and answer[0] == 22)


@pytest.mark.parametrize("depth", [1, 2, 99, 199, 200, 201])
def test_parentheses_around_a_literal_go_as_deep(depth):
    for source in (f"{NAME} = {'(' * depth}'a' 'b'{')' * depth}",
                   f"{'(' * depth}{NAME}{')' * depth} = 'ab'"):
        answer, = ask(source)
        assert answer == run(source) if depth <= 200 else (run(source) is None and answer[0] == 22)


# Each is a statement of nearly a megabyte (`[…]` is repeated), with what is bound at the end. Who looks
# back from every token of it takes minutes.
LONG = {
    "open brackets": ("", "(", "", None),
    "brackets side by side": ("x = [", "(((a))),", "]\n__version__ = 'a'", "a"),
    "brackets around strings": ("__version__ = " + "(" * 200, "'a' ", ")" * 200, "…"),
    "operators": ("", "a+=", "1\n__version__ = 'a'", "a"),
    "operators in brackets": ("f(", "a+=", "1)\n__version__ = 'a'", "a"),
    "as": ("with a", " as b", ": pass\n__version__ = 'a'", "a"),
    "as, one after the other": ("with ", "a as b, ", "c: pass\n__version__ = 'a'", "a"),
    "imports": ("import ", "a as b, ", "c\n__version__ = 'a'", "a"),
    "targets": ("", "__version__=", f"'{'a' * 400_000}'", "a" * 400_000),
    "targets in brackets": ("", "(((__version__)))=", f"'{'a' * 400_000}'", "a" * 400_000),
    "lists of targets": ("", "__version__=__version__,b=", f"__version__='{'a' * 400_000}'",
                         "a" * 400_000),
    "lambdas": ("x=", "lambda a=1:", "1\n__version__ = 'a'", "a"),
    "statements": ("", "a=1;", "__version__ = 'a'", "a"),
    "globals": ("def f(): global ", "a,", "b\n__version__ = 'a'", "a"),
    "walruses": ("f(", "a:=", "1)\n__version__ = 'a'", "a"),
    "blocks": ("", "if a:\n b\n", "__version__ = 'a'", "a"),
}


@pytest.mark.parametrize("name", LONG)
def test_a_long_statement_is_read_in_its_stride(name):
    before, repeated, after, expected = LONG[name]
    count = (1_000_000 - len(before) - len(after)) // len(repeated)
    answer, = ask(before + repeated * count + after)
    if expected is None:
        assert answer[0] == 22
    elif name == "brackets around strings":
        assert answer == "a" * count
    else:
        assert answer == expected


QUOTES = st.sampled_from(["'", '"', "'''", '"""'])
TEXT = st.lists(st.sampled_from([*"ab1.é😀 #{}()", "\\n", "\\\\", "\\'", '\\"', "\\x41", "\\u00e9",
                                 "\\101", "\\q", "\\\n"]), max_size=8).map("".join)


@st.composite
def literals(draw):
    quote = draw(QUOTES)
    prefix = draw(st.sampled_from(["", "", "", "r", "R", "u", "U"]))
    return prefix + quote + draw(TEXT) + quote


VALUES = st.lists(literals(), min_size=1, max_size=3).flatmap(
    lambda parts: st.sampled_from([" ".join(parts), "(" + "\n ".join(parts) + ")",
                                   "((" + " ".join(parts) + ") )", " \\\n ".join(parts)]))
BINDING = VALUES.flatmap(lambda v: st.sampled_from([
    f"{NAME} = {v}", f"{NAME}: str = {v}", f"other = {NAME} = {v}", f"a = 1; {NAME} = {v}; b = 2",
    f"({NAME}) = {v}"]))
NOISE = st.sampled_from([
    "", "# comment", "import os", "x = 1", "pass", "def f():\n    __version__ = 2\n    return 3",
    "class A:\n\t__version__ = 1", "if condition:\n    y = 2\nelse:\n    z = 3", "'''doc\n'''",
    "other = {\n  'a': [1, (2)],\n}", "x = lambda a=1: a", "y = f'{1 + 1} {unknown!r:>10}'",
    "for i in range(2):\n  j = i", "try:\n    k = 1\nexcept Exception as e:\n    pass",
    f"w = [{NAME} for {NAME} in 'ab']", f"@staticmethod\ndef g({NAME}=1): return {NAME}",
    "with open('/dev/null') as h: pass", "while False: pass", "x = 1 if condition else 2",
])
CHANCES = st.sampled_from([
    f"if condition:\n    {NAME} = 'branch'", f"if condition: {NAME} = 'one line'",
    f"for {NAME} in 'ab': pass", f"{NAME} = 'a' + 'b'", f"{NAME} = f'1'", f"{NAME} = unknown",
    f"{NAME}, q = 'p', 'q'", f"[q, {NAME}] = 'pq'", f"from os import sep as {NAME}", "from os import *",
    f"def {NAME}(): pass", f"print({NAME} := 'walrus')", f"{NAME} = ''.join(['j'])",
    f"def h():\n    global {NAME}\n    {NAME} = 'global'\nh()", f"x = {NAME} = 'c' 'd'",
    f"try:\n    {NAME} = 'try'\nfinally:\n    pass", f"{NAME} = 'x' 'y' * 2", f"{NAME} = ('a')('b')",
    f"class C:\n    {NAME} = 'class'\n    global d\n", f"{NAME} = 'k'; del {NAME}",
])
PRACTICE = settings(max_examples=60, deadline=None, derandomize=True,
                    suppress_health_check=[HealthCheck.too_slow])


@PRACTICE
@given(st.lists(st.tuples(st.lists(NOISE, max_size=3), BINDING, st.lists(NOISE, max_size=3),
                          st.sampled_from(["\n", "\r\n", "\r"]), st.booleans()),
                min_size=30, max_size=30))
def test_files_of_accepted_forms_give_pythons_value(files):
    sources = []
    for before, binding, after, end, marked in files:
        text = "\n".join([*before, binding, *after])
        sources.append(("\ufeff" if marked else "") + text.replace("\n", end))
    for source, answer in zip(sources, ask(*sources)):
        expected = run(source.encode())
        if expected is not None:
            assert answer == expected, source


@PRACTICE
@given(st.lists(st.lists(st.one_of(NOISE, BINDING, CHANCES), max_size=6), min_size=30, max_size=30))
def test_no_file_gives_a_value_that_python_would_not(files):
    sources = ["\n".join(parts) for parts in files]
    for source, answer in zip(sources, ask(*sources)):
        if isinstance(answer, str):
            expected = run(source.encode())
            # What Python refuses altogether (a syntax error) is not ours to judge.
            assert expected is None or answer == expected, source


@pytest.mark.parametrize("mark", ["<<<<<<< ours", "=======", ">>>>>>> theirs", "||||||| base"])
def test_the_marks_of_a_merge_conflict_are_errors(mark):
    (answer,) = ask(f'{NAME} = "1"\n{mark}\n{NAME} = "2"\n')
    assert isinstance(answer, tuple) and "file.py:2: no statement begins" in answer[1]


# --- Names that may be left out ------------------------------------------------------------------

@pytest.mark.parametrize("source, expected", [
    ("", None), ("x = 1", None), ("__version__: str", None), ("__version__ = None", None),
    ("__version__: str = ((None))", None), ("a = __version__ = None", None),
    ("__version__ = 'x'\n__version__ = None", None), ("__version__ = None\n__version__ = 'x'", "x"),
    ("__version__ = f()\n__version__ = None", None), ("__version__ = ''", ""),
    ("def f():\n  __version__ = 'x'", None), ("x.__version__ = 1", None),
    ("if a:\n  pass\n__version__ = \\\n None  # done", None),
])
def test_a_name_may_be_left_out_or_none(source, expected):
    assert ask_optional(source) == [expected]
    assert run(source) == expected or expected is None


@pytest.mark.parametrize("source", [s for s in REFUSED if s != "__version__ = None"] + [
    "if a:\n  __version__ = None", "__version__ = None or 'x'", "__version__ = None,",
    "__version__ = None\ndel __version__", "__version__ = None\n__version__ += 'x'",
    "__version__ = None if a else 'x'", "__version__ = None()", "__version__ = None.x"])
def test_what_may_be_left_out_is_refused_no_less(source):
    (code, message), = ask_optional(source)
    assert code == 22 and message.startswith("file.py:")
    assert ask(source) == [(code, message)]


# --- Another value -------------------------------------------------------------------------------

VALUE = "3.15.13-dev.4+g546187e.d1a2b3c4d"
MASK = "what was replaced"


def binding(tree):
    """The last statement of the module that binds the name to a constant."""
    found = None
    for node in tree.body:
        targets = (node.targets if isinstance(node, ast.Assign) else
                   [node.target] if isinstance(node, ast.AnnAssign) and node.value else [])
        if any(isinstance(t, ast.Name) and t.id == NAME for t in targets):
            found = node
    return found


def parse(source, mode="exec"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source, mode=mode)


def encoding_of(source):
    found = re.match(rb"(?:[^\n\r]*[\r\n]+)?#.*?coding[:=]\s*([-\w.]+)", source)
    return found.group(1).decode() if found else "utf-8-sig"


def check_replaced(before, after, value=VALUE):
    """Only the value of the binding that counts is another one, and every byte around it is there."""
    old, new = parse(before), parse(after)
    was = binding(old).value
    assert isinstance(was.value, str) and binding(new).value.value == value
    text, was.value = was.value, MASK
    was.kind = binding(new).value.kind  # the u of u"…"
    binding(new).value.value = MASK
    assert ast.dump(old) == ast.dump(new), (before, after)
    # Some place is left at which the bytes were put, for an expression that is just the old value.
    quoted = f'"{value}"'.encode()
    removed = []
    for at in range(min(len(before), len(after))):
        if after.startswith(quoted, at):
            rest = after[at + len(quoted):]
            if before.endswith(rest) and len(before) - len(rest) > at:
                removed.append(before[at:len(before) - len(rest)])
        if after[at] != before[at]:
            break
    expressions = [part.decode(encoding_of(before)) for part in removed]
    assert any(part == part.strip() and ast.literal_eval(parse(f"(\n{part}\n)", "eval")) == text
               for part in expressions), (before, after)


@pytest.mark.parametrize("source", ACCEPTED)
def test_a_literal_is_replaced(source):
    after, = replace(VALUE, source)
    if 'd["k"]' not in source:  # Python 3.11 does not know PEP 701
        check_replaced(source.encode(), after)
    assert ask(after) == [VALUE]
    assert run(after) == VALUE or run(source.encode()) is None
    assert replace(VALUE, after) == [after]


@pytest.mark.parametrize("before, after", [
    ("__version__ = '1'", '__version__ = "2"'),
    ("\ufeffé = 1\r\n__version__:str=u'1' 'x' # é\r\n# end", '\ufeffé = 1\r\n__version__:str="2" # é\r\n# end'),
    ("__version__ = (  # why\n 'a'\n 'b' # c\n)  # d\n", '__version__ = "2"  # d\n'),
    ("__version__ = '1'\n__version__ = '1'\n", "__version__ = '1'\n__version__ = \"2\"\n"),
    ("a = __version__ = b = '''\n1'''; c = 2", 'a = __version__ = b = "2"; c = 2'),
    ("__version__ = \\\r\n 'a'\\\r\n 'b' \\\r\n\r\nx = 1", '__version__ = \\\r\n "2" \\\r\n\r\nx = 1'),
    ("if x:\n\t__version__ = 'a'\r__version__ = 'b'\rdef f():\r  __version__ = 'c'",
     "if x:\n\t__version__ = 'a'\r__version__ = \"2\"\rdef f():\r  __version__ = 'c'"),
])
def test_the_bytes_around_it_stay(before, after):
    assert replace("2", before) == [after.encode()]


@pytest.mark.parametrize("source", [*REFUSED, "", "x = 1", "__version__: str"])
def test_what_is_not_read_is_not_replaced(source):
    assert replace(VALUE, source) == ask(source)


@pytest.mark.parametrize("value", ['"', "a b", "a\n", "\\", "é", "1.0'", "#", "{x}"])
def test_a_value_that_would_need_an_escape_is_refused(value):
    (code, message), = replace(value, f"{NAME} = 'x'")
    assert code == 22 and "cannot be written" in message


# How a file is written: (cookie, encoding).
ENCODINGS = st.sampled_from([("", "utf-8"), ("", "utf-8-sig"), ("# coding: utf-8\n", "utf-8-sig"),
                             ("# é\n# -*- coding: latin-1 -*-\n# é\xff\n", "latin-1"),
                             ("#!python\n# coding=iso-8859-1\n", "latin-1")])


@PRACTICE
@given(st.lists(st.tuples(st.lists(st.one_of(NOISE, BINDING, CHANCES), max_size=4),
                          BINDING, st.lists(st.one_of(NOISE, CHANCES), max_size=3), ENCODINGS,
                          st.sampled_from(["\n", "\r\n", "\r"])), min_size=30, max_size=30))
def test_a_file_with_another_value_differs_in_that_alone(files):
    sources = []
    for before, value, after, (cookie, encoding), end in files:
        text = cookie + "\n".join([*before, value, *after])
        sources.append(text.replace("\n", end).encode(encoding, "replace"))
    replaced = replace(VALUE, *sources)
    for source, answer, result in zip(sources, ask(*sources), replaced):
        if not isinstance(answer, str):
            assert result == answer
            continue
        try:
            parse(source)
        except (SyntaxError, ValueError):
            continue  # what Python refuses altogether is not ours to judge
        check_replaced(source, result)
        if run(source) is not None:
            assert run(result) == VALUE
    good = [result for result in replaced if isinstance(result, bytes)]
    assert ask(*good) == [VALUE] * len(good)
