"""What the chapters share: one look for every figure, and the book's pictures."""
