"""What a benchmark's figures were measured on, where they are kept, and the peak of its memory."""

import json
import os
import platform
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def machine() -> dict[str, Any]:
    """Day, commit ("+" where the working tree differs from it), processor, cores, load of the last minute, Python."""
    describe = ["git", "describe", "--always", "--exclude=*", "--dirty=+"]
    commit = subprocess.run(describe, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {
        "date": date.today().isoformat(),
        "commit": commit or "none",
        "cpu": cpu,
        "cores": os.cpu_count(),
        "load_at_start": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    }


def machine_line() -> str:
    """The same as a line of text, for results that are Markdown."""
    found = machine()
    return (
        f"{found['date']}, commit {found['commit']}, Python {found['python']}, {found['cores']} cores, {found['cpu']}, "
        f"load {found['load_at_start']} at the start"
    )


def keep(benchmark: str, part: str, figures: dict[str, Any]) -> dict[str, Any]:
    """Add figures to the day's results of a benchmark, in the place of former ones of this part; give them, dated."""
    dated = machine() | figures
    result = ROOT / "benchmarks" / "results" / f"{dated['date']}-{benchmark}.json"
    written: dict[str, Any] = json.loads(result.read_text()) if result.exists() else {}
    result.write_text(json.dumps(written | {part: dated}, indent=1) + "\n")
    return dated


def peak_bytes() -> int:
    """Most memory that this process had resident at once.

    Not `ru_maxrss`, which begins with the peak of the process that started this one.
    """
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])
