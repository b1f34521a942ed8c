"""What is to be looked at: photographs of this machine, an archive or a store, or a video, by how the source is written."""

from __future__ import annotations

import glob
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mirada.data.folders.layout import image_suffixes
from mirada.data.sources import extract_archive, is_archive, list_folder
from mirada.errors import MiradaError
from mirada.storage import Store, is_url, without_password

SUFFIXES = image_suffixes()
VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv", ".mjpg", ".mjpeg")
_STREAMS = ("rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp", "srt", "tcp")


@dataclass(frozen=True)
class Photograph:
    """A photograph: its name in what is written, a relative path with '/', and where it lies."""

    name: str
    path: Path


def is_stream(source: str) -> bool:
    """Whether a source is a URL that frames come from: a scheme of cameras, or a video or a playlist on the web."""
    scheme, _, rest = source.lower().partition("://")
    path = re.split(r"[?#]", rest)[0]
    return bool(rest) and (
        scheme in _STREAMS or (scheme in ("http", "https") and path.endswith((*VIDEO_SUFFIXES, ".m3u8", ".mpd")))
    )


def is_video(source: str) -> bool:
    """Whether a source is by its name the file of a video, here or in a store."""
    return source.lower().endswith(VIDEO_SUFFIXES)


def fetch_video(source: str, scratch: Path) -> Path:
    """The file of a video, copied from its store into `scratch` where it lies in one.

    Raises:
        MiradaError: there is none.
    """
    if is_url(source):
        return _fetch(source, scratch)[0].path
    path = Path(source).expanduser()
    if not path.is_file():
        raise MiradaError(f"source={source} does not exist: give a file, a folder, an archive, a list or a URL.")
    return path


def list_photographs(source: str, scratch: Path, leave_out: Path) -> list[Photograph]:
    """The photographs of a source, in the order of their names.

    Args:
        source: a file, a folder, a glob, a list of paths (.txt), an archive, or the URL of one of the first, of a folder
            or of an archive.
        scratch: receives what has to be unpacked or fetched first; made where it is needed.
        leave_out: the folder that is written into, which may lie in the source.

    Raises:
        MiradaError: there is nothing there, or no photograph in it.
    """
    shown = f"source={without_password(source) if is_url(source) else source}"
    found = _fetch(source, scratch) if is_url(source) else _list_local(source, scratch, shown)
    unwanted = leave_out.resolve()
    found = [photograph for photograph in found if not photograph.path.resolve().is_relative_to(unwanted)] or found
    if not found:
        raise MiradaError(f"{shown} holds no picture ({', '.join(SUFFIXES)}): give another source.")
    return found


def _list_local(source: str, scratch: Path, shown: str) -> list[Photograph]:
    path = Path(source).expanduser()
    if path.is_dir():
        return _below(path)
    if path.is_file() and is_archive(path):
        return _unpack(path, scratch)
    if path.is_file() and path.suffix.lower() == ".txt":
        return _listed(path)
    if path.is_file():
        return [Photograph(path.name, path)]
    if glob.has_magic(str(path)):
        return _matching(str(path))
    raise MiradaError(f"{shown} does not exist: give a file, a folder, an archive, a list or a URL.")


def _below(folder: Path) -> list[Photograph]:
    return [Photograph(name, path) for name, path in list_folder(folder) if name.lower().endswith(SUFFIXES)]


def _unpack(archive: Path, scratch: Path) -> list[Photograph]:
    folder = scratch / "unpacked"
    folder.mkdir(parents=True)
    extract_archive(archive, folder, lambda done, total: None)
    return _below(folder)


def _matching(pattern: str) -> list[Photograph]:
    """The pictures that a glob finds, named below the last folder that it names without a wildcard."""
    parts = Path(pattern).parts
    fixed = next(at for at, part in enumerate(parts) if glob.has_magic(part))
    root = Path(*parts[:fixed])
    paths = sorted(path for path in root.glob("/".join(parts[fixed:])) if path.name.lower().endswith(SUFFIXES))
    found = [Photograph(path.relative_to(root).as_posix(), path) for path in paths if path.is_file()]
    return [photograph for photograph in found if not any(part.startswith(".") for part in photograph.name.split("/"))]


def _listed(path: Path) -> list[Photograph]:
    """The pictures of a list, a path a line, relative to the list's folder; blank lines and those after # count not.

    Raises:
        MiradaError: the list is no text.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise MiradaError(
            f"{path} is no text in UTF-8: give a list with the path of a picture on each line."
        ) from error
    paths = [path.parent / line for line in dict.fromkeys(lines) if line and not line.startswith("#")]
    named = [(_name_below(entry, path.parent), entry) for entry in paths]
    counts = Counter(name for name, _ in named)
    return [
        Photograph(name if counts[name] == 1 else "/".join(entry.absolute().parts[1:]), entry) for name, entry in named
    ]


def _name_below(path: Path, folder: Path) -> str:
    """A path below a folder, else the last part of it."""
    inside = path.is_relative_to(folder) and ".." not in path.relative_to(folder).parts
    return path.relative_to(folder).as_posix() if inside else path.name


def _fetch(source: str, scratch: Path) -> list[Photograph]:
    """The files of a store, copied here."""
    store = Store(source)
    store.refuse_absent()
    wanted = (*SUFFIXES, *VIDEO_SUFFIXES) if store.is_file else SUFFIXES
    files = store.list()
    if store.is_file and is_archive(Path(next(iter(files)))):
        folder = scratch / "fetched"
        folder.mkdir(parents=True)
        store.get(files, folder)
        return _unpack(folder / next(iter(files)), scratch)
    files = {name: file for name, file in files.items() if name.lower().endswith(wanted)}
    folder = scratch / "fetched"
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    if files:
        store.get(files, folder)
    return [Photograph(name, folder / name) for name in files]
