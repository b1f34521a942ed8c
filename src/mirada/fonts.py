"""Lines of text in the world's scripts, for pictures and plots: which fonts have a text's letters, and no boxes for emoji.

Plain English is set by Pillow in its own font. All else goes through matplotlib's text engine, which takes each letter from
the first font that has it, joins and orders Arabic, Hebrew and the scripts of India, and needs no library of the system.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from matplotlib.font_manager import FontEntry
    from matplotlib.ft2font import FT2Font

FAMILY = "DejaVu Sans"  # matplotlib brings it: the letters of Europe, Arabic and Hebrew
_PACKAGES = ("manimgx_fonts", "noto_cjk_sans_jp_regular")  # the extra `fonts`: files beside an empty module
_NO_LETTER = "\u25a1"  # what stands for a letter that no font has
# Pictures among the letters, with what turns a sign into one: skin, gender, flags, joiners.
_EMOJI = re.compile("[\U0001f000-\U0001fbff\U000e0000-\U000e007f\ufe00-\ufe0f\u20e3]\u200d?")


def set_line(text: str, size: int) -> Image.Image:
    """One line of text as a mask of mode L, at least 1.2 times `size` rows high, the letters `size` pixels of them."""
    text = readable(text)
    if not text.isascii():
        return _set_letters(text, size)
    font = ImageFont.load_default(size)
    mask = Image.new("L", (max(1, int(np.ceil(font.getlength(text)))), round(size * 1.2)))
    ImageDraw.Draw(mask).text((0, 0), text, 255, font)
    return mask


def _set_letters(text: str, size: int) -> Image.Image:
    from matplotlib.font_manager import FontPath, get_font

    entries, _ = _fonts_of(frozenset(text))
    font = get_font([FontPath(entry.fname, entry.index) for entry in entries])
    font.set_size(size, 72)  # at 72 dots an inch a point is a pixel
    font.set_text(text, 0.0)
    font.draw_glyphs_to_bitmap(antialiased=True)
    letters = Image.fromarray(np.asarray(font.get_image()))
    top = max(0, round(size * 0.95 - (letters.height - font.get_descent() / 64)))  # so that all stand on one line
    mask = Image.new("L", (letters.width, max(round(size * 1.2), top + letters.height)))
    mask.paste(letters, (0, top))
    return mask


def readable(text: str) -> str:
    """The text on one line without emoji, and a square for a letter that no font here has."""
    text = " ".join(_EMOJI.sub("", unicodedata.normalize("NFC", text)).split())
    if text.isascii():
        return text
    _, lacking = _fonts_of(frozenset(text))
    signs = {letter for letter in lacking if unicodedata.category(letter) in ("So", "Sk", "Cf", "Cn", "Co", "Cs")}
    return "".join(_NO_LETTER if letter in lacking else letter for letter in text if letter not in signs).strip()


def families_of(texts: Iterable[str]) -> list[str]:
    """Names of fonts that matplotlib knows, `FAMILY` first, which have all letters of `texts` that any font here has."""
    entries, _ = _fonts_of(frozenset("".join(texts)))
    return [entry.name for entry in entries]


@lru_cache(maxsize=1024)
def _fonts_of(letters: frozenset[str]) -> tuple[tuple[FontEntry, ...], frozenset[str]]:
    """The fewest first fonts that have these letters, and the letters that none has."""
    chosen: list[FontEntry] = []
    lacking = {letter for letter in letters if not letter.isspace()}
    for entry in _known_fonts():
        has = {letter for letter in lacking if _face(entry.fname, entry.index).get_char_index(ord(letter))}
        if has or not chosen:
            chosen.append(entry)
            lacking -= has
        if not lacking:
            break
    return tuple(chosen), frozenset(lacking)


@lru_cache(maxsize=1)
def _known_fonts() -> list[FontEntry]:
    """Matplotlib's own, those of the extra `fonts`, then the system's, upright and of middle weight first."""
    from matplotlib.font_manager import fontManager, weight_dict

    of_system = [entry for entry in fontManager.ttflist if not re.search("emoji|color|last ?resort", entry.name, re.I)]
    own = [entry for entry in of_system if entry.name == FAMILY and (entry.style, entry.weight) == ("normal", 400)][:1]
    start = len(fontManager.ttflist)
    for package in _PACKAGES:
        found = find_spec(package)
        folder = Path(found.origin).parent if found and found.origin else None
        for path in sorted(folder.glob("NotoSans*.[ot]tf")) if folder else []:
            if "Italic" not in path.name:
                fontManager.addfont(path)

    def rank(entry: FontEntry) -> tuple[bool, float, bool, str]:
        weight = weight_dict.get(entry.weight, 400) if isinstance(entry.weight, str) else entry.weight
        return entry.style != "normal", abs(weight - 400), "sans" not in entry.name.lower(), entry.fname

    return own + fontManager.ttflist[start:] + sorted(of_system, key=rank)


@lru_cache(maxsize=64)
def _face(path: str, index: int) -> FT2Font:
    """A font to look letters up in; never drawn with, so threads may share it."""
    from matplotlib.ft2font import FT2Font

    return FT2Font(path, face_index=index)
