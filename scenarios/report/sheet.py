"""What pictures are drawn on: for a page that follows its reader's theme, or for paper.

A page's pictures are SVG whose texts are texts, and whose colours are variables of the
page's style.  Those for paper are as wide as a column, and have their fonts in them.
"""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ...engine.errors import BadInput
from . import palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FONTS = "system-ui, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
#: Letters of a path that is a marker, and no line.
_SMALL = 500
#: Inches, and points of letters.
PAGE_WIDTH, PAGE_FONT = 7.4, 9.0
PAPER_WIDTH, PAPER_FONT = 3.4, 8.0


@dataclass(frozen=True)
class Sheet:
    """A width in inches, the size of letters in points, and whether it is for paper."""

    width: float = PAGE_WIDTH
    font: float = PAGE_FONT
    is_paper: bool = False

    def lines(self, count: float) -> float:
        """Return the height of lines of text, in inches."""
        return count * self.font * 1.35 / 72

    def panels(self, count: int, most: int = 3) -> tuple[int, int]:
        """Return (rows, columns) for pictures of equal size."""
        columns = min(count, 2 if self.is_paper else most)
        return -(-count // columns), columns

    def figure(
        self, height: float, rows: int = 1, columns: int = 1, **more: Any
    ) -> tuple["Figure", list["Axes"]]:
        """Return a figure of that height in inches, and its axes in reading order."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(self.width, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, **more)
        return figure, list(axes.flat)


PAGE = Sheet()
PAPER = Sheet(PAPER_WIDTH, PAPER_FONT, True)


@dataclass(frozen=True)
class Picture:
    """A picture that is not drawn yet.

    name     of its files and of its place on the page, [a-z_]
    title    what it finds, a sentence
    caption  what it shows, and how it is read
    alt      what it shows, for those who do not see it
    draw     draws it on a sheet
    html     what a page shows in place of the drawing, if anything
    """

    name: str
    title: str
    caption: str
    alt: str
    draw: Callable[[Sheet], "Figure"]
    html: str = ""


def check_libraries() -> None:
    """Raise BadInput if what draws and lays out is not installed."""
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise BadInput(
            "report must have matplotlib and Jinja2: pip install 'lazynuma[report]'"
        ) from error


def _style(sheet: Sheet) -> dict[str, Any]:
    """Return matplotlib's parameters for a sheet."""
    ink, size = palette.INK, sheet.font
    names = ("text.color", "axes.edgecolor", "axes.labelcolor")
    ticks = ("xtick.color", "ytick.color")
    return {
        **dict.fromkeys((*names, *ticks), ink),
        **dict.fromkeys(("font.size", "axes.titlesize", "axes.labelsize"), size),
        **dict.fromkeys(("xtick.labelsize", "ytick.labelsize"), size * 0.94),
        "legend.fontsize": size * 0.94,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6,
        "axes.titlelocation": "left",
        "axes.titlepad": 3.0,
        "axes.facecolor": "none",
        "axes.labelpad": 2.0,
        "figure.facecolor": "none",
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
        "lines.linewidth": 1.0 if sheet.is_paper else 1.5,
        "hatch.linewidth": 0.5,
        "svg.fonttype": "path" if sheet.is_paper else "none",
        "svg.hashsalt": "lazynuma",
        "pdf.fonttype": 42,
        "font.family": ["DejaVu Sans"],
        "path.simplify_threshold": 0.3,
    }


def _drawn(
    picture: Picture, sheet: Sheet, kinds: Sequence[str], ground: str = "none"
) -> list[bytes]:
    """Return a picture in each of some kinds of file."""
    import matplotlib

    files = []
    with matplotlib.rc_context(cast(Any, _style(sheet))):
        figure = picture.draw(sheet)
        for kind in kinds:
            file = io.BytesIO()
            named = {"Title": picture.title} if kind == "pdf" else {}
            date = "CreationDate" if kind == "pdf" else "Date"
            about = {**named, date: None}
            figure.savefig(file, format=kind, facecolor=ground, metadata=about)
            files.append(file.getvalue())
    return files


def for_paper(picture: Picture) -> dict[str, bytes]:
    """Return a picture's files for a paper by their names."""
    kinds = ("svg", "pdf")
    drawn = _drawn(picture, PAPER, kinds)
    return {
        f"{picture.name}.{kind}": data for kind, data in zip(kinds, drawn, strict=True)
    }


def for_document(picture: Picture) -> str:
    """Return a picture as an SVG of its own, small, on white: for a document."""
    (data,) = _drawn(picture, PAGE, ("svg",), "white")
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", data.decode(), flags=re.S)
    text = text.replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")
    return re.sub(r'(?<= d=")[^"]*', _rounded, text)


def for_page(picture: Picture, place: str) -> str:
    """Return a picture as SVG to be laid into a page, its ids beginning with ``place``.

    Its colours are variables: ``--ink``, ``--paper`` and one for each of a variant.
    """
    (data,) = _drawn(picture, PAGE, ("svg",))
    text = data.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r"<style[^>]*>.*?</style>", "", text, flags=re.S)
    text = re.sub(r'\bid="([^"]*)"', rf'id="{place}-\1"', text)
    text = re.sub(r"url\(#([^)]*)\)", rf"url(#{place}-\1)", text)
    text = re.sub(r'xlink:href="#([^"]*)"', rf'href="#{place}-\1"', text)
    text = re.sub(r"'DejaVu Sans'", _FONTS, text)
    text = re.sub(r'(?<= d=")[^"]*', _rounded, text)
    text = re.sub(r"#[0-9a-f]{6}\b", _variable, text)
    text = re.sub(r"\n\s*", "\n", text)
    return _labelled(text, picture, place)


def _rounded(path: re.Match) -> str:
    """Return a path with tenths of a point, a small one with hundredths."""
    fine = r"(\.\d\d)\d+" if len(path[0]) < _SMALL else r"(\.\d)\d+"
    return re.sub(fine, r"\1", path[0]).replace("\n", "")


def _variable(colour: re.Match) -> str:
    """Return a colour as the page's variable, if it is one that changes at night."""
    name = colour[0].removeprefix("#")
    if colour[0] == palette.INK:
        return "currentColor"
    if colour[0] == palette.PAPER:
        return "var(--paper)"
    if colour[0] == palette.FAINT:
        return "var(--faint)"
    return f"var(--c-{name})" if name in palette.themed() else colour[0]


def _labelled(text: str, picture: Picture, place: str) -> str:
    """Return an SVG that has a title and a description, and no size but its shape."""
    from html import escape

    head, rest = text.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    shape = box[0] if box else ""
    return (
        f'<svg class="plot" xmlns="http://www.w3.org/2000/svg" {shape} role="img"'
        f' aria-labelledby="{place}-title" aria-describedby="{place}-desc">'
        f'<title id="{place}-title">{escape(picture.title)}</title>'
        f'<desc id="{place}-desc">{escape(picture.alt)}</desc>{rest}'
    )
