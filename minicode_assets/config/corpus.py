"""Section of the selection: which documents are kept, and how they are split."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Which documents are kept, and how they are split."""

    license_types: tuple[str, ...] = ("permissive",)
    """Licence verdicts that are kept."""
    drop_vendored: bool = True
    """Drop vendored files. Source: The Stack v2's is_vendor."""
    drop_generated: bool = True
    """Drop auto-generated files. Source: StarCoder2."""
    drop_unparsable: bool = True
    """Drop what Python 3 can't parse. Source: OpenCoder, swallow-code."""
    drop_contaminated: bool = True
    """Drop what shares a text or an n-gram with a problem of `benchmarks`. Source: StarCoder2 (2.7), Seed-Coder."""
    drop_near_duplicates: bool = True
    """Keep one document of each cluster of near duplicates. Source: StarCoder2, 2.4."""
    min_length_bytes: int = 100
    """Shorter documents are dropped. Unit: bytes."""
    min_lines: int = 5
    """Source: NeMo Curator's configuration; OpenCoder has 10, which costs short but whole modules."""
    max_lines: int = 100_000
    """Source: StarCoder2, curation.md 2.2."""
    max_mean_line_length: float = 100.0
    """Unit: characters. Source: StarCoder2."""
    max_line_length: int = 1000
    """Unit: characters. Source: StarCoder2."""
    min_alphabetic_fraction: float = 0.25
    """0..1 of characters. Source: StarCoder2."""
    max_digit_fraction: float = 0.2
    """0..1 of characters. Source: OpenCoder."""
    max_whitespace_fraction: float = 0.6
    """0..1 of characters. OpenCoder has 0.5, which deep indentation alone reaches."""
    max_replacement_fraction: float = 0.01
    """0..1 of characters that are U+FFFD. Source: OpenCoder."""
    max_encoded_fraction: float = 0.5
    """0..1 of characters inside base64, hex or unicode-escape runs. Source: StarCoder2."""
    max_encoded_span: int = 1024
    """Longest such run. Unit: characters. Source: StarCoder2."""
    max_hex_word_fraction: float = 0.4
    """0..1 of words. Source: OpenCoder."""
    max_long_word_fraction: float = 1.0
    """0..1 of the words' characters in words longer than 20; OpenCoder has 0.4, 1 is off (dotted names are long)."""
    max_string_fraction: float = 0.9
    """0..1 of characters in string literals. OpenCoder has 0.6, which drops documented modules: docstrings count."""
    max_duplicate_line_fraction: float = 0.8
    """0..1 of lines. OpenCoder has 0.7, which drops good tests."""
    max_top_2gram_fraction: float = 0.4
    """0..1 of the words' characters. OpenCoder has 0.2 for prose and code alike, which drops re-exporting modules."""
    max_top_3gram_fraction: float = 0.4
    """The same; OpenCoder has 0.18."""
    max_top_4gram_fraction: float = 0.4
    """The same; OpenCoder has 0.16, which drops abstract base classes (`numbers.py`)."""
    max_duplicate_5gram_fraction: float = 0.9
    """0..1 of the words' characters. OpenCoder has 0.8, which drops twin APIs (synchronous and asynchronous)."""
    max_duplicate_6gram_fraction: float = 0.9
    """The same; OpenCoder has 0.7, and its rules for 7, 8 and 9 follow from it."""
    max_duplicate_10gram_fraction: float = 0.9
    """The same; OpenCoder has 0.6, which drops `bisect.py` and httpx's client."""
    max_comment_fraction: float = 0.8
    """0..1 of characters. Source: OpenCoder, SantaCoder."""
    max_todo_line_fraction: float = 1.0
    """Of lines; OpenCoder has 0.01, 1 is off (one TODO in 90 lines is no fault)."""
    max_imports_per_line: float = 0.9
    """Import statements a line. OpenCoder has 0.3, which drops most `__init__.py`."""
    max_prints_per_line: float = 0.4
    """Calls of print a line. Source: OpenCoder."""
    max_asserts_per_line: float = 0.6
    """assert statements a line. OpenCoder has 0.4, which drops tests of small functions."""
    max_passes_per_line: float = 0.2
    """pass statements a line. OpenCoder has 0.05, by substring."""
    max_functions_per_line: float = 0.5
    """Functions a line. OpenCoder has 0.2, by substring; protocols and stubs reach it."""
    max_simple_returns_per_function: float = 1.0
    """Functions that only return a name or a constant, per function; OpenCoder has 0.1, 1 is off."""
    min_variables: int = 0
    """Names that are assigned. OpenCoder asks for 1, which drops modules of functions only."""
    validation_fraction: float = 0.05
    """Share of the kept bytes, in whole origins, held out, 0..1."""
    seed: int = 1337
    """Seed of the order in which origins are held out."""
