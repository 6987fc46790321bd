"""A source tree of each layout, for the tests to mount, small and full of what the rules speak of."""

from repository import BASE, Exec

ATTRIBUTES = {".gitattributes": "* text=auto\n*.bat text eol=crlf\n*.bin -text\n"}


def package_py(name, version, client_dir=None, more=""):
    text = f'name = "{name}"\ntitle = "Whatever"\nversion = "{version}"\n'
    if client_dir:
        text += f'client_dir = "{client_dir}"\n'
    return text + more


B_KEPT = [
    "openpype/__init__.py", "openpype/lib/tools.py", "openpype/lib/addons/kept.py", "openpype/addons_not/kept.py",
    "openpype/vendor/common/kept.py", "openpype/vendor/ayon_api/kept.py", "openpype/hosts/maya/api.py",
    "openpype/hosts/flame.py", "openpype/modules/slack.py", "openpype/modules/base.py",
    "openpype/modules/deeper/kitsu/kept.py", "openpype/run.bat", "openpype/Grüße.txt",
]
B_LEFT_OUT = [
    "openpype/addons/a.py", "openpype/addons/deep/a.py", "openpype/vendor/common/ayon_api/a.py",
    "openpype/hosts/flame/a.py", "openpype/hosts/harmony/a.py", "openpype/modules/ftrack/a.py",
    "openpype/modules/shotgrid/deep/a.py", "openpype/modules/sync_server/a.py", "openpype/modules/example_addons/a.py",
    "openpype/modules/slack/a.py", "openpype/modules/kitsu/a.py", "openpype/.hidden",
    "openpype/lib/__pycache__/x.py", "openpype/lib/x.pyc",
]
IGNORED = ["flame", "harmony", "ftrack", "shotgrid", "sync_server", "example_addons", "slack", "kitsu"]
B = {
    **ATTRIBUTES,
    **{path: f"# {path}\none = 1\n" for path in B_KEPT + B_LEFT_OUT},
    "openpype/version.py": '"""Of OpenPype."""\n__version__ = "3.18.1"\n',
    "openpype/lib/check.sh": Exec(b"#!/bin/sh\n"),
    "openpype/img/blob.bin": bytes(range(256)) * 20,
    "server_addon/openpype/server/__init__.py": "class Addon:\n    pass\n",
    "server_addon/openpype/server/.dot": "taken",
    "server_addon/openpype/server/old.pyc": b"taken too",
    "server_addon/openpype/server/settings/main.py": "x = 1\n",
    "server_addon/openpype/server/settings/.dropped": "no",
    "server_addon/openpype/client/pyproject.toml": "[project]\n",
    "server_addon/maya/server/__init__.py": "maya = True\n",
    "server_addon/maya/server/version.py": '__version__ = "0.1.8"\n',
    "server_addon/maya/server/.dot": "taken",
    "server_addon/maya/server/settings/.dot": "taken, as everything is",
    "server_addon/maya/server/settings/x.pyc": b"taken",
    "server_addon/maya/server/settings/__pycache__/y.pyc": b"taken",
    "server_addon/maya/server/settings/run.sh": Exec(b"#!/bin/sh\n"),
    "server_addon/maya/LICENCE": "not taken",
    "server_addon/maya/client/pyproject.toml": "not taken",
    "server_addon/royal_render/server/__init__.py": "",
    "server_addon/royal_render/server/version.py": '__version__ = "0.1.1"\n',
    **{f"server_addon/{name}/server/version.py": '__version__ = "9.9.9"\n' for name in IGNORED},
    "server_addon/nothing/README.md": "no server folder",
    "server_addon/a_file/server": "no folder",
    "server_addon/README.md": "no folder at all",
}
B_OTHER = {  # package/maya/0.1.8: path -> executable
    b"__init__.py": False, b"version.py": False, b".dot": False, b"settings/.dot": False,
    b"settings/x.pyc": False, b"settings/__pycache__/y.pyc": False, b"settings/run.sh": True,
}

