"""The rules that drop documents, in the order in which the funnel shows them. Thresholds come from `[corpus]`."""

from dataclasses import dataclass, replace

import polars as pl

from minicode_assets.config import Corpus
from minicode_assets.sources.statuses import STATUSES

DUPLICATE = "exact_duplicate"
NORMALISED_DUPLICATE = "normalised_duplicate"
NEAR_DUPLICATE = "near_duplicate"
DUPLICATES = (DUPLICATE, NORMALISED_DUPLICATE, NEAR_DUPLICATE)
"""The last rules, in this order; they need all partitions, so `select` applies them itself."""
OPTED_OUT = "opted_out"
"""The first rule: no threshold moves it."""
_TEXT_PROBLEMS = ("missing", "too_long", "nul", "undecodable")
IS_PYTHON = pl.col("language").is_in(["python", "python_stub"])
"""Rules on lines, words and syntax are for Python; other texts pass the rules of their own source before."""
FOR_ALL_TEXTS = frozenset({"too_short", "many_lines", "alphabetic", "replacement", "encoded", "encoded_span"})
"""Rules of the texts that hold for every source."""


@dataclass(frozen=True)
class Rule:
    """One reason to drop a document.

    Attributes:
        name: The reason, as decisions and the funnel show it.
        drops: True where the rule drops the row; null where a signal that it needs is missing.
        settings: Keys of `[corpus]` with its thresholds.
        always: The rule can be judged without a text.
        python_only: It says nothing about other texts.
    """

    name: str
    drops: pl.Expr
    settings: tuple[str, ...] = ()
    always: bool = False
    python_only: bool = False

    @property
    def signals(self) -> tuple[str, ...]:
        """Columns of the documents and sidecars that it looks at."""
        return tuple(dict.fromkeys(self.drops.meta.root_names()))

    @property
    def reason(self) -> pl.Expr:
        """The rule's reason, `<name>_unmeasured` where a signal is missing for a document with a text, or null."""
        unmeasured = self.drops.is_null() & (pl.col("status") == "ok") if not self.always else self.drops.is_null()
        return (
            pl.when(self.drops)
            .then(pl.lit(self.name))
            .when(unmeasured)
            .then(pl.lit(f"{self.name}_unmeasured"))
            .otherwise(pl.lit(None, dtype=pl.String))
        )


def rules(params: Corpus) -> list[Rule]:
    """All rules but the last, DUPLICATES, in order.

    Args:
        params: The `corpus` section.
    """
    return [
        Rule(OPTED_OUT, pl.col("status") == "opted_out", always=True),
        *(Rule(f"text_{status}", pl.col("status") == status, always=True) for status in _TEXT_PROBLEMS),
        *(Rule(f"source_{status}", pl.col("status") == status, always=True) for status in STATUSES),
        *(
            Rule(
                f"license_{verdict}",
                (pl.col("license_type") == verdict) & ~pl.col("source").is_in(list(params.any_license_sources)),
                ("license_types", "any_license_sources"),
                always=True,
            )
            for verdict in ("non_permissive", "no_license", "permissive")
            if verdict not in params.license_types
        ),
        Rule(
            "language",
            ~pl.col("language").is_in(params.languages) & (pl.col("source") == "swh"),
            ("languages",),
            always=True,
        ),
        Rule("vendored", pl.col("is_vendored") & params.drop_vendored, ("drop_vendored",), always=True),
        Rule("text_not_fetched", pl.col("status") == "not_fetched", always=True),
        Rule("generated", pl.col("is_generated") & params.drop_generated, ("drop_generated",)),
        *map(_for_its_texts, _text_rules(params)),
        Rule("malware", _malicious() if params.drop_malware else pl.lit(False), ("drop_malware",)),
        Rule("pii_unsafe", pl.col("pii_status") == "unsafe"),
        _above("pii_density", "pii_fraction", "max_pii_fraction", params),
        Rule("contaminated", _contaminated() if params.drop_contaminated else pl.lit(False), ("drop_contaminated",)),
    ]


def _text_rules(params: Corpus) -> list[Rule]:
    return [
        Rule("unparsable", ~pl.col("parses") if params.drop_unparsable else pl.lit(False), ("drop_unparsable",)),
        *_line_rules(params),
        *_character_rules(params),
        *_repetition_rules(params),
        *_syntax_rules(params),
        Rule(
            "quality",
            pl.col("quality_score") < params.min_quality_score if params.min_quality_score > 0 else pl.lit(False),
            ("min_quality_score",),
        ),
    ]


def _for_its_texts(rule: Rule) -> Rule:
    """The rule, held to Python unless it is for all texts."""
    return replace(rule, python_only=rule.name not in FOR_ALL_TEXTS)


def applied(rule: Rule) -> pl.Expr:
    """The rule's reason for the texts that it is for, or null."""
    return pl.when(IS_PYTHON).then(rule.reason) if rule.python_only else rule.reason


def _malicious() -> pl.Expr:
    """Any find of any scanner; null where one that is on could not look."""
    return pl.col("matches").list.len() > 0


def _contaminated() -> pl.Expr:
    """Any hit of any kind; null where nothing was looked for."""
    names = ("num_exact", "num_ngrams", "num_long_ngrams", "num_statements", "num_shapes")
    return pl.any_horizontal(pl.col(name) > 0 for name in names)


def _line_rules(params: Corpus) -> list[Rule]:
    return [
        _below("too_short", "length_bytes", "min_length_bytes", params),
        _below("few_characters", "num_characters", "min_characters", params),
        _below("few_words", "num_words", "min_words", params),
        _below("short_words", "mean_word_length", "min_mean_word_length", params),
        _above("wide_words", "mean_word_length", "max_mean_word_length", params),
        _below("few_lines", "num_lines", "min_lines", params),
        _above("many_lines", "num_lines", "max_lines", params),
        _below("short_lines", "mean_line_length", "min_mean_line_length", params),
        _above("mean_line_length", "mean_line_length", "max_mean_line_length", params),
        _above("max_line_length", "max_line_length", "max_line_length", params),
    ]


