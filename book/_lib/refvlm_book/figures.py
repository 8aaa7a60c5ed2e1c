"""One look for every figure of the book, and the book's pictures.

    from refvlm_book import figures

    figures.use_style()
    cat = figures.picture()                       # (300, 451, 3), uint8
    figures.images([cat, cat[..., 0]], ["a cat", "its red channel"])

Figures are transparent, in colours that have a twin on a dark page (`colors`): lines
and letters in INK, TEAL, ORANGE, BLUE, ROSE or GRAY; PAPER for a box behind letters and
for letters on one of these colours; white or ON_BRIGHT for letters on a colour map. The
colours can be told apart by colour-blind readers; where a line's identity matters,
label it or change its dash as well.

A figure is at most WIDTH inches wide, so that its 12 points can be read on a phone: two
panels side by side at most, and more in further rows.
"""

from __future__ import annotations

import importlib.util
import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from .colors import BLUE, GRAY, GRID, INK, ON_BRIGHT, ORANGE, PAPER, ROSE, TEAL

PICTURES = Path(__file__).resolve().parents[2] / "images"

WIDTH = 4.8
MOST_COLUMNS = 3
LETTERS_PER_ROW = 57
COLORS = (TEAL, ORANGE, BLUE, ROSE, GRAY)

SEQUENTIAL = "viridis"
DIVERGING = "RdBu_r"

STYLE = {
    "figure.figsize": (WIDTH, 3.2),
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.hashsalt": "refvlm",
    "font.size": 12,
    "axes.titlesize": 12,
    "axes.labelsize": 12,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "legend.fontsize": 11,
    "mathtext.fontset": "cm",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRAY,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "lines.linewidth": 2.0,
    "legend.frameon": False,
    "legend.facecolor": PAPER,
    "image.cmap": SEQUENTIAL,
    "image.interpolation": "nearest",
    "axes.prop_cycle": cycler(color=COLORS),
}


def use_style() -> None:
    """Give every later figure of this notebook the book's look, as sharp SVG."""
    plt.rcParams.update(STYLE)
    _use_the_book_font()
    try:
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:
        return
    # Without the hour in it, the same figure is the same file.
    set_matplotlib_formats("svg", metadata={"Date": None})


def _use_the_book_font() -> None:
    """Source Sans, if its package is installed; else Matplotlib's own font stays."""
    package = importlib.util.find_spec("font_source_sans_pro")
    if package is None or not package.submodule_search_locations:
        return
    files = Path(package.submodule_search_locations[0]) / "files"
    for style in ("Regular", "It", "Semibold"):
        font_manager.fontManager.addfont(files / f"SourceSansPro-{style}.ttf")
    plt.rcParams["font.family"] = ["Source Sans Pro", "DejaVu Sans"]


def picture(name: str = "cat") -> np.ndarray:
    """One of the book's pictures as `uint8` (height, width, 3)."""
    file = PICTURES / f"{name}.jpg"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in PICTURES.glob("*.jpg")))
        raise ValueError(f"no picture named {name!r}; there are: {known}")
    with Image.open(file) as image:
        return np.array(image.convert("RGB"))


def images(
    pictures: Sequence[np.ndarray],
    titles: Sequence[str] = (),
    columns: int = MOST_COLUMNS,
    *,
    diverging: bool = False,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """A grid of pictures or feature maps, without axes.

    Colour pictures (height, width, 3) are shown as they are, maps (height,
    width) in the book's sequential colours. `diverging` puts zero at white;
    `limits` gives all maps one scale, so that they can be compared. Long titles are
    broken into lines; `columns` are three at most.
    """
    if not 1 <= columns <= MOST_COLUMNS:
        raise ValueError(
            f"images: columns is {columns}, but more than {MOST_COLUMNS} pictures side "
            "by side are too small for a phone"
        )
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    height, width = pictures[0].shape[:2]
    side = WIDTH / columns
    titles = [textwrap.fill(title, LETTERS_PER_ROW // columns) for title in titles]
    lines_of_title = max((title.count("\n") + 1 for title in titles), default=0)
    figure, grid = plt.subplots(
        rows,
        columns,
        figsize=(WIDTH, rows * (side * height / width + 0.08 + 0.22 * lines_of_title)),
        squeeze=False,
    )
    for position, axes in enumerate(grid.flat):
        axes.axis("off")
        if position >= len(pictures):
            continue
        shown = pictures[position]
        low, high = limits if limits else (shown.min(), shown.max())
        if diverging:
            high = max(abs(low), abs(high))
            low = -high
        if shown.ndim == 2:
            colors = DIVERGING if diverging else SEQUENTIAL
            axes.imshow(shown, cmap=colors, vmin=low, vmax=high)
        else:
            axes.imshow(shown)
        if position < len(titles):
            axes.set_title(titles[position])
    return figure


def matrix(
    values: np.ndarray,
    row_names: Sequence[str] = (),
    column_names: Sequence[str] = (),
    *,
    axes: Axes | None = None,
    number_format: str | None = "{:.2f}",
    diverging: bool = False,
) -> Axes:
    """A small matrix as coloured cells with their numbers: masks, attention.

    `number_format=None` leaves the numbers out, for matrices over about 10 x 10.
    """
    rows, columns = values.shape
    if axes is None:
        width = min(WIDTH, 0.9 + 0.55 * columns)
        _, axes = plt.subplots(figsize=(width, 0.6 + 0.5 * rows))
    shown = np.where(np.isfinite(values), values, np.nan)
    low, high = np.nanmin(shown), np.nanmax(shown)
    if diverging:
        high = max(abs(low), abs(high))
        low = -high
    colors = DIVERGING if diverging else SEQUENTIAL
    drawn = axes.imshow(shown, cmap=colors, vmin=low, vmax=high, aspect="auto")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xticks(range(columns) if column_names else [], list(column_names))
    axes.set_yticks(range(rows) if row_names else [], list(row_names))
    if number_format is not None:
        for (row, column), value in np.ndenumerate(values):
            red, green, blue, _ = drawn.cmap(drawn.norm(value))
            bright = 0.299 * red + 0.587 * green + 0.114 * blue > 0.55
            on_color = ON_BRIGHT if bright else "white"
            axes.text(
                column,
                row,
                number_format.format(value),
                ha="center",
                va="center",
                fontsize=11,
                color=on_color if np.isfinite(value) else INK,
            )
    return axes