C = {
    **ATTRIBUTES,
    "server_addon/maya/package.py": package_py("maya", "0.2.2", "ayon_maya"),
    "server_addon/maya/server/__init__.py": "maya = True\n",
    "server_addon/maya/server/.dropped": "no",
    "server_addon/maya/server/x.pyc": b"no",
    "server_addon/maya/server/settings/run.sh": Exec(b"#!/bin/sh\n"),
    "server_addon/maya/public/icon.bin": bytes(range(256)),
    "server_addon/maya/public/.hidden/icon.bin": b"no",
    "server_addon/maya/private/secret.txt": "not taken",
    "server_addon/maya/LICENSE": "not taken",
    "server_addon/maya/frontend/dist/index.html": "not taken",
    "server_addon/maya/client/pyproject.toml": "[maya]\n",
    "server_addon/maya/client/ayon_maya/__init__.py": "from .version import __version__\n",
    "server_addon/maya/client/ayon_maya/version.py": '__version__ = "not this"\n',
    "server_addon/maya/client/ayon_maya/api/version.py": '__version__ = "this stays"\n',
    "server_addon/maya/client/ayon_maya/api/run.bat": "@echo off\n",
    "server_addon/maya/client/ayon_maya/api/run.sh": Exec(b"#!/bin/sh\n"),
    "server_addon/maya/client/ayon_maya/.dropped": "no",
    "server_addon/maya/client/other/x.py": "not taken",
    "server_addon/Royal/package.py": package_py("royalrender", "0.1.1"),
    "server_addon/Royal/server/__init__.py": "",
    "server_addon/Royal/client/ayon_royal/__init__.py": "no client_dir",
    "server_addon/max/package.py": package_py("max", "1.0.0+dev", more="client_dir = None\n"),
    "server_addon/max/server/__init__.py": "",
    "server_addon/max/client/pyproject.toml": "[max]\n",
    "server_addon/noversionpy/package.py": package_py("blender", "0.3.0-dev.1", "ayon_blender"),
    "server_addon/noversionpy/server/__init__.py": "",
    "server_addon/noversionpy/client/ayon_blender/__init__.py": "blender = 1\n",
    "server_addon/nopackage/server/__init__.py": "",
    "server_addon/noserver/package.py": package_py("noserver", "1.0.0"),
    "server_addon/README.md": "no folder at all",
}

D = {
    **ATTRIBUTES,
    "package.py": package_py("core", "1.9.7+dev", "ayon_core", 'ayon_required_addons = {}\n'),
    "LICENSE": "Apache, say\n",
    "README.md": "not taken",
    "create_package.py": "not taken",
    "pyproject.toml": "not taken",
    "server/__init__.py": "core = True\n",
    "server/.dropped": "no",
    "server/settings/x.pyo": "stays",
    "server/settings/x.pyc": "no",
    "server/settings/__pycache__/x.py": "no",
    "server/settings/run.sh": Exec(b"#!/bin/sh\n"),
    "private/pyproject.toml": "loses to that of client\n",
    "private/notes.txt": "private\n",
    "public/icon.bin": bytes(range(256)),
    "frontend/dist/index.html": "<html>\n",
    "frontend/dist/.dropped": "no",
    "frontend/src/index.ts": "not taken",
    "client/pyproject.toml": "[core]\n",
    "client/ayon_core/__init__.py": "from .version import __version__\n",
    "client/ayon_core/version.py": '# stays in the worktree\n__version__ = "1.9.7+dev"\n',
    "client/ayon_core/lib/__init__.py": "",
    "client/ayon_core/lib/tools.py": "def tool():\n    return 1\n" * 50,
    "client/ayon_core/lib/version.py": '__version__ = "this stays"\n',
    "client/ayon_core/lib/run.bat": "@echo off\n",
    "client/ayon_core/lib/run.sh": Exec(b"#!/bin/sh\n"),
    "client/ayon_core/lib/.dropped": "no",
    "client/ayon_core/pyc": "stays",
    "client/ayon_core/sub.pyc/x.py": "stays",
    "client/ayon_core/__pycache__x/x.py": "stays",
    "client/ayon_core/Grüße.txt": "stays\n",
    "client/other/x.py": "not taken",
}

SAMPLES = {"a": BASE, "b": B, "c": C, "d": D, "cd": {**C, **D}}


def without(files, *paths):
    """A sample without some of its files and folders."""
    return {name: content for name, content in files.items()
            if not any(name == path or name.startswith(path + "/") for path in paths)}
