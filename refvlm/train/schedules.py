r"""The learning rate as a function of the step: a slow start, then a long way down.

peak        _____
         __/     \__
       _/           \__
0    _/                \_____  floor
     0   warmup         total
"""

from __future__ import annotations

import math


def linear_warmup(step: int, peak: float, warmup: int) -> float:
    r"""A straight climb, and level from there: $\eta_t = \eta_{max} \min(1, t / T_w)$.

    Source: [Cortes] 8.2. Oracle: torch.optim.lr_scheduler.LambdaLR.

    >>> [linear_warmup(step, 8.0, 4) for step in (0, 1, 2, 4, 9)]
    [0.0, 2.0, 4.0, 8.0, 8.0]
    """
    _check("linear_warmup", step, warmup=warmup)
    return peak * step / warmup if step < warmup else peak


def cosine_annealing(step: int, peak: float, total: int, floor: float = 0.0) -> float:
    r"""Half a wave down: $\eta_t = \eta_{min} + \tfrac12 (\eta_{max} - \eta_{min})
    (1 + \cos \pi\,t / T)$, and level after step T.

    Source: [Cortes] 8.2. Oracle: torch.optim.lr_scheduler.CosineAnnealingLR.

    >>> [round(cosine_annealing(step, 8.0, 4), 3) for step in (0, 1, 2, 3, 4, 5)]
    [8.0, 6.828, 4.0, 1.172, 0.0, 0.0]
    """
    _check("cosine_annealing", step, total=total)
    if step >= total:
        return floor
    return floor + 0.5 * (peak - floor) * (1 + math.cos(math.pi * step / total))


def warmup_cosine(
    step: int, peak: float, warmup: int, total: int, floor: float = 0.0
) -> float:
    r"""The climb of `linear_warmup` to step $T_w$, then the way down of
    `cosine_annealing` over the $T - T_w$ steps that are left.

    Source: [Cortes] 8.2; [MicroVLM-V] 6, where the floor is 0.
    Oracle: transformers.get_cosine_schedule_with_warmup.

    >>> [round(warmup_cosine(step, 8.0, 2, 6), 3) for step in range(7)]
    [0.0, 4.0, 8.0, 6.828, 4.0, 1.172, 0.0]
    """
    _check("warmup_cosine", step, warmup=warmup, total=total)
    if warmup > total:
        raise ValueError(
            f"warmup_cosine: a warm-up of {warmup} steps does not fit in {total}"
        )
    if step < warmup:
        return linear_warmup(step, peak, warmup)
    return cosine_annealing(step - warmup, peak, total - warmup, floor)


def _check(name, step, **lengths):
    for what, value in {"step": step, **lengths}.items():
        if value < 0:
            raise ValueError(f"{name}: {what} is {value}, but steps count from 0")
