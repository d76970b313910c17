"""One look for all pictures, whatever is set outside; and names that can be told apart."""

from __future__ import annotations

import io

import matplotlib
import matplotlib.pyplot as plt
import plot_style
import pytest
from plot_style import add_title, count, make_figure, show_name, styled


@styled
def draw(name: str) -> matplotlib.figure.Figure:
    figure = make_figure(4, 3)
    axes = figure.subplots()
    axes.set_yticks([0], [show_name(name, 20)])
    add_title(axes, f"All about {name}")
    return figure


def test_settings_from_outside_change_nothing_and_are_left_as_they_were() -> None:
    before = dict(matplotlib.rcParams)
    plain = io.BytesIO()
    draw("price").savefig(plain)
    with matplotlib.rc_context(
        {"axes.facecolor": "black", "text.parse_math": True, "font.size": 4}
    ):
        figure = draw("price")
    dark = io.BytesIO()
    figure.savefig(dark)
    assert dark.getvalue() == plain.getvalue()
    assert dict(matplotlib.rcParams) == before
    assert not plt.get_fignums()


def test_a_name_is_no_formula() -> None:
    figure = draw("a_$x^2$")
    (axes,) = figure.axes
    texts = [axes.title, axes._left_title, *axes.get_yticklabels()]
    assert not any(text.get_parse_math() for text in texts)


@pytest.mark.parametrize("name", ["Größe", "цена", "τιμή", "מחיר", "price €"])
def test_letters_that_a_font_has_are_shown(name: str) -> None:
    assert show_name(name, 20) == name
    draw(name).savefig(io.BytesIO())


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("価格", "\\u4fa1\\u683c"),
        ("価", "\\u4fa1"),
        ("a\u200bb\x07", "a\\u200bb\\x07"),
        ("two\nlines", "two lines"),
        ("\U0001f9ac", "\\U0001f9ac"),
        ("", ""),
    ],
)
def test_what_no_font_has_is_written_as_python_does_without_a_warning(
    name: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the fonts that matplotlib brings: a machine may have others."""
    monkeypatch.setattr(plot_style, "_list_fonts", lambda: ("DejaVu Sans",))
    plot_style._has_glyph.cache_clear()
    assert show_name(name, 20) == shown
    draw(shown).savefig(io.BytesIO())
    plot_style._has_glyph.cache_clear()


def test_a_font_of_the_machine_is_taken_for_what_the_first_has_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """STIXGeneral, which comes with matplotlib, stands for one: it has more signs."""
    fonts = ("DejaVu Sans", "STIXGeneral")
    monkeypatch.setattr(plot_style, "_list_fonts", lambda: fonts)
    plot_style._has_glyph.cache_clear()
    sign = find_sign("STIXGeneral")
    assert show_name(sign, 20) == sign
    draw(sign).savefig(io.BytesIO())
    plot_style._has_glyph.cache_clear()


def find_sign(name: str) -> str:
    """A sign of this font that DejaVu Sans has not."""
    from matplotlib import font_manager

    signs, others = (
        set(font_manager.get_font(font_manager.findfont(font)).get_charmap())
        for font in (name, "DejaVu Sans")
    )
    return next(chr(code) for code in sorted(signs - others) if chr(code).isprintable())


def test_fonts_are_those_that_are_there() -> None:
    assert plot_style._list_fonts()[0] == "DejaVu Sans"
    assert set(plot_style._list_fonts()) <= set(plot_style._FONTS)


def test_a_long_title_is_wrapped_to_the_figure() -> None:
    figure = draw("x" + " and more" * 12)
    lines = figure.axes[0].get_title(loc="left").splitlines()
    assert len(lines) > 2
    assert max(map(len, lines)) <= 44


@pytest.mark.parametrize(
    ("numbers", "told"),
    [((9, 9), "9 test rows"), ((1, 1), "1 test row"), ((8, 9000), "8 of 9,000 test rows")],
)
def test_rows_are_counted_in_words(numbers: tuple[int, int], told: str) -> None:
    assert count(*numbers) == told
