"""What --json prints: the keys that the README names, each of its type. Programs rely on them."""

import json
import re
from pathlib import Path

from mounting import mounted, run, until
from repository import Link

README = Path(__file__).resolve().parents[2] / "README.md"
TEXT, NUMBER, BOOL, LIST = str, int, bool, list
PROBLEM = {"path": TEXT, "reason": TEXT, "severity": TEXT, "affects": LIST}


def keys(text):
    """The keys that a schema of the README names."""
    return set(re.findall(r'"(\w+)"', text))


def schemas():
    """{first key: all keys} of every schema in the README."""
    found = [keys(text) for text in re.findall(r"`(\{\"\w+\"[,:].*?\})`", README.read_text(), re.S)]
    assert len(found) >= 5
    return found


def expect(value, shape, nullable=()):
    """Exactly these keys, and what they hold."""
    assert set(value) == set(shape)
    for key, kind in shape.items():
        if value[key] is None:
            assert key in nullable, key
        else:
            assert type(value[key]) is kind, (key, value[key])


def printed(*arguments, code=0):
    result = run(*arguments, "--json")
    assert result.returncode == code, result.stderr
    return json.loads(result.stdout)


def all_keys(value):
    if isinstance(value, dict):
        return set(value) | {key for item in value.values() for key in all_keys(item)}
    return {key for item in value for key in all_keys(item)} if isinstance(value, list) else set()


def test_list(repo, program):
    repo.write({"openpype/zz": Link("nowhere")})
    found = printed("list", repo.path, code=1)
    expect(found, {"source": TEXT, "revision": TEXT, "commit": TEXT, "layout": TEXT, "addons": LIST, "problems": LIST},
           nullable=("revision", "commit"))
    expect(found["addons"][0], {"name": TEXT, "version": TEXT, "files": NUMBER, "size": NUMBER, "members": NUMBER,
                                "client": NUMBER, "upload": NUMBER}, nullable=("client", "upload"))
    expect(found["problems"][0], PROBLEM)
    assert all_keys(found) in schemas()
    found = printed("list", repo.path, "-o", "rev=main")
    assert found["revision"] == "main" and found["commit"] == repo.git("rev-parse", "HEAD").decode().strip()


def test_diff(repo, folder, program):
    assert run("export", repo.path, folder / "out").returncode == 0
    (folder / "out/openpype/3.15.12/version.py").unlink()
    found = printed("diff", repo.path, folder / "out", code=1)
    expect(found, {"source": TEXT, "revision": TEXT, "commit": TEXT, "package": TEXT, "shape": TEXT, "same": BOOL,
                   "compared": NUMBER, "differences": LIST}, nullable=("revision", "commit"))
    expect(found["differences"][0], {"kind": TEXT, "path": TEXT, "detail": TEXT}, nullable=("detail",))
    assert found["shape"] == "root" and found["compared"] == 1 and not found["same"]
    assert found["source"] == str(repo.path) and found["package"] == str(folder / "out")
    assert all_keys(found) in schemas()
    for shape, path in (("addon", "out/openpype"), ("version", "out/openpype/3.15.12")):
        assert printed("diff", repo.path, folder / path, code=1)["shape"] == shape


def test_verify(repo, folder, program):
    assert run("export", repo.path, folder / "out", "-o", "rev=main").returncode == 0
    found = printed("verify", folder / "out", repo.path)
    expect(found, {"package": TEXT, "shape": TEXT, "good": BOOL, "versions": LIST, "findings": LIST})
    expect(found["versions"][0], {"addon": TEXT, "version": TEXT, "path": TEXT, "origin": TEXT, "commit": TEXT,
                                  "tried": NUMBER, "looked": NUMBER}, nullable=("commit",))
    assert found["good"] and found["versions"][0]["origin"] == "commit"
    (folder / "out/openpype/3.15.12/version.py").unlink()
    found = printed("verify", folder / "out", code=1)
    expect(found["findings"][0], {"path": TEXT, "text": TEXT})
    assert all_keys(found) in schemas()


def test_status(repo, folder, fuse):
    repo.write({"openpype/zz": Link("nowhere")})
    with mounted(repo.path, folder / "mnt") as mnt:
        until(lambda: len(printed("status", mnt, code=1)["mounts"][0]["status"]["problems"]) == 1)
        found = printed("status", mnt, code=1)
        expect(found, {"mounts": LIST})
        expect(found["mounts"][0], {"mountpoint": TEXT, "state": TEXT, "ready": NUMBER, "members": NUMBER, "status": dict})
        expect(found["mounts"][0]["status"]["problems"][0], PROBLEM)
        assert {*found, *found["mounts"][0]} in schemas()


def test_cache_stats(repo, folder, program):
    cache = f"cache={folder}/cache"
    assert run("export", repo.path, folder / "out", "-o", cache).returncode == 0
    found = printed("cache", "stats", "-o", cache)
    numbers = ("members", "content", "streams", "aliases", "notes", "noted", "disk", "used_day", "used_week", "oldest")
    expect(found, {"exists": BOOL, **dict.fromkeys(numbers, NUMBER)})
    assert found["exists"] and found["members"] == found["used_day"] > 0
    assert set(found) in schemas()


def test_what_a_cache_has_lost(repo, folder, program):
    cache = f"cache={folder}/cache"
    numbers = ("members", "content", "streams", "aliases", "notes", "noted", "disk")
    for action in ("prune", "clear"):
        assert printed("cache", action, "-o", cache) == dict.fromkeys(numbers, 0)
    assert run("export", repo.path, folder / "out", "-o", cache).returncode == 0
    for action in ("prune", "clear"):
        found = printed("cache", action, "-o", f"{cache},cache_size=1")
        expect(found, dict.fromkeys(numbers, NUMBER))
        assert set(found) in schemas()
