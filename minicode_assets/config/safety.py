"""Sections of malware and quality: what a document must not be, and how good it is."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Malware:
    """Which scanners look at each document."""

    scanners: tuple[str, ...] = ("yara",)
    """`yara` (YARA-X, in process) and `clamd` (ClamAV's daemon, over its socket). A scanner that is on and absent is an
    error. Without any, `corpus` needs drop_malware = false. Source: StarCoder2 used ClamAV, curation.md 2.3."""
    yara_files: tuple[str, ...] = ("minicode",)
    """YARA files; `minicode` stands for the rules that come with the package (corpus/malware/malware.yar)."""
    yara_timeout_s: int = 30
    """Longest scan of one text; one that takes longer has failed. Unit: seconds."""
    clamd_address: str = "/var/run/clamav/clamd.ctl"
    """Path of clamd's Unix socket (Debian's, by default), or tcp://host:port."""
    clamd_timeout_s: float = 120.0
    """Longest wait for an answer of clamd. Unit: seconds. Source: clamd's own ReadTimeout."""


def malware_problems(malware: Malware, *, drops: bool) -> list[str]:
    """Contradictions of the section, one message each; `drops` says whether the selection's rule is on."""
    problems = [
        f"[malware] scanners: found {name!r}, expected 'yara' or 'clamd'"
        for name in malware.scanners
        if name not in ("yara", "clamd")
    ]
    if "yara" in malware.scanners and not malware.yara_files:
        problems.append("[malware] yara_files: found none, so 'yara' in scanners has no rules")
    if drops and not malware.scanners:
        problems.append("[corpus] drop_malware needs [malware] scanners: without any, nothing is looked for")
    return problems
