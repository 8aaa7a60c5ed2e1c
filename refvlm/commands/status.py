"""What a command says to the shell when it ends."""

GOOD, BAD_INPUT, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130
EXITS = "Exit status: 0 done, 1 bad input, 2 wrong usage, 130 interrupted."
