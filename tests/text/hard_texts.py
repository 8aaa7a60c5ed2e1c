"""Texts to try a tokenizer on."""

import unicodedata

from hypothesis import strategies as st

# What cutting and composing may get wrong: contractions, letters that fold, digits of
# all kinds, runs of spaces and line ends, marks that combine, joined emoji, markers.
NASTY = [
    *("'s", "'RE", "'ſ", "’s", "''t", "don't", "12", "٣٤", "½", "Ⅳ", "²"),
    *(" ", "  ", "\t", "\n", "\r\n", "\x0b", "\x1c", "\x85", "\xa0", "\u2028"),
    *("e\u0301", "\u0301", "a\u0323\u0307", "Å", "ﬁ", "İ", "한", "\u1112\u1161\u11ab"),
    *("数学", "\u3000", "עברית", "हिन्दी", "🙂", "👩\u200d🚀", "🏳\ufe0f", "\ufeff"),
    *("Ġ", "Ċ", "ĠĠ", " red", " a circle", "-", "--\n", "_x", "<|im_end|>", "<image>"),
    *("\x00", "\x7f", "\U0010ffff"),
]


# Texts that every kind of tokenizer has to cut and give back as the library does.
SPACES = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005"
    "\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\u180e\u200b\u2060\ufeff"
)
HARD = {
    "nothing": "",
    "one letter": "a",
    "one space": " ",
    "spaces of every kind": SPACES,
    "spaces between letters": "x".join(SPACES),
    "spaces at either end": "  \n red cube \t ",
    "runs of spaces": "red  cube   on    a\n\n\n table",
    "marks that combine": "e\u0301 a\u0323\u0307 a\u0307\u0323 o\u0308\u0304 \u0301x",
    "a letter under many marks": "Z" + "\u0300\u0323\u0315" * 10 + "algo",
    "composed and not": "\u00e9e\u0301 \u212b \u00c5 A\u030a \ufb01 \u2460 \uff21",
    "Korean in two forms": "\ud55c\uad6d\uc5b4 \u1112\u1161\u11ab\u1100\u116e\u11a8",
    "emoji with joiners": "👩\u200d🚀 👨\u200d👩\u200d👧 🏳\ufe0f\u200d🌈 👍🏽",
    "emoji of two letters": "🇩🇪🇫🇷 1\ufe0f\u20e3 \U0001f9d1\u200d\U0001f9b1",
    "right to left": "שלום עולם, مرحبا بالعالم ١٢٣ \u200fabc\u200e \u202eabc\u202c",
    "Hebrew with its points": "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd",
    "Chinese and Japanese": "数学は楽しい。中文字，日本語カタカナ ｶﾀｶﾅ 𠀀𪚥 豈",
    "a script that joins": "हिन्दी में क्षत्रिय தமிழ் ภาษาไทย မြန်မာ",
    "NUL and controls": "a\x00b\x01c\x7fd\x80e\x9ff\ufffdg\xad\u200eh",
    "private and last": "\ue000 \U000f0000 \U0010ffff \ufdd0 \uffff",
    "letters that fold": "İstanbul ıI ſS ß ẞ ΣΑΣ ς ǅ ﬀ K Å ŉ Dž",
    "numbers of all kinds": "12 1,234.5 ٣٤ ½ Ⅳ ² ⑤ 𝟙 〇",
    "signs": "a-b a_b a--b ... ?! «x» “y” $5 #1 @z a/b\\c ~`^|<> ¡¿ € © ™ ☃",
    "contractions": "it's IT'S don't 'twas ''t we’ll y'all's 'S",
    "a word that nobody saw": "pneumonoultramicroscopicsilicovolcanoconiosis",
    "the visible space itself": "\u2581 a\u2581b \u2581\u2581",
    "the end of a word itself": "</w> a</w> b </w>",
    "a piece of a word itself": "## ##ing a##b #",
    "a byte itself": "<0x41> <0xE2><0x96><0x81> Ġ Ċ Ã©",
    "broken UTF-8 repaired": "\ufffd\ufffdx",
    "code": "def main(x):\n\treturn x ** 2  # 数\n",
}
# Each a megabyte or so in one word, where what is quadratic takes hours.
LONG = {
    "one letter": "a" * 1_000_000,
    "two letters": "ab" * 500_000,
    "words": "redcircle" * 110_000,
    "Chinese": "数学" * 170_000,
    "signs": "-=" * 500_000,
    "spaces": " " * 1_000_000,
    "marks": "e" + "\u0301\u0323" * 250_000,
    "emoji": "👩\u200d🚀" * 90_000,
}
NO_TEXTS = ["\ud800", "a\udcff", "\udc80\ud800", b"a", None, 3, ["a"]]


def known_to_both(character):
    """Assigned in this Python's Unicode, and no mark that is newer than Unicode 3.2.

    Tables of later versions know more characters: the cut and the composed form of
    those may differ. The library composes by a table that lacks the newer marks.
    """
    category = unicodedata.category(character)
    old = unicodedata.ucd_3_2_0.category(character) != "Cn"
    return category != "Cn" and (old or category[0] != "M")


anything = st.characters(codec="utf-8").filter(known_to_both)
unicode_texts = st.lists(
    st.sampled_from(NASTY) | st.text(anything, max_size=5), max_size=8
).map("".join)
