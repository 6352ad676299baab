"""ScanCode as a process of its own: what it says about licence files, asked once for each content.

An external program by choice: its index takes 1.4 GB, and its pins clash with ours (pluggy). Source: curation.md 3e.
"""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minicode_assets.config import LicenseFiles
from minicode_assets.corpus.annotate.spdx import canonical
from minicode_assets.errors import CorpusError
from minicode_model.artifact import write_file

_START_S = 120.0
"""For loading the index, measured 4 to 11. Unit: seconds."""
Answer = tuple[str | None, str | None, float | None]


def scan(contents: Mapping[bytes, bytes], *, params: LicenseFiles, cache: Path) -> dict[bytes, Answer]:
    """What ScanCode recognises in some files.

    Args:
        contents: Bytes by sha1_git.
        params: The `license_files` section; `scancode` names the program.
        cache: Folder of the answers: one JSON file a content, below a folder a version.

    Returns:
        (SPDX expression, `scancode`, score 0..1) by sha1_git, three nulls where it sees no licence; files that it
        could not read in time are absent, and asked again the next time.

    Raises:
        CorpusError: It can't be started, ends without an answer, or is another version.
    """
    answers = cache / params.scancode_version
    answers.mkdir(parents=True, exist_ok=True)
    unknown = {key: content for key, content in contents.items() if not (answers / f"{key.hex()}.json").is_file()}
    for name, found in (_run(unknown, params) if unknown else {}).items():
        write_file(answers / f"{name}.json", lambda path, found=found: path.write_text(json.dumps(found)))  # type: ignore[misc]
    known = {key: answers / f"{key.hex()}.json" for key in contents}
    return {key: _answer(json.loads(path.read_text())) for key, path in known.items() if path.is_file()}


def _run(contents: Mapping[bytes, bytes], params: LicenseFiles) -> dict[str, dict[str, Any]]:
    """Expression and scores of each file, by its name: the hexadecimal sha1_git."""
    with tempfile.TemporaryDirectory(prefix="minicode-scancode-") as scratch:
        folder, output = Path(scratch) / "files", Path(scratch) / "answer.json"
        folder.mkdir()
        for key, content in contents.items():
            (folder / key.hex()).write_bytes(content)
        said = _call(params, folder, output, limit_s=_START_S + params.scancode_timeout_s * len(contents))
        try:
            answer = json.loads(output.read_bytes())
            version = answer["headers"][0]["tool_version"]
            files = [file for file in answer["files"] if file["type"] == "file"]
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            raise CorpusError(
                f"{params.scancode}: no answer for {len(contents)} licence files ({error!r}): {said[-500:]}", hint=_HINT
            ) from error
    if version != params.scancode_version:
        raise CorpusError(
            f"{params.scancode}: version found {version}, expected {params.scancode_version}",
            hint="set [license_files] scancode_version, so that answers of two versions don't mix",
        )
    return {Path(file["path"]).name: _facts(file) for file in files if not file.get("scan_errors")}


def _call(params: LicenseFiles, folder: Path, output: Path, *, limit_s: float) -> str:
    """Run the program to its end, in a process group that dies with the time limit; returns what it printed."""
    command = [params.scancode, "--license", "--quiet", "--processes", "1", "--timeout", str(params.scancode_timeout_s)]
    try:
        process = subprocess.Popen(
            [*command, "--json", str(output), str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise CorpusError(f"{params.scancode}: can't be started: {error}", hint=_HINT) from error
    try:
        return process.communicate(timeout=limit_s)[0].decode(errors="replace")
    except subprocess.TimeoutExpired:
        return f"no end after {limit_s:.0f} s"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


_HINT = "make scancode, then [license_files] scancode = '.venv-scancode/bin/scancode'; empty turns it off"


def _facts(file: Mapping[str, Any]) -> dict[str, Any]:
    scores = [match["score"] for detection in file.get("license_detections", ()) for match in detection["matches"]]
    return {"expression": file.get("detected_license_expression_spdx"), "score": min(scores, default=None)}


def _answer(facts: Mapping[str, Any]) -> Answer:
    expression = canonical(facts["expression"]) if facts["expression"] else None
    return (expression, "scancode", (facts["score"] or 0.0) / 100) if expression else (None, None, None)
