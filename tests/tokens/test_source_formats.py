"""Every source's format: what a document of it looks like to the model."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicode_assets.errors import CorpusError, TokenizerError
from minicode_assets.sources.marks import escaped, mark
from minicode_assets.tokens.encode import ExampleEncoder
from minicode_assets.tokens.format import Example, File, Format, training_examples, validation_examples
from minicode_assets.tokens.source_formats import FORMATS, format_of
from minicode_model.tokenizer import SPECIAL_TOKENS
from tests.tokens.corpora import encoded_file, small_tokenizer

FORM = Format(
    repository_context=True, metadata_rate=1.0, fim_rate=1.0, fim_file_rate=1.0, max_example_tokens=10**6, seed=1
)
ISSUE = mark("<issue_start>") + "Title: <issue_start>\n" + mark("<issue_comment>") + "why?" + mark("<issue_closed>")


def file(source: str, text: str, number: int = 0) -> File:
    return encoded_file(f"{number:032x}", text, source=source, path=f"{number}.md", origin="https://example.org/a/b")


def encoder(seq_len: int = 512) -> ExampleEncoder:
    return ExampleEncoder(
        small_tokenizer(), seq_len=seq_len, fim_spm_rate=0.0, fim_syntax_rate=0.0, line_padding_fraction=0.001, seed=1
    )


def rendered(example: Example) -> bytes:
    return small_tokenizer().decode(encoder().encode(example).tokens, show_special=True)


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        ("swh", "x = '<file_sep>'\n", "<file_sep>x = '<file_sep>'\n<|endoftext|>"),
        ("issues", ISSUE, "<issue_start>Title: <issue_start>\n<issue_comment>why?<issue_closed><|endoftext|>"),
        ("issues", "no marks", "<file_sep>no marks<|endoftext|>"),
        ("pull_requests", mark("<pr>") + "Title: a" + mark("<pr_status>") + "opened", "<pr>Title: a<pr_status>opened"),
        (
            "notebooks",
            mark("<jupyter_start>")
            + mark("<jupyter_text>")
            + "# a"
            + mark("<jupyter_code>")
            + "1"
            + mark("<empty_output>"),
            "<jupyter_start><jupyter_text># a<jupyter_code>1<empty_output><|endoftext|>",
        ),
        ("notebook_scripts", "x = 1\n", "<jupyter_script>x = 1\n<|endoftext|>"),
        ("documentation", "Read me.", "<file_sep>Read me.<|endoftext|>"),
        ("arxiv", ISSUE, f"<file_sep>{ISSUE}<|endoftext|>"),
        ("issues", mark("<issue_start>") + escaped("\ufdd0<pr>"), "<issue_start>\ufdd0<pr><|endoftext|>"),
    ],
)
def test_documents_are_rendered(source: str, text: str, expected: str) -> None:
    [example] = validation_examples([file(source, text)], 0.0)
    assert rendered(example).startswith(expected.encode())


def test_only_code_stands_together() -> None:
    files = [file("swh", "a"), file("documentation", "b", 1), file("swh", "c", 2), file("issues", ISSUE, 3)]
    examples = list(training_examples(files, FORM))
    assert sorted(sorted(f.source for f in example.files) for example in examples) == [
        ["documentation"],
        ["issues"],
        ["swh", "swh"],
    ]
    assert {example.repository for example in examples if len(example.files) == 1} == {None}


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(SPECIAL_TOKENS), st.text(max_size=60)), min_size=2, max_size=12))
def test_marked_documents_are_never_rearranged_and_lose_nothing(parts: list[tuple[str, str]]) -> None:
    text = "".join(mark(name) + escaped(content) for name, content in parts)
    encoded = encoder(32).encode(Example("e", None, (file("issues", text),), 1.0))
    assert encoded.num_psm == encoded.num_spm == 0
    assert sum(encoded.piece_lengths) == len(encoded.tokens)
    expected = "".join(name + content for name, content in parts) + "<|endoftext|>"
    assert small_tokenizer().decode(encoded.tokens, show_special=True) == expected.encode()
    names = [SPECIAL_TOKENS.index(name) for name, _ in parts] + [0]
    assert encoded.tokens[encoded.tokens < len(SPECIAL_TOKENS)].tolist() == names


def test_prose_is_rearranged_at_the_rate_of_files() -> None:
    [example] = training_examples([file("documentation", "some text that is long enough " * 5)], FORM)
    tokens = encoder().encode(example).tokens
    assert np.isin([SPECIAL_TOKENS.index(f"<fim_{part}>") for part in ("prefix", "suffix", "middle")], tokens).all()


def test_an_unknown_source_and_an_unknown_token_are_named() -> None:
    with pytest.raises(CorpusError, match="source 'isues' has no format; did you mean 'issues'"):
        format_of("isues")
    with pytest.raises(TokenizerError, match="special token '<nothing>' is unknown"):
        file("issues", mark("<nothing>"))
    assert all(form.lead in SPECIAL_TOKENS for form in FORMATS.values())
