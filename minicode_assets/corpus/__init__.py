"""From documents to a corpus, with a reason for every row."""

from minicode_assets.errors import CorpusError

try:
    from minicode_assets.corpus import native as native
except ImportError as error:
    raise CorpusError(
        f"minicode_assets.corpus.native, the kernels in C: {error}", hint="make .venv/.installed builds them"
    ) from error
