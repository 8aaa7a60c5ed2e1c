"""WordPiece, BERT's: words cut from the left into the longest pieces there are."""
