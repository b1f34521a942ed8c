"""All colours: of pages in light and in dark, of plots, of boxes on photographs.

`tests/test_palette.py` holds their contrast after WCAG 2.2 (text 4.5, lines and marks 3), and that the service's static
files, which can't read this, have the same.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Scheme:
    """The colours of a page, `#rrggbb` each.

    Attributes:
        ink, soft: text, and what is said besides. ground, card: what it stands on.
        line: between rows, for the eye alone. edge: around what can be pressed.
        accent, on_accent, tint: what is chosen or leads on, text on it, and its paler ground.
        bad, bad_tint: mistakes and their ground. warn, good: a mark beside a note, and what went well.
    """

    ink: str
    soft: str
    ground: str
    card: str
    line: str
    edge: str
    accent: str
    on_accent: str
    tint: str
    bad: str
    bad_tint: str
    warn: str
    good: str

    def css(self) -> str:
        """The colours as custom properties, `--ink: #1d2126; …`."""
        return " ".join(f"--{name.replace('_', '-')}: {colour};" for name, colour in asdict(self).items())


LIGHT = Scheme(
    ink="#1d2126", soft="#565e68", ground="#ffffff", card="#f4f6f8", line="#dfe3e8", edge="#858e99", accent="#1c66b5",
    on_accent="#ffffff", tint="#e8f1fb", bad="#b3261e", bad_tint="#fdeceb", warn="#b87400", good="#146c43",
)  # fmt: skip
DARK = Scheme(
    ink="#e4e7eb", soft="#a3acb7", ground="#14171b", card="#1d2126", line="#323840", edge="#78828e", accent="#6db1ff",
    on_accent="#0d1620", tint="#1b2a3b", bad="#ff9d94", bad_tint="#3a1d1b", warn="#e0a030", good="#6fd3a0",
)  # fmt: skip
MOST_SHADE = 0.5  # of the accent behind a number in ink

# Lines and marks of plots, by their place; the same on light and dark ground. Words beside them are in ink.
LINES = ("#2f7ed8", "#d97706", "#10a273", "#a45ee5", "#d94f70")

# On photographs: classes by their place; red is kept for what is wrong, white for what was missed, grey for ignored.
CLASSES = ("#2ea3f2", "#ffb000", "#26c485", "#be78ff", "#ff8c5a", "#00c9d6", "#e0d63c", "#ff82c8")
RIGHT, WRONG, MISSED, IGNORED = "#26c485", "#ff2d3c", "#ffffff", "#a8a8a8"
SHADOW = "#10141a"  # text on these colours, and what shows them on a bright ground


def rgb(colour: str) -> tuple[int, int, int]:
    """`#rrggbb` as numbers, 0..255."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue
