"""Section of the selection: which documents are kept, and how they are split."""

from dataclasses import dataclass

from minicode_model.config import nearest


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Which documents are kept, and how they are split."""

    license_types: tuple[str, ...] = ("permissive",)
    """Licence verdicts that are kept: any of `permissive`, `no_license`, `non_permissive`. Files without a licence are
    left out by default; The Stack v2 trains on them."""
    languages: tuple[str, ...] = ("python", "python_stub")
    """Languages that are kept, as the `language` sidecar names them."""
    any_license_sources: tuple[str, ...] = (
        "issues",
        "stackoverflow",
        "arxiv",
        "wikipedia",
        "openwebmath",
        "lhq",
        "gsm8k",
        "code_contests",
        "rosetta_code",
        "intermediate",
    )
    """Sources whose texts are kept whatever the verdict: they come under the terms of their site or data set, not of
    a repository. Source: StarCoder2 trains on them without a licence filter, curation.md 2."""
    drop_vendored: bool = True
    """Drop vendored files. Source: The Stack v2's is_vendor."""
    drop_generated: bool = True
    """Drop auto-generated files. Source: StarCoder2."""
    drop_unparsable: bool = True
    """Drop what Python 3 can't parse. Source: OpenCoder, swallow-code."""
    drop_contaminated: bool = True
    """Drop what shares a text or an n-gram with a problem of `benchmarks`. Source: StarCoder2 (2.7), Seed-Coder."""
    min_quality_score: float = 0.0
    """Least probability of the quality classifier, 0..1; 0 is off: what it learns from the proxy
    is no ground for dropping."""
    drop_malware: bool = True
    """Drop what a scanner of `malware` finds. Source: StarCoder2, curation.md 2.3."""
    max_pii_fraction: float = 0.1
    """0..1 of characters that are personal data or secrets: more of it is a list of addresses or a dump of keys.
    Source: ours; names and headers don't count, as a small module with its author line is no such list."""
    drop_near_duplicates: bool = True
    """Keep one document of each cluster of near duplicates. Source: StarCoder2, 2.4."""
    min_length_bytes: int = 100
    """Shorter documents are dropped. Unit: bytes."""
    min_characters: int = 0
    """Shorter texts are dropped. OpenCoder has 50; the bytes above do for us. Unit: characters."""
    min_words: int = 0
    """Words (runs without white space). OpenCoder has 30, which costs short but whole modules."""
    min_mean_word_length: float = 0.0
    """Unit: characters. OpenCoder has 2, which catches what no other rule here does only in tables of digits."""
    max_mean_word_length: float = 40.0
    """Unit: characters. OpenCoder has 10, on words without punctuation; calls and dotted names have no blanks."""
    min_lines: int = 5
    """Source: NeMo Curator's configuration; OpenCoder has 10, which costs short but whole modules."""
    max_lines: int = 100_000
    """Source: StarCoder2, curation.md 2.2."""
    min_mean_line_length: float = 5.0
    """Unit: characters. Source: OpenCoder, whose lines have their newline."""
    max_mean_line_length: float = 100.0
    """Unit: characters. Source: StarCoder2."""
    max_line_length: int = 10_000
    """Unit: characters. StarCoder2 has 1000, which drops modules of code for one long line; data with long lines fall
    by their mean, their digits or `max_data_fraction`. Source: docs/log.md."""
    min_alphabetic_fraction: float = 0.2
    """0..1 of characters. StarCoder2 has 0.25, which drops code with matrices in docstrings. Source: docs/log.md."""
    min_visible_alphabetic_fraction: float = 0.0
    """0..1 of characters that are no white space; OpenCoder has 0.5, 0 is off."""
    max_digit_fraction: float = 0.2
    """0..1 of characters. OpenCoder has 0.2 of the visible ones, see below. 0.3 would keep tests full of numbers and
    half as much code, and tables of weights of many times their size. Source: docs/log.md."""
    max_visible_digit_fraction: float = 1.0
    """0..1 of characters that are no white space; OpenCoder has 0.2, 1 is off."""
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
    max_long_string_word_fraction: float = 0.6
    """0..1 of characters in words longer than 20 inside strings, addresses left out. OpenCoder has 0.4, which drops
    modules that name others in strings (Django's urls.py and settings.py). Source: docs/log.md."""
    max_long_string_lines_per_line: float = 1.0
    """Lines of strings with more than 20 words, a line of code; OpenCoder has 0.2, 1 is off (docstrings count)."""
    max_string_fraction: float = 0.9
    """0..1 of characters in string literals, docstrings too."""
    max_code_string_fraction: float = 0.9
    """0..1 of the code without comments and docstrings. OpenCoder has 0.6, which drops tables of messages."""
    max_data_fraction: float = 0.9
    """0..1 of characters in lists, sets, dictionaries and tuples of nothing but literals: a table of data in the form
    of a module. Source: docs/log.md, 8,100 installed files."""
    max_duplicate_line_fraction: float = 0.8
    """0..1 of lines that repeat an earlier one."""
    max_repeated_line_fraction: float = 0.9
    """0..1 of lines that have an equal one, every copy counted. OpenCoder has 0.7, which drops good tests."""
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
    """0..1 of characters in comments. Source: SantaCoder."""
    max_documentation_fraction: float = 0.95
    """0..1 of characters in comments and docstrings. OpenCoder has 0.8, which drops documented interfaces."""
    max_todo_line_fraction: float = 1.0
    """Of lines; OpenCoder has 0.01, 1 is off (one TODO in 90 lines is no fault)."""
    max_imports_per_line: float = 1.0
    """Import statements a line of code (no blank, comment or docstring). OpenCoder has 0.3, by substring, which drops
    most `__init__.py`; 1 only drops several imports on one line."""
    max_prints_per_line: float = 0.4
    """Calls of print a line of code. Source: OpenCoder, by substring."""
    max_asserts_per_line: float = 0.9
    """assert statements a line of code. OpenCoder has 0.4, by substring, which drops tests of small functions."""
    max_passes_per_line: float = 0.5
    """pass statements a line of code. OpenCoder has 0.05, by substring; modules of exceptions are half `pass`."""
    max_functions_per_line: float = 0.5
    """Functions a line of code. OpenCoder has 0.2, without async ones."""
    count_stubs: bool = False
    """Count functions without a body (only a docstring, `...` or `pass`) there too, as OpenCoder does, which drops
    protocols, interfaces and stub files. Source: docs/log.md, httptools' protocol.py."""
    max_simple_returns_per_line: float = 1.0
    """Functions that only return a name or a constant, a line of code; OpenCoder has 0.1, 1 is off."""
    max_declarations_per_line: float = 10.0
    """Functions, classes, imports, returns and class variables, a line of code. OpenCoder has 0.5 ("no logic"), 10 is
    off: several may share a line."""
    declarations_drop_fraction: float = 1.0
    """Share of the documents past it that are dropped, chosen by document_id. OpenCoder drops 0.8, by chance."""
    min_variables: int = 0
    """Names that are bound. OpenCoder asks for 1, which drops modules that only import."""
    bytes_per_token: float = 3.3
    """What the funnel's estimate of tokens assumes. Source: held-out text of the embedded archive (README)."""
    validation_fraction: float = 0.05
    """Share of the kept bytes, in whole origins, held out, 0..1."""
    seed: int = 1337
    """Seed of the order in which origins are held out."""


