"""The unigram model: cutting a word the likeliest way, and learning the pieces."""
