"""What turns text into ids: the library's engine, and our own for every kind."""
