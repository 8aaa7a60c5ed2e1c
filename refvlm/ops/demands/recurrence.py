"""Of recurrent layers: four gates for each unit, and sequences that fit."""

from ...shapes import ShapeError


def four_gates(function, weight_hh):
    """Rows for i, f, g and o."""
    rows, hidden = weight_hh.shape
    if rows != 4 * hidden:
        raise ShapeError(
            f"{function}: weight_hh is {weight_hh.shape}, but {hidden} units have four "
            f"gates each, i, f, g and o: ({4 * hidden}, {hidden})"
        )


def lengths_of_rows(function, x, lengths):
    """Each sequence is as long as it says, or longer."""
    times = x.shape[1]
    if lengths is not None and ((lengths < 0) | (lengths > times)).any():
        raise ValueError(
            f"{function}: lengths {lengths} must lie in 0 to {times}, the steps of x"
        )


def a_direction(function, reverse):
    """Forwards or backwards: yes or no."""
    if type(reverse) is not bool:
        raise ValueError(f"{function}: reverse is True or False, not {reverse!r}")
