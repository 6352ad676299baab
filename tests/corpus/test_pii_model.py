"""The model beside the rules: a hand-made checkpoint in Hugging Face's format that knows one name and one city."""

from pathlib import Path

import pytest

from minicode_assets.config import Pii
from minicode_assets.corpus.annotate import pii
from minicode_assets.corpus.pii.model import load_detector
from minicode_assets.errors import CorpusError
from minicode_assets.parquet import read_table
from minicode_assets.schemas import PII_SPANS
from tests.corpus.worlds import documents_of

pytestmark = pytest.mark.slow
WORDS = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "grace", "hopper", "paris", "#", "said"]
LABELS = ["O", "B-NAME", "I-NAME", "B-CITY"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """No layers: the logits are a linear map of the words' normalised vectors, solved for the labels."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("checkpoint")
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.normalizer, words.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]", model_max_length=64
    ).save_pretrained(folder)
    torch.manual_seed(0)
    model = BertForTokenClassification(
        BertConfig(
            vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=0, num_attention_heads=1, intermediate_size=4,
            max_position_embeddings=64, num_labels=len(LABELS), id2label=dict(enumerate(LABELS)),
        )
    ).eval()  # fmt: skip
    with torch.no_grad():
        model.bert.embeddings.position_embeddings.weight.zero_()
        hidden = model.bert(torch.arange(len(WORDS))[None]).last_hidden_state[0]
        wanted = torch.zeros(len(WORDS), len(LABELS))
        wanted[:, 0] = 20.0
        for word, label in (("grace", 1), ("hopper", 2), ("paris", 3)):
            wanted[WORDS.index(word)] = 20.0 * torch.eye(len(LABELS))[label]
        model.classifier.weight.copy_(torch.linalg.lstsq(hidden, wanted).solution.T)
        model.classifier.bias.zero_()
    model.save_pretrained(folder)
    return folder


def test_the_model_adds_to_the_rules(checkpoint: Path, tmp_path: Path) -> None:
    far = "x = 1\n" * 60
    texts = {
        "a.py": f"{far}# Grace Hopper said grace@hopper.net\nname = 'Grace'\ngrace = 'Paris'\n",
        "b.py": "hopper = 1\n",
        "c.py": None,
    }
    documents = documents_of(texts, tmp_path / "documents")
    pii.annotate(documents, tmp_path / "pii", params=Pii(model=str(checkpoint)), config_digest="")
    spans = read_table(tmp_path / "pii", PII_SPANS, pattern="spans/*.parquet").sort("start")
    text = str(texts["a.py"])
    found = [(text[a:b], kind, rule) for a, b, kind, rule in spans.select("start", "end", "kind", "rule").iter_rows()]
    assert found == [
        ("Grace Hopper", "name", "model"),
        ("grace@hopper.net", "email", "address"),
        ("Grace", "name", "model"),
    ], "not the variables, which are no text; not the city, which no label stands for"
    assert spans["replacement"].to_list() == ["<NAME>", "<EMAIL>", "<NAME>"]


def test_wrong_folders_and_labels_are_told(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no token classification checkpoint"):
        load_detector(tmp_path, labels=("NAME=name",), min_score=0.5)
    with pytest.raises(CorpusError, match="expected some of"):
        load_detector(checkpoint, labels=("PERSON=name",), min_score=0.5)


def test_a_high_bar_leaves_all(checkpoint: Path) -> None:
    text = "# Grace Hopper"
    assert load_detector(checkpoint, labels=("NAME=name",), min_score=0.5)([text])[0][0].end == len(text)
    assert load_detector(checkpoint, labels=("NAME=name",), min_score=1.01)([text]) == [[]]
