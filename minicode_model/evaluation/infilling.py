"""Whether a filled gap is what the author wrote. Source: Ben Allal et al. 2023, SantaCoder (exact match)."""


def exact_match(completion: str, canonical: str) -> bool:
    """Whether two texts have the same lines; whitespace at line ends and empty lines at the end don't count."""
    return _lines(completion) == _lines(canonical)


def _lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines
