"""The standard library as one origin, laid out as in the source repository: `Lib/` and `LICENSE`."""

import os
import platform
import re
import sys
import sysconfig
from pathlib import Path

from minicode_assets.archive.files import COMPILED

LEFT_OUT_FOLDERS = frozenset(
    {"__pycache__", "site-packages", "dist-packages", "test", "tests", "idle_test", "lib-dynload"}
)
"""Installed distributions, test suites and build products."""
LEFT_OUT_FILES = re.compile(
    r"^(_sysconfigdata.*|_sysconfig_vars.*|sitecustomize\.py|usercustomize\.py|EXTERNALLY-MANAGED)$"
)
"""Written when this Python was built or installed: they hold paths of the machine."""
_LEFT_OUT_PREFIX = "config-"


def origin_url() -> str:
    """The origin: a package URL such as `pkg:generic/cpython@3.11.7`."""
    return f"pkg:generic/{sys.implementation.name}@{platform.python_version()}"


def files() -> dict[bytes, Path]:
    """The source files of the standard library by raw path, the licence as `LICENSE` where this Python has one."""
    root = Path(sysconfig.get_path("stdlib"))
    found = {b"Lib/" + name: path for name, path in _walk(root).items() if name != b"LICENSE.txt"}
    licence = licence_file()
    return found if licence is None else {b"LICENSE": licence, **found}


def licence_file() -> Path | None:
    """Where this Python keeps its licence: beside the library, in its prefix, or where a Linux distribution puts it."""
    library, prefix = Path(sysconfig.get_path("stdlib")), Path(sys.base_prefix)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidates = [
        *(folder / name for folder in (library, prefix) for name in ("LICENSE.txt", "LICENSE")),
        *(
            prefix / "share/doc" / name / "copyright"
            for name in (version, f"{version}-minimal", f"lib{version}-stdlib")
        ),
        *(prefix / "share/licenses" / name / "LICENSE" for name in (version, "python3-libs", "python3", "python")),
    ]
    return next((path for path in candidates if path.is_file()), None)


def _walk(root: Path) -> dict[bytes, Path]:
    found = {}
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(n for n in folders if n not in LEFT_OUT_FOLDERS and not n.startswith(_LEFT_OUT_PREFIX))
        for name in names:
            path = Path(folder) / name
            relative = os.fsencode(path.relative_to(root).as_posix())
            if not LEFT_OUT_FILES.match(name) and not COMPILED.search(relative):
                found[relative] = path
    return found
