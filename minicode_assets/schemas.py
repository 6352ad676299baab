"""The schema of every table artefact: columns with type, unit and meaning; unique key; row order."""

from dataclasses import dataclass, replace

import polars as pl

Type = pl.DataType | type[pl.DataType]
TIME = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class Column:
    """One column: name, Polars type, meaning with unit."""

    name: str
    dtype: Type
    meaning: str


@dataclass(frozen=True)
class Table:
    """The contract of one table.

    Attributes:
        name: The artefact's name.
        columns: In file order.
        key: Columns whose combination is unique; empty where the key is checked elsewhere.
        order: Columns by which rows are sorted.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    order: tuple[str, ...] = ()

    @property
    def polars(self) -> pl.Schema:
        """The Polars schema."""
        return pl.Schema({column.name: column.dtype for column in self.columns})


def _table(name: str, *columns: tuple[str, Type, str], key: str = "", order: str = "") -> Table:
    return Table(name, tuple(Column(*column) for column in columns), tuple(key.split()), tuple(order.split()))


ORIGIN = _table("swh_origin", ("url", pl.String, "Where the source was collected"), key="url", order="url")
ORIGIN_VISIT = _table(
    "swh_origin_visit",
    ("origin_url", pl.String, "origin.url"),
    ("visit", pl.Int64, "Number of the visit within its origin, from 1"),
    ("date", TIME, "When; null where the export has none"),
    ("status", pl.String, "full, partial, ongoing, created, not_found or failed"),
    ("snapshot", pl.Binary, "20 bytes; null where the visit has none"),
    key="origin_url visit",
    order="origin_url visit",
)
SNAPSHOT_BRANCH = _table(
    "swh_snapshot_branch",
    ("snapshot", pl.Binary, "20 bytes"),
    ("name", pl.Binary, "Branch name, raw bytes"),
    ("target", pl.Binary, "20 bytes, or the name of another branch for an alias; null when dangling"),
    ("target_type", pl.String, "content, directory, revision, release, snapshot or alias; null when dangling"),
    key="snapshot name",
    order="snapshot name",
)
REVISION = _table(
    "swh_revision",
    ("id", pl.Binary, "20 bytes"),
    ("directory", pl.Binary, "Root directory, 20 bytes"),
    ("date", TIME, "Author date; null where absent"),
    ("committer_date", TIME, "Committer date; null where absent"),
    ("type", pl.String, "git, tar, dsc, svn, hg, ..."),
    key="id",
    order="id",
)
RELEASE = _table(
    "swh_release",
    ("id", pl.Binary, "20 bytes"),
    ("name", pl.Binary, "Tag name, raw bytes"),
    ("target", pl.Binary, "20 bytes; null where absent"),
    ("target_type", pl.String, "revision, release, directory, content or snapshot; null in exports without it"),
    ("date", TIME, "Tag date; null where absent"),
    key="id",
    order="id",
)
DIRECTORY = _table(
    "swh_directory",
    ("id", pl.Binary, "20 bytes"),
    ("entries", pl.List(pl.Int64), "directory_entry.id of each entry, in no particular order"),
    key="id",
    order="id",
)
DIRECTORY_ENTRY = _table(
    "swh_directory_entry",
    ("id", pl.Int64, "Number of the entry within this export; several directories may share one"),
    ("name", pl.Binary, "Raw bytes"),
    ("type", pl.String, "file, dir or rev"),
    ("target", pl.Binary, "20 bytes: content sha1_git, directory id or revision id"),
    ("perms", pl.Int32, "git mode, e.g. 33188 = 0100644; null where the export has none"),
    key="id",
)
CONTENT = _table(
    "swh_content",
    ("sha1_git", pl.Binary, "20 bytes"),
    ("sha1", pl.Binary, "20 bytes; the public bucket's key"),
    ("length", pl.Int64, "Bytes"),
    key="sha1_git",
    order="sha1_git",
)
SKIPPED_CONTENT = _table(
    "swh_skipped_content",
    ("sha1_git", pl.Binary, "20 bytes; null where unknown"),
    ("sha1", pl.Binary, "20 bytes; null where unknown"),
    ("length", pl.Int64, "Bytes"),
    ("reason", pl.String, "Why the archive has no bytes; null in exports without it"),
    order="sha1_git sha1",
)
CANONICAL = {
    "origin": ORIGIN,
    "origin_visit": ORIGIN_VISIT,
    "snapshot_branch": SNAPSHOT_BRANCH,
    "revision": REVISION,
    "release": RELEASE,
    "directory": DIRECTORY,
    "directory_entry": DIRECTORY_ENTRY,
    "content": CONTENT,
    "skipped_content": SKIPPED_CONTENT,
}
"""Canonical form of the Software Heritage tables, by table name."""

BRANCH_HEADS = _table(
    "branch_heads",
    ("origin_url", pl.String, "origin.url"),
    ("visit", pl.Int64, "The visit that was chosen; null without one"),
    ("snapshot", pl.Binary, "20 bytes; null without one"),
    ("branch", pl.Binary, "The branch that was chosen, raw bytes; null without one"),
    ("revision", pl.Binary, "20 bytes; the release or directory of `anchor` where no revision is; null without a head"),
    ("anchor", pl.String, "What `revision` identifies: rev, rel or dir, as in SWHIDs; null without a head"),
    ("directory", pl.Binary, "Root directory, 20 bytes; null without a head"),
    ("rule", pl.String, "The rule that chose the head; null without one"),
    ("reason", pl.String, "Why there is no head; null with one"),
    key="origin_url branch",
    order="origin_url branch",
)
FILE_MANIFEST = _table(
    "file_manifest",
    ("origin_url", pl.String, "origin.url"),
    ("snapshot", pl.Binary, "20 bytes"),
    ("revision", pl.Binary, "20 bytes"),
    ("anchor", pl.String, "What `revision` identifies: rev, rel or dir, as in SWHIDs"),
    ("path", pl.Binary, "Raw bytes, relative to the root, no leading slash"),
    ("name", pl.Binary, "Last component of the path, raw bytes"),
    ("kind", pl.String, "file, executable or symlink, by mode"),
    ("perms", pl.Int32, "git mode: 33188 file, 33261 executable, 40960 symlink"),
    ("sha1_git", pl.Binary, "20 bytes"),
    ("sha1", pl.Binary, "20 bytes; null where the content is missing"),
    ("length", pl.Int64, "Bytes; null where the content is missing"),
    ("status", pl.String, "present, skipped or missing"),
    ("is_python", pl.Boolean, "A .py or .pyi file by name, or an executable without a suffix where those are taken"),
    ("is_license", pl.Boolean, "A licence file or package metadata by name"),
    ("is_vendored", pl.Boolean, "Third-party code by path"),
    key="origin_url revision path",
    order="origin_url revision path",
)
CONTENTS = _table(
    "contents",
    ("sha1_git", pl.Binary, "20 bytes"),
    ("sha1", pl.Binary, "20 bytes"),
    ("length", pl.Int64, "Bytes"),
    ("num_files", pl.Int64, "Manifest rows with this content"),
    ("is_python", pl.Boolean, "Any of them is Python by name"),
    ("is_license", pl.Boolean, "Any of them is a licence file by name"),
    key="sha1_git",
    order="sha1_git",
)
OPT_OUT = _table(
    "opt_out",
    ("kind", pl.String, "origin, owner, path or swhid"),
    ("value", pl.String, "A glob, [<host>/]<name>, or a SWHID"),
    key="kind value",
    order="kind value",
)
FETCH_PLAN = _table(
    "fetch_plan",
    ("sha1_git", pl.Binary, "20 bytes"),
    ("sha1", pl.Binary, "20 bytes"),
    ("length", pl.Int64, "Bytes"),
    ("priority", pl.Int64, "Order of fetching, least first; null when it is not fetched"),
    ("rule", pl.String, "The first rule that leaves it out; null when it is fetched"),
    key="sha1_git",
    order="sha1_git",
)
VAULT_FILES = _table(
    "vault_files",
    ("directory", pl.Binary, "A root directory that is fetched as one tarball, 20 bytes"),
    ("path", pl.Binary, "A wanted file in it: raw bytes, relative to it"),
    ("sha1_git", pl.Binary, "Its content, 20 bytes"),
    key="directory path",
    order="directory path",
)
BLOBS = _table(
    "blobs",
    ("sha1_git", pl.Binary, "20 bytes"),
    ("sha1", pl.Binary, "20 bytes"),
    ("length", pl.Int64, "Bytes, from the table"),
    ("status", pl.String, "verified, missing, masked, damaged, mismatch or unreachable"),
    ("problem", pl.String, "What was found instead; null when verified"),
    ("data", pl.Binary, "The bytes; null unless verified"),
    key="sha1_git",
    order="sha1_git",
)
LICENSE_BLOBS = replace(BLOBS, name="license_blobs")
QUARANTINE = _table(
    "quarantine",
    ("sha1_git", pl.Binary, "20 bytes, from the table"),
    ("sha1", pl.Binary, "20 bytes, from the table"),
    ("length", pl.Int64, "Bytes, from the table"),
    ("problem", pl.String, "The source, and what differs"),
    ("found_sha1_git", pl.Binary, "20 bytes, of what came"),
    ("found_sha1", pl.Binary, "20 bytes, of what came"),
    ("data", pl.Binary, "What came"),
    key="sha1_git",
    order="sha1_git",
)
DOCUMENTS = _table(
    "documents",
    ("document_id", pl.String, "32 hex digits of BLAKE2b over the qualified SWHID or other record id; stable"),
    ("source", pl.String, "swh, or another source's name; decides the format in training"),
    (
        "swhid",
        pl.String,
        "Qualified: swh:1:cnt:...;origin=...;visit=...;anchor=...;path=...; the last two of these "
        "four only for what is in the archive",
    ),
    ("sha1_git", pl.Binary, "20 bytes, of the file; where the record is no file, of the text in UTF-8"),
    ("origin_url", pl.String, "origin.url; the repository, site or dataset of another source's record"),
    ("revision", pl.Binary, "20 bytes; null for other sources"),
    ("record_id", pl.String, "The record's id in its source; null for swh, where it is the SWHID"),
    ("url", pl.String, "Where a person can look at the record; null where nobody can"),
    ("declared_license", pl.String, "SPDX expression that the source states; null without one"),
    ("date", TIME, "When the record was written or last changed; null where unknown"),
    ("path", pl.String, "Path; bytes that are not UTF-8 as \\xNN"),
    ("length_bytes", pl.Int64, "Bytes of the blob, or of the text where the record is no file"),
    ("encoding", pl.String, "The codec that decoded it; null without text"),
    (
        "status",
        pl.String,
        "ok, opted_out, missing, not_fetched (fetch_plan says why), too_long, nul, undecodable, or the rule by which a "
        "source dropped the record",
    ),
    ("text", pl.String, "The text, newlines as they are; marks as in sources/marks.py; null unless ok"),
    key="document_id",
    order="sha1_git origin_url revision path",
)
CONVERSATION_EVENTS = _table(
    "gharchive",
    ("thread", pl.String, "owner/name/issues/N"),
    ("bucket", pl.Int64, "0..255 by hash of the thread"),
    ("repository", pl.String, "owner/name"),
    ("event_id", pl.Int64, "The event's id"),
    ("date", pl.String, "When, ISO 8601"),
    ("type", pl.String, "IssuesEvent or IssueCommentEvent"),
    ("action", pl.String, "opened, closed, created, edited, deleted, ..."),
    ("title", pl.String, "The thread's title at that time; null where the event lacks it"),
    ("opener", pl.String, "The account that opened the thread"),
    ("opening", pl.String, "The thread's first text at that time"),
    ("author", pl.String, "The account that wrote `text`"),
    ("text", pl.String, "The comment or review; null for other events"),
    ("text_id", pl.Int64, "Its id; null for other events"),
)
LICENSE_FILES = _table(
    "license_files",
    ("sha1_git", pl.Binary, "20 bytes"),
    ("expression", pl.String, "SPDX expression; null when none was recognised"),
    (
        "rule",
        pl.String,
        "expression, metadata, hash, text, similar, tag or scancode: how; null when it was not recognised",
    ),
    ("score", pl.Float64, "Similarity to the licence text, 0..1; null when it was not recognised"),
    key="sha1_git",
    order="sha1_git",
)
_VERDICT = (
    ("license_type", pl.String, "permissive, no_license or non_permissive"),
    ("license_expression", pl.String, "SPDX expression; null for no_license"),
    ("license_rule", pl.String, "origin, ancestor, metadata, header or declared: which rule decided"),
    ("license_evidence", pl.String, "Paths that decided, joined by newlines; null for no_license"),
    ("license_score", pl.Float64, "Least score among the evidence, 0..1; null for no_license"),
)
ORIGIN_LICENSES = _table(
    "origin_licenses",
    ("origin_url", pl.String, "origin.url"),
    ("revision", pl.Binary, "20 bytes"),
    ("folder", pl.Binary, "A folder with Python files, raw bytes, no slash at either end; empty is the root"),
    *_VERDICT,
    key="origin_url revision folder",
    order="origin_url revision folder",
)
LANGUAGE = _table(
    "language",
    ("document_id", pl.String, "documents.document_id"),
    (
        "language",
        pl.String,
        "python, python_stub, notebook or other, by name and first line; or another kind of text",
    ),
    ("parses", pl.Boolean, "Python 3 parses the text; null without text and for other languages"),
    ("parse_problem", pl.String, "The parser's message; null when it parses"),
    ("is_generated", pl.Boolean, "Says that it is generated; null without text"),
    ("is_vendored", pl.Boolean, "Third-party code by path or by its own words"),
    key="document_id",
)
LICENSE = _table(
    "license",
    ("document_id", pl.String, "documents.document_id"),
    *_VERDICT,
    key="document_id",
)
HEURISTICS = _table(
    "heuristics",
    ("document_id", pl.String, "documents.document_id"),
    ("num_characters", pl.Int64, "Characters"),
    ("num_lines", pl.Int64, "Lines"),
    ("mean_line_length", pl.Float64, "Characters"),
    ("max_line_length", pl.Int64, "Characters"),
    ("alphabetic_fraction", pl.Float64, "0..1 of characters"),
    ("alphanumeric_fraction", pl.Float64, "0..1 of characters"),
    ("digit_fraction", pl.Float64, "0..1 of characters"),
    ("whitespace_fraction", pl.Float64, "0..1 of characters"),
    ("replacement_fraction", pl.Float64, "0..1 of characters that are U+FFFD"),
    ("encoded_fraction", pl.Float64, "0..1 of characters in base64, hex or unicode-escape runs"),
    ("encoded_span", pl.Int64, "Longest such run, characters"),
    ("duplicate_line_fraction", pl.Float64, "0..1 of lines that repeat an earlier one"),
    ("repeated_line_fraction", pl.Float64, "0..1 of lines that have an equal one, every copy counted"),
    ("num_words", pl.Int64, "Runs without white space"),
    ("mean_word_length", pl.Float64, "Characters"),
    ("long_word_fraction", pl.Float64, "0..1 of the words' characters in long words"),
    ("hex_word_fraction", pl.Float64, "0..1 of words that are hexadecimal numbers"),
    ("top_2gram_fraction", pl.Float64, "0..1 of the words' characters in the most frequent pair of words"),
    ("top_3gram_fraction", pl.Float64, "The same for three words"),
    ("top_4gram_fraction", pl.Float64, "The same for four words"),
    ("duplicate_5gram_fraction", pl.Float64, "0..1 of the words' characters in repeated runs of five words"),
    ("duplicate_6gram_fraction", pl.Float64, "The same for six words"),
    ("duplicate_10gram_fraction", pl.Float64, "The same for ten words"),
    ("comment_fraction", pl.Float64, "0..1 of characters in comments"),
    ("string_fraction", pl.Float64, "0..1 of characters in string literals"),
    ("code_string_fraction", pl.Float64, "The same without docstrings, 0..1 of code without comments and docstrings"),
    ("long_string_word_fraction", pl.Float64, "0..1 of characters in long words of strings, addresses left out"),
    ("num_long_string_lines", pl.Int64, "Lines of string literals with many words, docstrings included"),
    ("todo_line_fraction", pl.Float64, "Comments with todo, fixme or 'your code here', per line, 0..1"),
    ("docstring_fraction", pl.Float64, "0..1 of characters in docstrings; null when it doesn't parse"),
    ("num_code_lines", pl.Int64, "Lines with code: no blank, comment or docstring; null when it doesn't parse"),
    ("num_functions", pl.Int64, "def and async def; null when it doesn't parse"),
    ("num_classes", pl.Int64, "class statements; null when it doesn't parse"),
    ("num_imports", pl.Int64, "import statements; null when it doesn't parse"),
    ("num_asserts", pl.Int64, "assert statements; null when it doesn't parse"),
    ("num_passes", pl.Int64, "pass statements; null when it doesn't parse"),
    ("num_prints", pl.Int64, "Calls of print; null when it doesn't parse"),
    ("num_variables", pl.Int64, "Distinct names that are bound, parameters and attributes too; null as above"),
    ("num_branches", pl.Int64, "Branches, loops, comprehensions, and/or; null when it doesn't parse"),
    ("num_calls", pl.Int64, "Calls; null when it doesn't parse"),
    ("num_simple_returns", pl.Int64, "Functions that only return a name or constant; null when it doesn't parse"),
    ("num_returns", pl.Int64, "return statements; null when it doesn't parse"),
    ("num_class_variables", pl.Int64, "Names assigned right in a class body; null when it doesn't parse"),
    key="document_id",
)
ORIGIN_FACTS = _table(
    "origin_facts",
    ("origin_url", pl.String, "origin.url"),
    ("revision", pl.Binary, "The head, 20 bytes"),
    ("commit_date", TIME, "Committer date of the head; null where it is no revision or has none"),
    ("num_stars", pl.Int64, "Stars of the repository; null where unknown"),
    key="origin_url revision",
    order="origin_url revision",
)
PII = _table(
    "pii",
    ("document_id", pl.String, "documents.document_id"),
    (
        "pii_status",
        pl.String,
        "clean, redacted, or unsafe: redacted it would not parse any more; null without text",
    ),
    ("num_emails", pl.Int64, "E-mail addresses; null without text"),
    ("num_ips", pl.Int64, "Public IP addresses; null without text"),
    ("num_keys", pl.Int64, "Keys and tokens; null without text"),
    ("num_passwords", pl.Int64, "Passwords; null without text"),
    ("num_names", pl.Int64, "Names and user names of persons; null without text"),
    ("num_copyrights", pl.Int64, "Copyright headers; null without text"),
    ("pii_fraction", pl.Float64, "0..1 of characters in these but names and headers; null without text"),
    ("redacted_sha256", pl.Binary, "32 bytes, of the redacted text in UTF-8; null unless redacted"),
    key="document_id",
)
MALWARE = _table(
    "malware",
    ("document_id", pl.String, "documents.document_id"),
    ("matches", pl.List(pl.String), "scanner:rule of every find; null without text or where a scanner could not look"),
    ("problem", pl.String, "Why a scanner could not look; null where all did"),
    key="document_id",
)
QUALITY = _table(
    "quality",
    ("document_id", pl.String, "documents.document_id"),
    ("quality_score", pl.Float64, "Calibrated probability of a good document, 0..1; null without text or model"),
    ("quality_logit", pl.Float64, "The linear model's value; null as the score is"),
    key="document_id",
)
PII_SPANS = _table(
    "pii_spans",
    ("document_id", pl.String, "documents.document_id"),
    ("start", pl.Int64, "First byte in the document's text in UTF-8"),
    ("end", pl.Int64, "Byte after the last"),
    ("kind", pl.String, "email, ip, key, password, name or copyright"),
    ("rule", pl.String, "What found it: a rule, the maker of a key, or model"),
    ("replacement", pl.String, "What takes its place; null where it is left"),
    key="document_id start kind",
    order="document_id start",
)
LINT = _table(
    "lint",
    ("document_id", pl.String, "documents.document_id"),
    ("num_lint_errors", pl.Int64, "Findings of the rules that count as errors; null without text, parse or ruff"),
    ("num_lint_others", pl.Int64, "Other findings; null as above"),
    ("lint_score", pl.Float64, "0..10, by pylint's formula on lines that are not blank; null as above"),
    key="document_id",
)
EXACT_DUP = _table(
    "exact_dup",
    ("document_id", pl.String, "documents.document_id"),
    ("text_sha256", pl.Binary, "32 bytes, of the text in UTF-8; null without text"),
    ("normal_sha256", pl.Binary, "32 bytes, of the text without white space and in NFC; null without text"),
    ("group_size", pl.Int64, "Documents with this text in the partition; null without text"),
    ("keep_rank", pl.Int64, "Preference among equal texts, 0 for the representative; null without text"),
    ("duplicate_of", pl.String, "document_id of the representative; null for it and without text"),
    key="document_id",
)
MINHASH = _table(
    "minhash",
    ("document_id", pl.String, "documents.document_id"),
    ("num_words", pl.Int64, "Words that were compared (a licence header may be left out); null without text"),
    ("signature", pl.Binary, "num_permutations x 4 bytes, little-endian; null with fewer words than a shingle has"),
    key="document_id",
)
NEAR_DUP = _table(
    "near_dup",
    ("document_id", pl.String, "documents.document_id"),
    ("cluster_id", pl.String, "The representative's document_id, its own for it; null without text"),
    ("cluster_size", pl.Int64, "Documents with this representative, itself included; null without text"),
    ("duplicate_of", pl.String, "The representative's document_id; null for it and without text"),
    ("keep_rank", pl.Int64, "Preference in its cluster, 0 for the representative; null without text"),
    ("jaccard", pl.Float64, "Exact, of the shingles with the representative's, 0..1; null without text"),
    key="document_id",
)
BENCHMARKS = _table(
    "benchmarks",
    ("benchmark", pl.String, "Name of the file without its endings"),
    ("task_id", pl.String, "The problem's id in the benchmark"),
    ("kind", pl.String, "prompt, docstring or solution"),
    ("number", pl.Int64, "Number of the text among those of its kind, from 0"),
    ("text", pl.String, "The text"),
    key="benchmark task_id kind number",
    order="benchmark task_id kind number",
)
CONTAMINATION = _table(
    "contamination",
    ("document_id", pl.String, "documents.document_id"),
    (
        "num_exact",
        pl.Int64,
        "Benchmark texts it contains, white space aside; null without text or benchmarks",
    ),
    ("num_ngrams", pl.Int64, "Its n-grams (short) that are in a benchmark; null as above"),
    ("num_long_ngrams", pl.Int64, "Its n-grams (long) that are in a benchmark; null as above"),
    ("num_shapes", pl.Int64, "Runs of its tokens that are in a solution, names apart; null as above"),
    ("tasks", pl.List(pl.String), "benchmark:task_id of every hit, sorted; null as the counts are"),
    key="document_id",
)
CONTAMINATION_HITS = _table(
    "contamination_hits",
    ("document_id", pl.String, "documents.document_id"),
    ("benchmark", pl.String, "benchmarks.benchmark"),
    ("task_id", pl.String, "benchmarks.task_id"),
    ("kind", pl.String, "prompt, docstring or solution"),
    ("number", pl.Int64, "benchmarks.number"),
    ("rule", pl.String, "exact, ngram, long_ngram or shape"),
    ("num_matches", pl.Int64, "N-grams or runs of the document that are in this text; 1 for exact"),
    ("start", pl.Int64, "First byte of the first match in the document's text in UTF-8"),
    ("end", pl.Int64, "Byte after the last match"),
    key="document_id benchmark task_id kind number rule",
    order="document_id benchmark task_id kind number rule",
)
CHANGED_TEXTS = _table(
    "changed_texts",
    ("document_id", pl.String, "documents.document_id"),
    ("text", pl.String, "What the corpus gets instead of the document's text; null where that stays as it is"),
    ("changes", pl.List(pl.String), "Names of the steps that changed it, in order; empty where it stays as it is"),
    key="document_id",
)
REDACT = replace(CHANGED_TEXTS, name="redact")
REFORMAT = replace(CHANGED_TEXTS, name="reformat")
LLM_REWRITE = replace(CHANGED_TEXTS, name="llm_rewrite")
LLM_SCORES = _table(
    "llm_scores",
    ("document_id", pl.String, "documents.document_id"),
    (
        "llm_status",
        pl.String,
        "off, length, unparsable, scored, rewritten, rejected (an unbelievable answer) or failed (none); null without "
        "text",
    ),
    ("score_fraction", pl.Float64, "Mean of the scores, 0..1; null without"),
    ("readability", pl.Int64, "0..10; null without scores, as the next ones"),
    ("modularity", pl.Int64, "0..10"),
    ("clarity", pl.Int64, "0..10"),
    ("reusability", pl.Int64, "0..10"),
    ("educational", pl.Int64, "0..10"),
    ("problem", pl.String, "What was wrong with the answer; null when nothing was"),
    key="document_id",
)
CORPUS = _table(
    "corpus",
    ("document_id", pl.String, "documents.document_id"),
    ("source", pl.String, "documents.source; decides the format in training"),
    ("swhid", pl.String, "Qualified SWHID"),
    ("origin_url", pl.String, "origin.url"),
    ("path", pl.String, "Path"),
    ("license_expression", pl.String, "SPDX expression"),
    ("license_type", pl.String, "permissive, no_license or non_permissive"),
    ("license_evidence", pl.String, "Paths that decided the licence"),
    ("text_sha256", pl.Binary, "32 bytes, of the text in UTF-8"),
    ("parent_sha256", pl.Binary, "32 bytes, of the text in the archive that it was changed from; null if it wasn't"),
    ("changes", pl.List(pl.String), "Names of the steps that changed the text, in order"),
    ("length_bytes", pl.Int64, "Bytes of the text in UTF-8"),
    ("text", pl.String, "The text"),
    key="document_id",
    order="origin_url path",
)
DECISIONS = _table(
    "decisions",
    ("document_id", pl.String, "documents.document_id"),
    ("sha1_git", pl.Binary, "20 bytes"),
    ("origin_url", pl.String, "origin.url"),
    ("path", pl.String, "Path"),
    ("length_bytes", pl.Int64, "Bytes of the blob"),
    ("kept", pl.Boolean, "In the corpus"),
    ("split", pl.String, "train or validation; null when dropped"),
    ("drop_reasons", pl.List(pl.String), "Every rule that dropped it, in rule order; empty when kept"),
    key="document_id",
)
FUNNEL = _table(
    "funnel",
    ("step", pl.String, "all, then each rule in order, then kept"),
    ("num_documents", pl.Int64, "Documents that the rule drops (all, kept: that there are)"),
    ("length_bytes", pl.Int64, "Their bytes"),
    ("num_first", pl.Int64, "Documents for which it is the first reason"),
    ("num_left", pl.Int64, "Documents that neither this step nor one before it drops"),
    ("bytes_left", pl.Int64, "Their bytes"),
    ("tokens_left", pl.Int64, "Their tokens, estimated by bytes_per_token"),
    key="step",
)
ENCODED_DOCUMENTS = _table(
    "encoded_documents",
    ("document_id", pl.String, "documents.document_id"),
    ("source", pl.String, "documents.source"),
    ("swhid", pl.String, "Qualified SWHID"),
    ("origin_url", pl.String, "origin.url"),
    ("path", pl.String, "Path"),
    ("license_expression", pl.String, "SPDX expression; null where there is none"),
    ("num_bytes", pl.Int64, "Bytes of the text, marks of special tokens not counted"),
    ("num_tokens", pl.Int64, "Tokens, the special token that it begins with included"),
    ("tokens", pl.Binary, "Their ids, little-endian uint16, or uint32 where the vocabulary exceeds 65,536"),
    key="document_id",
    order="origin_url path",
)
TOKEN_DOCUMENTS = _table(
    "token_documents",
    ("document", pl.Int64, "Number of the document (training example) in its split, from 0"),
    ("example_id", pl.String, "A document_id, or an origin URL where a repository is one example"),
    ("token_start", pl.Int64, "First token of the file within the document: its <file_sep> or other lead"),
    ("num_tokens", pl.Int64, "Tokens of the file, special tokens included"),
    ("num_bytes", pl.Int64, "Bytes of text that they stand for, the path where shown included"),
    ("document_id", pl.String, "documents.document_id"),
    ("source", pl.String, "documents.source"),
    ("swhid", pl.String, "Qualified SWHID"),
    ("origin_url", pl.String, "origin.url"),
    ("path", pl.String, "Path"),
    ("license_expression", pl.String, "SPDX expression; null where there is none"),
    key="document token_start",
    order="document token_start",
)
