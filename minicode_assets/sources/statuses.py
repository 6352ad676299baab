"""Every rule by which a source drops a record, with what it means. The funnel shows them as `source_<name>`."""

MEANINGS = {
    "malformed": "the record is not what its format says",
    "empty": "no text is left",
    "short": "less text than the source asks for",
    "language": "another programming or natural language",
    "symbols": "mostly marks",
    "no_prose": "no sentences",
    "template": "a template and little else",
    "message": "a commit message too short or too long",
    "subject": "a commit subject that says nothing",
    "version": "a release or a dependency update",
    "same": "nothing but white space at the ends of lines changed",
    "bot": "opened by a program",
    "orphan": "answers whose question is not there",
    "few_answers": "a question with fewer answers than the section asks for",
    "one_user": "a long conversation of one user",
    "opted_out": "its author or repository opted out",
    "score": "a score below the one that the section asks for",
    "damaged": "the stored bytes can't be unpacked, or are not those of their id",
    "masked": "taken down in the archive",
    "unreachable": "no source of contents answered",
    "sampled_out": "thinned out by hash",
}
STATUSES = tuple(MEANINGS)
