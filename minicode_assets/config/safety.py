"""Sections of malware and quality: what a document must not be, and how good it is."""

from dataclasses import dataclass

from minicode_assets.config.files import CLAMD


@dataclass(frozen=True, kw_only=True)
class Malware:
    """Which scanners look at each document."""

    scanners: tuple[str, ...] = ("yara",)
    """`yara` (YARA-X, in process) and `clamd` (ClamAV's daemon, over its socket). A scanner that is on and absent is an
    error. Without any, `corpus` needs drop_malware = false. Source: StarCoder2 used ClamAV, curation.md 2.3."""
    yara_files: tuple[str, ...] = ("minicode",)
    """YARA files, whose content counts as configuration; `minicode` stands for the rules that come with the package
    (corpus/malware/malware.yar). Unit: paths."""
    yara_timeout_s: int = 30
    """Longest scan of one text; one that takes longer has failed. Unit: seconds."""
    clamd_address: str = "/var/run/clamav/clamd.ctl"
    """Path of clamd's Unix socket (Debian's, by default), or tcp://host:port. The version of its signatures counts as
    configuration: new ones make `malware` stale, and so does a clamd that is not there."""
    clamd_timeout_s: float = 120.0
    """Longest wait for an answer of clamd. Unit: seconds. Source: clamd's own ReadTimeout."""


@dataclass(frozen=True, kw_only=True)
class QualityModel:
    """How the quality classifier is trained. It drops nothing unless `corpus` has a min_quality_score."""

    labels: str = ""
    """CSV or Parquet with the columns swhid (or sha1_git in hex) and label (0..1); empty for the proxy: well kept
    against random. Its content counts as configuration. Source: DCLM's proxy, Seed-Coder's labels, curation.md 1d."""
    min_docstring_fraction: float = 0.05
    """The proxy's well-kept documents have at least so much in docstrings, 0..1 of characters."""
    max_duplicate_line_fraction: float = 0.3
    """And at most so many repeated lines, 0..1; they parse, are permissive, not generated, not vendored and have
    functions."""
    max_examples: int = 4000
    """Documents that it is trained and judged on; bounds memory and time."""
    min_examples: int = 30
    """With fewer of a kind in any split there is no model, and every score is null."""
    max_ngram_words: int = 2
    """Words, and n-grams of up to so many, are the features."""
    num_bits: int = 18
    """2^num_bits buckets. Unit: bits."""
    num_steps: int = 60
    """Steps of Adam on the whole set."""
    learning_rate: float = 0.3
    """Adam's step; features are small (1 / sqrt of their number), so weights are large."""
    l2_penalty: float = 1e-5
    """Weight of the squared weights in the loss."""
    calibration: str = "platt"
    """`platt` or `isotonic`; isotonic needs some hundred examples."""
    seed: int = 1337
    """Seed of the order in which examples are drawn and split."""


def quality_problems(model: QualityModel) -> list[str]:
    """Contradictions of the section, one message each."""
    problems = []
    if model.calibration not in ("platt", "isotonic"):
        problems.append(f"[quality_model] calibration: found {model.calibration!r}, expected 'platt' or 'isotonic'")
    if not 4 <= model.num_bits <= 28:
        problems.append(f"[quality_model] num_bits: found {model.num_bits}, expected 4 to 28")
    return problems


def malware_files(malware: Malware) -> tuple[str, ...]:
    """What the scanners that are on know: names as `config.files` takes them."""
    rules = malware.yara_files if "yara" in malware.scanners else ()
    signatures = (f"{CLAMD}{malware.clamd_address}",) if "clamd" in malware.scanners else ()
    return (*rules, *signatures)


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
