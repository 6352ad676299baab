"""Pages: their character set as browsers find it, their main text, and what is too costly or half read."""

import time

import pytest

from minicode_assets.sources.html_pages import declared_charset, page_text

PROSE = "The parser reads one line after the other and gives back what that line says to the caller. "
PAGE = "<html><head>{head}</head><body><main><h1>Parser</h1><p>{text}</p></main></body></html>"
WORDS = {"utf-8": "déjà пять 五", "latin-1": "déjà", "cp1252": "déjà “q”", "cp1251": "пять", "shift_jis": "日本語①",
         "gb2312": "中文镕", "euc-kr": "한국어", "koi8-r": "пять", "big5": "中文", "iso-8859-2": "žluť"}  # fmt: skip


def read(content: bytes, max_elements: int = 20_000) -> str:
    status, text = page_text(content, max_elements=max_elements)
    assert status == "ok"
    return text


@pytest.mark.parametrize("charset", WORDS)
@pytest.mark.parametrize(
    "head",
    ["<meta charset={}>", '<META http-equiv="Content-Type" content="text/html; charset={}">', '<meta charset = "{}" >'],
)
def test_the_character_set_that_a_page_declares(charset: str, head: str) -> None:
    codec = {"shift_jis": "cp932", "gb2312": "gb18030"}.get(charset, charset)  # the web writes what these lack
    page = PAGE.format(head=head.format(charset), text=f"{WORDS[charset]} {PROSE * 3}")
    assert WORDS[charset] in read(page.encode(codec))


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("head", ["", "<meta charset=utf-16>", "<meta charset=cp1251>"])
def test_marks_and_wide_characters_say_more_than_a_declaration(codec: str, head: str) -> None:
    assert f"déjà {PROSE.strip()}" in read(PAGE.format(head=head, text=f"déjà {PROSE * 3}").encode(codec))


@pytest.mark.parametrize(
    ("content", "charset"),
    [
        (b'<?xml version="1.0" encoding="windows-1251"?><html>', "cp1251"),
        (b"<!-- <meta charset=cp1251> --><meta charset=koi8-r>", "koi8-r"),
        (b"<meta charset=iso-8859-1>", "cp1252"),
        (b"<meta charset=utf-16><meta charset=cp1251>", None),
        (b"<meta charset=punycode>", None),
        (b"<meta charset=utf-7>", None),
        (b"<metadata charset=cp1251>", None),
        (b" " * 5000 + b"<meta charset=cp1251>", None),
    ],
)
def test_declarations(content: bytes, charset: str | None) -> None:
    assert declared_charset(content) == charset


def test_damaged_utf8_is_no_latin_1() -> None:
    page = PAGE.format(head="<meta charset=utf-8>", text="déjà vu " * 20 + PROSE).encode()
    assert page_text(page.replace(b"vu", b"v\xff", 1), max_elements=100) == ("undecodable", "")
    assert page_text(page.replace(b"vu", b"v\0", 1), max_elements=100) == ("nul", "")


def test_control_characters_cost_no_page() -> None:
    page = PAGE.format(head="", text=f"a\x0b{PROSE * 3}\x1b[0m<code>b &amp; c</code>")
    assert "a The parser" in read(page.encode())
    assert page_text(page.replace("&amp;", "&#11;").encode(), max_elements=99)[0] in ("ok", "malformed")


def test_a_bomb_of_entities_is_not_expanded() -> None:
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 9))
    bomb = f'<!DOCTYPE html [<!ENTITY a0 "ha">{entities}]><html><body><p>&a8;</p><p>{PROSE * 3}</p></body></html>'
    assert len(read(bomb.encode())) < 2 * len(bomb)


def test_what_would_be_read_by_half_or_for_ever() -> None:
    started = time.process_time()
    assert page_text(PAGE.format(head="", text="<b>" * 50_000).encode(), max_elements=20_000) == ("malformed", "")
    assert page_text(("<h1>a</h1>" * 100_000).encode(), max_elements=20_000) == ("too_long", "")
    for hostile in (b"<meta " * 100_000, b"<!--" * 100_000, b"<meta charset=" * 100_000, b"<!-- -" * 100_000):
        page_text(hostile, max_elements=20_000)
    assert time.process_time() - started < 5
    for content in (b"", b"   ", b"<html></html>", b"<!-- -->", b"\xff\xfe"):
        assert read(content) == ""
