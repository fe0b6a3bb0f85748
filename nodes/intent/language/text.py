"""Text as it comes in, made even: one width, one case, one script, bounded length; and numbers in words."""

from __future__ import annotations

import re
import unicodedata

from nodes.intent.language.ontology import Language

MAX_CHARACTERS = 240
"""Longer than anyone speaks in one breath; what is longer is not understood rather than half understood."""

_HAN = re.compile(r"[\u3400-\u9fff]")
_KEPT = re.compile(r"[^\w%.,:+\-\u3400-\u9fff]+")  # the rest separates words

# Traditional forms of characters that occur in the car; enough for commands, no general converter.
_SIMPLER = str.maketrans(
    "開關調燈導離幾這個現時間車門窗後邊裡裏熱涼溫風機電話給媽發訊說講聽樂聲點請問還沒過來對線換減與遠樣嗎麼什從頭應該費"
    "場廳藥醫園學館飯樓東號暫續繼動靜兩萬處無為會讓遞語華漢",
    "开关调灯导离几这个现时间车门窗后边里里热凉温风机电话给妈发讯说讲听乐声点请问还没过来对线换减与远样吗么什从头应该费"
    "场厅药医园学馆饭楼东号暂续继动静两万处无为会让递语华汉",
)

_UNITS = {
    w: i
    for i, w in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
        ]
    )
}
_TENS = {
    w: 10 * i for i, w in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 2)
}
_WORD = "|".join([*_UNITS, *_TENS, "hundred"])
_ENGLISH = re.compile(rf"\b(?:(?:{_WORD})(?:[ -]and)?[ -])*(?:{_WORD})\b")
_DIGITS = {c: i for i, c in enumerate("零一二三四五六七八九")} | {"两": 2, "〇": 0}
_NUMERAL = "零〇一二两三四五六七八九十百"
_CHINESE = re.compile(rf"(?<!第)(?:[{_NUMERAL}]{{2,}}|[{_NUMERAL}](?=[度档米公分迈码级%号]))")


def normalise(text: str) -> str:
    """One line of lower-case text, full-width and traditional forms folded, apostrophes dropped ("what's" = "whats").

    Words are kept apart by single spaces and commas; within Chinese there are no spaces.
    """
    text = unicodedata.normalize("NFKC", text[: 4 * MAX_CHARACTERS]).lower().translate(_SIMPLER)
    text = re.sub(r"['’‘`´]", "", text)
    text = re.sub(r"[,;!?。、…~!?;，]+|\.(?!\d)|:(?!\d)", ",", text)
    text = _KEPT.sub(" ", text)
    text = re.sub(r"(?<=[\u3400-\u9fff]) +(?=[\u3400-\u9fff])", "", text)
    text = re.sub(r"\s*,[\s,]*", ", ", text)
    return text.strip(" ,-")


def language_of(text: str) -> Language:
    """Chinese where a quarter of the letters or more are Han characters: one of them says as much as three letters."""
    han = len(_HAN.findall(text))
    letters = sum(c.isalpha() for c in text)
    return "zh" if han and 4 * han >= letters else "en"


def with_digits(text: str, language: Language) -> str:
    """Numbers in words as digits: "twenty two" and "二十二" become 22. "one" alone is a pronoun and stays."""
    if language == "zh":
        text = re.sub(rf"百分之([{_NUMERAL}]+|\d+)", r"\1%", text)
        return _CHINESE.sub(lambda m: _chinese(m[0]), text)
    return _ENGLISH.sub(lambda m: m[0] if m[0] in ("one", "hundred") else str(_english(m[0])), text)


def _english(words: str) -> int:
    total = 0
    for word in re.split(r"[ -]", words):
        if word == "hundred":
            total = max(total, 1) * 100
        elif word != "and":
            total += _UNITS.get(word, 0) + _TENS.get(word, 0)
    return total


def _chinese(word: str) -> str:
    """Digits of a number up to 999; a row of bare digits ("一二零") is read one by one."""
    if not re.search("[十百]", word):
        return "".join(str(_DIGITS[c]) for c in word)
    total = digit = 0
    for c in word:
        if c in _DIGITS:
            digit = _DIGITS[c]
        else:
            total += max(digit, 0 if total else 1) * 100 if c == "百" else (digit or 1) * 10
            digit = 0
    return str(total + (digit * 10 if re.search("百[一二两三四五六七八九]$", word) else digit))
