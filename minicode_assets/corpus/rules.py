"""The rules that drop documents, in the order in which the funnel shows them. Thresholds come from `[corpus]`."""

from dataclasses import dataclass

import polars as pl

from minicode_assets.config import Corpus

DUPLICATE = "exact_duplicate"
NEAR_DUPLICATE = "near_duplicate"
"""The last two rules, in this order; they need all partitions, so `select` applies them itself."""
_TEXT_PROBLEMS = ("missing", "too_long", "nul", "undecodable")


@dataclass(frozen=True)
class Rule:
    """One reason to drop a document.

    Attributes:
        name: The reason, as decisions and the funnel show it.
        drops: True where the rule drops the row; null where a signal that it needs is missing.
        always: The rule can be judged without a text.
    """

    name: str
    drops: pl.Expr
    always: bool = False

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
    """All rules but the last, `exact_duplicate` and `near_duplicate`, in order.

    Args:
        params: The `corpus` section.
    """
    return [
        *(Rule(f"text_{status}", pl.col("status") == status, always=True) for status in _TEXT_PROBLEMS),
        *(
            Rule(f"license_{verdict}", pl.col("license_type") == verdict, always=True)
            for verdict in ("non_permissive", "no_license", "permissive")
            if verdict not in params.license_types
        ),
        Rule("vendored", pl.col("is_vendored") & params.drop_vendored, always=True),
        Rule("generated", pl.col("is_generated") & params.drop_generated),
        Rule("unparsable", ~pl.col("parses") if params.drop_unparsable else pl.lit(False)),
        *_line_rules(params),
        *_character_rules(params),
        *_repetition_rules(params),
        *_syntax_rules(params),
        Rule("contaminated", _contaminated() if params.drop_contaminated else pl.lit(False)),
    ]


def _contaminated() -> pl.Expr:
    """Any hit of any kind; null where nothing was looked for."""
    return (pl.col("num_exact") > 0) | (pl.col("num_ngrams") > 0) | (pl.col("num_long_ngrams") > 0)


def _line_rules(params: Corpus) -> list[Rule]:
    return [
        Rule("too_short", pl.col("length_bytes") < params.min_length_bytes),
        Rule("few_lines", pl.col("num_lines") < params.min_lines),
        Rule("many_lines", pl.col("num_lines") > params.max_lines),
        Rule("mean_line_length", pl.col("mean_line_length") > params.max_mean_line_length),
        Rule("max_line_length", pl.col("max_line_length") > params.max_line_length),
    ]


def _character_rules(params: Corpus) -> list[Rule]:
    return [
        Rule("alphabetic", pl.col("alphabetic_fraction") < params.min_alphabetic_fraction),
        _above("digits", "digit_fraction", params.max_digit_fraction),
        _above("whitespace", "whitespace_fraction", params.max_whitespace_fraction),
        _above("replacement", "replacement_fraction", params.max_replacement_fraction),
        _above("encoded", "encoded_fraction", params.max_encoded_fraction),
        _above("encoded_span", "encoded_span", params.max_encoded_span),
        _above("hex_words", "hex_word_fraction", params.max_hex_word_fraction),
        _above("long_words", "long_word_fraction", params.max_long_word_fraction),
        _above("strings", "string_fraction", params.max_string_fraction),
        _above("comments", "comment_fraction", params.max_comment_fraction),
        _above("todos", "todo_line_fraction", params.max_todo_line_fraction),
    ]


def _repetition_rules(params: Corpus) -> list[Rule]:
    return [
        _above("duplicate_lines", "duplicate_line_fraction", params.max_duplicate_line_fraction),
        _above("top_2gram", "top_2gram_fraction", params.max_top_2gram_fraction),
        _above("top_3gram", "top_3gram_fraction", params.max_top_3gram_fraction),
        _above("top_4gram", "top_4gram_fraction", params.max_top_4gram_fraction),
        _above("duplicate_5gram", "duplicate_5gram_fraction", params.max_duplicate_5gram_fraction),
        _above("duplicate_6gram", "duplicate_6gram_fraction", params.max_duplicate_6gram_fraction),
        _above("duplicate_10gram", "duplicate_10gram_fraction", params.max_duplicate_10gram_fraction),
    ]


def _syntax_rules(params: Corpus) -> list[Rule]:
    """Rules on the syntax tree; they don't apply to a text that doesn't parse, which has its own rule."""
    per_line = {
        "imports": params.max_imports_per_line,
        "prints": params.max_prints_per_line,
        "asserts": params.max_asserts_per_line,
        "passes": params.max_passes_per_line,
        "functions": params.max_functions_per_line,
    }
    conditions = [
        *((name, pl.col(f"num_{name}") > threshold * pl.col("num_lines")) for name, threshold in per_line.items()),
        (
            "simple_returns",
            pl.col("num_simple_returns") > params.max_simple_returns_per_function * pl.col("num_functions"),
        ),
        ("variables", pl.col("num_variables") < params.min_variables),
    ]
    return [Rule(name, pl.when(~pl.col("parses")).then(False).otherwise(drops)) for name, drops in conditions]


def _above(name: str, column: str, threshold: float) -> Rule:
    return Rule(name, pl.col(column) > threshold)
