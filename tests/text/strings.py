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
