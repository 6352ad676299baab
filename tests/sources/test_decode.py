"""Decoding follows Python's own rules: `tokenize.open` is the oracle for every file that Python can read."""

import codecs
import io
import tokenize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicode_assets.config import Documents
from minicode_assets.sources.decode import Decoded, cookie, decode

TEXT = 'name = "Zoë Ωmega"\n'


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"x = 1\r\n", Decoded("ok", "utf-8", "x = 1\r\n", "default")),
        (b"", Decoded("ok", "utf-8", "", "default")),
        (TEXT.encode(), Decoded("ok", "utf-8", TEXT, "default")),
        (codecs.BOM_UTF8 + b"x", Decoded("ok", "utf-8-sig", "x", "mark")),
        (TEXT.encode("utf-16"), Decoded("ok", "utf-16", TEXT, "mark")),
        (TEXT.encode("utf-32"), Decoded("ok", "utf-32", TEXT, "mark")),
        ("# -*- coding: latin-1 -*-\né".encode("latin-1"),
         Decoded("ok", "iso8859-1", "# -*- coding: latin-1 -*-\né", "cookie")),
        ("#!/x\n# vim: set fileencoding=cp1252 :\n€".encode("cp1252"),
         Decoded("ok", "cp1252", "#!/x\n# vim: set fileencoding=cp1252 :\n€", "cookie")),
        ("# coding: euc-jp\nあ".encode("euc-jp"), Decoded("ok", "euc_jp", "# coding: euc-jp\nあ", "cookie")),
        (b"# coding: no-such\nx", Decoded("ok", "utf-8", "# coding: no-such\nx", "passed_over")),
        ("# coding: ascii\né".encode(), Decoded("ok", "utf-8", "# coding: ascii\né", "passed_over")),
        (b"x = 1\n\n# coding: latin-1\n\xe9", Decoded("undecodable")),  # the third line is too late
        (b"x = 1\n# coding: latin-1\n\xe9", Decoded("undecodable")),  # the first line is code
        (b"\xe9", Decoded("undecodable")),
        (b"a\0b", Decoded("nul")),
        (b"\xe9\0", Decoded("nul")),
        (b"# coding: rot13\nk = 1", Decoded("ok", "utf-8", "# coding: rot13\nk = 1", "passed_over")),
        (b"# coding: unicode_escape\n\\x41", Decoded("ok", "utf-8", "# coding: unicode_escape\n\\x41", "passed_over")),
        (b"# coding: utf-7\n+AGE-", Decoded("ok", "utf-8", "# coding: utf-7\n+AGE-", "passed_over")),
        (codecs.BOM_UTF8 + b"\xff", Decoded("undecodable")),
    ],
)  # fmt: skip
def test_examples(content, expected):
    assert decode(content) == expected


@given(st.sampled_from(["utf-8", "latin-1", "cp1252", "koi8-r", "shift_jis", "utf-8-sig"]), st.text(max_size=60))
def test_what_python_reads_is_read_alike(codec, text):
    head = "" if codec.startswith("utf") else f"# -*- coding: {codec} -*-\n"
    try:
        content = (head + text.replace("\0", "")).encode(codec)
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        expected = content.decode(encoding)
    except (UnicodeError, SyntaxError):
        return
    assert decode(content).text == expected


@given(st.binary(max_size=300))
def test_never_raises_and_never_guesses(content):
    decoded = decode(content)
    assert (decoded.status == "ok") == (decoded.text is not None) == (decoded.encoding is not None)
    assert "\0" not in (decoded.text or "")


@given(st.binary(max_size=80))
def test_cookie_never_raises(line):
    cookie(b"# coding: " + line)


DETECT = Documents().detect_encodings
PROGRAM = "# {}\ndef add(first, second):\n    return first + second\n"


@pytest.mark.parametrize(
    ("codec", "comment"),
    [
        ("latin-1", "Größe des Fensters für Jürgen, déjà vu, señor"),
        ("cp1252", "Größe in „Pixeln“, für später"),
        ("shift_jis", "これは日本語のコメントです。関数を定義します"),
        ("euc_jp", "これは日本語のコメントです。関数を定義します"),
        ("cp1251", "Привет мир, это комментарий к функции, которая складывает"),
        ("koi8-r", "Привет мир, это комментарий к функции, которая складывает"),
        ("gbk", "这是一个中文注释用来说明函数的作用"),
        ("gbk", "导入自己写的函数。创建服务器地址为空端口为八千。处理函数是开始监听"),
        ("gbk", "请输入名称"),
        ("cp1251", "Питон сам"),
        ("koi8-r", "Местоположение по звёздам"),
        ("euc_kr", "이 함수는 두 수를 더합니다"),
        ("cp1252", "at 90° only"),
        ("cp1252", "© Foo, “theirs”"),
        ("big5", "這是一個中文註釋用來說明函數的作用"),
        ("utf-16-le", "no mark: Zoë"),
        ("utf-16-le", "no mark, and valid as UTF-8 with NULs"),
        ("utf-16-be", "no mark: Zoë"),
        ("utf-32-le", "no mark: Zoë"),
        ("utf-32-be", "no mark: Zoë"),
    ],
)
def test_other_encodings_are_detected(codec, comment):
    text = PROGRAM.format(comment)
    decoded = decode(text.encode(codec), detect=DETECT)
    assert (decoded.status, decoded.told_by, decoded.text) == ("ok", "guess", text)
    assert decode(text.encode(codec)).status != "ok"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ("Ünïcödé ".encode() * 20 + b"\xff", "undecodable"),  # damaged UTF-8 is not Latin-1
        (b"x = '\xed\xa0\x80\xed\xb0\x80'", "undecodable"),  # surrogates
        ("# the whole size, Größ".encode()[:-1], "undecodable"),  # cut in a character
        (b"x = '\xed\xa0\x80'", "undecodable"),  # one alone is no cp1251 either
        (bytes(range(256)) * 40, "nul"),
        (b"\x01\x00\x02\x00" * 200, "nul"),  # numbers are no UTF-16
        (b"\xff\xfe\xfa", "undecodable"),  # a mark decides alone
        (b"# coding: utf-16\nx = 1\n", "ok"),
        (b"# coding: cp037\nx = 1\n", "ok"),
    ],
    ids=range(9),
)
def test_what_is_no_text_stays_none(content, status):
    assert decode(content, detect=DETECT).status == status
    assert (decode(content, detect=DETECT).encoding or "utf-8") == "utf-8"


@given(st.binary(max_size=400))
def test_detection_never_raises(content):
    decoded = decode(content, detect=DETECT)
    assert (decoded.status == "ok") == (decoded.text is not None)
    assert "\0" not in (decoded.text or "")
    (decoded.text or "").encode()
