r"""Scaling laws: how the loss falls with the size of the model and of its data.

On two logarithmic scales a power law is a straight line, and its exponent the slope.
"""

from __future__ import annotations

import math

import numpy as np

# E, A, alpha, B, beta: as Hoffmann et al. print them for their third approach, as they
# stand in the paper's source, and as Besiroglu et al., Chinchilla Scaling: A
# Replication Attempt, fitted them to the same data. The printed ones are rounded too
# far to agree with the paper's other two approaches; the fitted ones do.
ROUNDED = (1.69, 406.4, 0.34, 410.7, 0.28)
UNROUNDED = (1.6934, 406.4, 0.3392, 410.7, 0.2849)
REFIT = (1.8172, 482.01, 0.3478, 2085.43, 0.3658)
FLOOR, A, ALPHA, B, BETA = ROUNDED


def scaling_loss(parameters, tokens, floor=FLOOR, a=A, alpha=ALPHA, b=B, beta=BETA):
    r"""The loss of a model of N parameters after D tokens:
    $L(N, D) = E + A / N^\alpha + B / D^\beta$.

    E is what no model can know. In nats per token, with Hoffmann et al.'s printed
    constants; `scaling_loss(n, d, *REFIT)` has those of Besiroglu et al.

    Source: [Cortes] conclusion. Oracle: the published loss of a 70 B model.

    >>> round(scaling_loss(70e9, 1.4e12), 2)
    1.94
    """
    return floor + a * parameters**-alpha + b * tokens**-beta


def compute_optimal(flops, a=A, alpha=ALPHA, b=B, beta=BETA):
    r"""Where the loss is least for a budget of $C = 6 N D$ operations:
    $N = G\,(C/6)^{\beta/(\alpha+\beta)}$, $G = (\alpha A/\beta B)^{1/(\alpha+\beta)}$.

    Returns the parameters N and the tokens D. How many tokens each parameter gets
    hangs on the constants: `compute_optimal(flops, *REFIT[1:])` for other ones.

    Oracle: a search over N.

    >>> parameters, tokens = compute_optimal(5.76e23)
    >>> f"{parameters:.1e} {tokens:.1e}"
    '3.2e+10 3.0e+12'
    """
    balance = (alpha * a / (beta * b)) ** (1 / (alpha + beta))
    parameters = balance * (flops / 6) ** (beta / (alpha + beta))
    return parameters, flops / (6 * parameters)


def fit_power_law(x, y, floor: float = 0.0) -> tuple[float, float]:
    r"""$(a, \alpha)$ of $y = E + a\,x^{-\alpha}$ by least squares on logarithms:
    a straight line through $(\ln x, \ln(y - E))$.

    Oracle: recovery of known constants; torch.linalg.lstsq.

    >>> a, alpha = fit_power_law([1.0, 4.0, 16.0], [8.0, 4.0, 2.0])
    >>> round(a, 6), round(alpha, 6)
    (8.0, 0.5)
    """
    x, above = np.asarray(x, float), np.asarray(y, float) - floor
    if x.ndim != 1 or x.shape != above.shape or len(np.unique(x)) < 2:
        raise ValueError("fit_power_law: a line needs two points or more: 1-d x and y")
    if not (np.all(x > 0) and np.all(above > 0)):
        raise ValueError("fit_power_law: x has to be above 0, and y above the floor")
    log_x, log_y = np.log(x), np.log(above)
    centered = log_x - log_x.mean()
    slope = float(centered @ log_y / (centered @ centered))
    return math.exp(float(log_y.mean()) - slope * float(log_x.mean())), -slope
