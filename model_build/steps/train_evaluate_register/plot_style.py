"""One look for all pictures: colours, fonts, sizes, grid; and names as a picture can show them."""

import functools
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import matplotlib
from matplotlib import font_manager
from matplotlib.figure import Figure

# Okabe and Ito's colours, which people who are colour-blind tell apart.
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, BLACK, GRAY = "#56B4E9", "#CC79A7", "#000000", "#767676"
CURVES = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY, BLACK, GRAY)
DASHES = ("-", "--")
# From few to many: rows of a cell, rows of a class.
SHADES = "Blues"
# From a small to a large value.
SCALE = "plasma"

# Characters of names: of a column or a curve, of a class at the side, of one that needs no slant.
LONG_NAME, SHORT_NAME, UPRIGHT_NAME = 40, 20, 5
_TITLE_SIZE = 11
_CHARACTERS_OF_AN_INCH = 11
# The first comes with matplotlib; of the others those that the machine has draw what it can't.
_FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Noto Sans JP",
    "Noto Sans SC",
    "Noto Sans KR",
    "Source Han Sans",
    "WenQuanYi Zen Hei",
    "IPAGothic",
    "Hiragino Sans",
    "PingFang SC",
    "Yu Gothic",
    "Microsoft YaHei",
    "Malgun Gothic",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Arial Unicode MS",
)

Arguments = ParamSpec("Arguments")
Drawn = TypeVar("Drawn")


def styled(draw: Callable[Arguments, Drawn]) -> Callable[Arguments, Drawn]:
    """All that the function draws has the one look, whatever the settings outside are."""

    @functools.wraps(draw)
    def wrapper(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Drawn:
        with matplotlib.rc_context(_list_settings()):
            return draw(*args, **kwargs)

    return wrapper


def make_figure(width: float, height: float) -> Figure:
    """In inches."""
    return Figure(figsize=(width, height), dpi=110, layout="constrained")


def add_title(axes: Any, *lines: str) -> None:
    """Left above the axes, each line wrapped to the figure's width."""
    width = int(axes.figure.get_figwidth() * _CHARACTERS_OF_AN_INCH)
    axes.set_title("\n".join(part for line in lines for part in textwrap.wrap(line, width)))


def show_name(name: Any, most: int) -> str:
    """In one line, without its middle if it is long: many names differ only at their ends.

    A character that no font here has is written as Python writes it, as in `\\u4fa1`: a square for
    each would make all such names one.
    """
    text = " ".join(str(name).split())
    text = "".join(
        character if _has_glyph(character) else character.encode("unicode_escape").decode()
        for character in text
    )
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}\N{HORIZONTAL ELLIPSIS}{text[-half:]}"


def show_names(names: Sequence[Any], most: int) -> list[str]:
    """Each as a picture shows it."""
    return [show_name(name, most) for name in names]


def count(shown: int, of_all: int, what: str = "test row") -> str:
    """`89 test rows`, or `80 of 89 test rows`."""
    some = "" if shown == of_all else f"{shown:,} of "
    return f"{some}{of_all:,} {what}{'' if of_all == 1 else 's'}"


def _list_settings() -> dict[str, Any]:
    return {
        **matplotlib.rcParamsDefault,
        "backend": matplotlib.rcParams["backend"],
        "font.family": list(_list_fonts()),
        # A column called "price_$_per_$" is a name, not a formula.
        "text.parse_math": False,
        "axes.axisbelow": True,
        "axes.edgecolor": GRAY,
        "axes.grid": True,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "axes.titlesize": _TITLE_SIZE,
        "figure.titlesize": _TITLE_SIZE,
        "grid.color": "#E5E5E5",
        "legend.frameon": True,
        "legend.edgecolor": "none",
        "legend.fontsize": 9,
        "xtick.color": GRAY,
        "xtick.labelcolor": BLACK,
        "ytick.color": GRAY,
        "ytick.labelcolor": BLACK,
    }


@functools.cache
def _list_fonts() -> tuple[str, ...]:
    there = set(font_manager.get_font_names())
    return tuple(name for name in _FONTS if name in there)


@functools.cache
def _has_glyph(character: str) -> bool:
    return character.isprintable() and any(
        font_manager.get_font(font_manager.findfont(name)).get_char_index(ord(character))
        for name in _list_fonts()
    )
