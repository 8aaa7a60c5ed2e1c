"""The book's own sentences, as a text to learn from."""

from refvlm_book import prose

from ..spec import law


@law
def test_sentences_of_a_chapter_are_prose():
    """No code, no formula, no markup; and there is plenty of it."""
    lines = prose.sentences("attention")
    assert sum(map(len, lines)) > 5_000
    for line in lines:
        assert not set("`$#*") & set(line)
        assert "import " not in line and "assert " not in line
