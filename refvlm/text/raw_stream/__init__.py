"""SentencePiece's raw stream: a text with its spaces made visible, and BPE on it."""