@dataclass(frozen=True, kw_only=True)
class SearchIndex:
    """How the corpus is searched for a text: whole, or a passage of it."""

    window: int = 16
    """Of so many consecutive shingles one is kept: a shared passage of shingle_words + window - 1 words is found.
    Source: winnowing, density 2 / (window + 1); 20 words are some two lines of code. Unit: shingles."""
    min_jaccard_fraction: float = 0.5
    """Documents at least so similar are told, 0..1; below `near_dup`'s, since a person looks at them."""
    min_contained_fraction: float = 0.5
    """Documents with this share of the text's shingles are told, 0..1."""
    max_candidates: int = 1000
    """Documents of a corpus file that are compared with the text, those with most in common first."""


def corpus_problems(corpus: Corpus, *, parsed: bool, decontaminated: bool) -> list[str]:
    """Rules whose signals nothing measures, one message each; the flags say what is measured."""
    problems = []
    if corpus.drop_unparsable and not parsed:
        problems.append("[corpus] drop_unparsable needs [language] parse = true")
    verdicts = ("permissive", "no_license", "non_permissive")
    problems += [
        f"[corpus] license_types: {name!r} is no verdict{nearest(name, verdicts)}"
        for name in corpus.license_types
        if name not in verdicts
    ]
    if corpus.drop_contaminated and not decontaminated:
        problems.append("[corpus] drop_contaminated needs [benchmarks] files: without any, nothing is looked for")
    return problems
