"""How fast refvlm is, against PyTorch on the same machine. See README.md."""