def _character_rules(params: Corpus) -> list[Rule]:
    return [
        _below("alphabetic", "alphabetic_fraction", "min_alphabetic_fraction", params),
        Rule(
            "visible_alphabetic",
            pl.col("alphabetic_fraction") < params.min_visible_alphabetic_fraction * _visible(),
            ("min_visible_alphabetic_fraction",),
        ),
        _above("digits", "digit_fraction", "max_digit_fraction", params),
        Rule(
            "visible_digits",
            pl.col("digit_fraction") > params.max_visible_digit_fraction * _visible(),
            ("max_visible_digit_fraction",),
        ),
        _above("whitespace", "whitespace_fraction", "max_whitespace_fraction", params),
        _above("replacement", "replacement_fraction", "max_replacement_fraction", params),
        _above("encoded", "encoded_fraction", "max_encoded_fraction", params),
        _above("encoded_span", "encoded_span", "max_encoded_span", params),
        _above("hex_words", "hex_word_fraction", "max_hex_word_fraction", params),
        _above("long_words", "long_word_fraction", "max_long_word_fraction", params),
        _above("long_string_words", "long_string_word_fraction", "max_long_string_word_fraction", params),
        _above("strings", "string_fraction", "max_string_fraction", params),
        _above("code_strings", "code_string_fraction", "max_code_string_fraction", params),
        _above("comments", "comment_fraction", "max_comment_fraction", params),
        Rule("documentation", _documentation() > params.max_documentation_fraction, ("max_documentation_fraction",)),
        _above("todos", "todo_line_fraction", "max_todo_line_fraction", params),
    ]


def _repetition_rules(params: Corpus) -> list[Rule]:
    return [
        _above("duplicate_lines", "duplicate_line_fraction", "max_duplicate_line_fraction", params),
        _above("repeated_lines", "repeated_line_fraction", "max_repeated_line_fraction", params),
        _above("top_2gram", "top_2gram_fraction", "max_top_2gram_fraction", params),
        _above("top_3gram", "top_3gram_fraction", "max_top_3gram_fraction", params),
        _above("top_4gram", "top_4gram_fraction", "max_top_4gram_fraction", params),
        _above("duplicate_5gram", "duplicate_5gram_fraction", "max_duplicate_5gram_fraction", params),
        _above("duplicate_6gram", "duplicate_6gram_fraction", "max_duplicate_6gram_fraction", params),
        _above("duplicate_10gram", "duplicate_10gram_fraction", "max_duplicate_10gram_fraction", params),
    ]


def _syntax_rules(params: Corpus) -> list[Rule]:
    """Rules on the syntax tree; they don't apply to a text that doesn't parse, which has its own rule."""
    per_line = {
        "imports": "max_imports_per_line",
        "prints": "max_prints_per_line",
        "asserts": "max_asserts_per_line",
        "passes": "max_passes_per_line",
        "simple_returns": "max_simple_returns_per_line",
        "long_string_lines": "max_long_string_lines_per_line",
    }
    lines = pl.col("num_code_lines")
    return [
        *(
            Rule(name, _if_parsed(pl.col(f"num_{name}") > getattr(params, setting) * lines), (setting,))
            for name, setting in per_line.items()
        ),
        Rule(
            "functions",
            _if_parsed(_functions(params) > params.max_functions_per_line * lines),
            ("max_functions_per_line", "count_stubs"),
        ),
        Rule(
            "declarations",
            _if_parsed((_declarations() > params.max_declarations_per_line * lines) & _drawn(params)),
            ("max_declarations_per_line", "declarations_drop_fraction"),
        ),
        Rule("data", _if_parsed(pl.col("data_fraction") > params.max_data_fraction), ("max_data_fraction",)),
        Rule("variables", _if_parsed(pl.col("num_variables") < params.min_variables), ("min_variables",)),
    ]


def _visible() -> pl.Expr:
    """Share of the characters that are no white space."""
    return 1 - pl.col("whitespace_fraction")


def _documentation() -> pl.Expr:
    """Share of the characters in comments and docstrings; a text that doesn't parse has no docstring."""
    return pl.col("comment_fraction") + pl.when(~pl.col("parses")).then(0.0).otherwise(pl.col("docstring_fraction"))


def _functions(params: Corpus) -> pl.Expr:
    """Functions with a body; under `count_stubs` those without one too."""
    return pl.col("num_functions") - (pl.lit(0) if params.count_stubs else pl.col("num_stubs"))


def _declarations() -> pl.Expr:
    """Statements that declare and don't compute. Source: OpenCoder's "no logic" score, on the syntax tree."""
    names = ("num_functions", "num_classes", "num_imports", "num_returns", "num_class_variables")
    return pl.sum_horizontal(names, ignore_nulls=False)


def _drawn(params: Corpus) -> pl.Expr:
    """A fixed share of all documents, drawn by document_id, which is a hash already."""
    drawn = pl.col("document_id").str.head(8).str.to_integer(base=16)
    return drawn < params.declarations_drop_fraction * 2**32


def _if_parsed(drops: pl.Expr) -> pl.Expr:
    return pl.when(~pl.col("parses")).then(False).otherwise(drops)


def _above(name: str, column: str, setting: str, params: Corpus) -> Rule:
    return Rule(name, pl.col(column) > getattr(params, setting), (setting,))


def _below(name: str, column: str, setting: str, params: Corpus) -> Rule:
    return Rule(name, pl.col(column) < getattr(params, setting), (setting,))
