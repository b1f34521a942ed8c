"""What a stranger's bytes have to pass before anything decodes them: sniffing, sizes, names, archives.

A name that a client gave is shown and written into results, and never used as a path.
"""

from __future__ import annotations

import io
import re
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import PurePosixPath

from mirada.config import LimitsConfig
from mirada.data.images import image_size, pixels_to_decode
from mirada.data.pixels.opening import Unopenable, is_heic, opens_heic
from mirada.errors import MiradaError
from mirada.service.problems import Refusal

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
)
ACCEPTED = f"JPEG, PNG, WebP, BMP, GIF, TIFF{', AVIF or HEIC' if opens_heic() else ' or AVIF'}"
_ARCHIVE = (b"PK\x03\x04", b"PK\x05\x06")
_ARCHIVES = (*_ARCHIVE, b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!", b"(\xb5/\xfd")
_ENTRY = b"PK\x01\x02"  # begins each entry of a .zip's list
_ENTRIES = 10  # times the images of a job: folders and what is passed over are listed, too
_MAX_NAME = 200
_MAX_SCANS = 100  # of a progressive JPEG: each one makes the decoder pass over all pixels, and costs a few bytes only
# A marker of a JPEG: after 0xFF neither a byte of data that is escaped (0), nor filling, nor one that restarts the decoder.
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_BARE = (0x01, 0xD8)  # markers without a length
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def sniff(data: bytes) -> str | None:
    """The format that the first bytes tell, as Pillow calls it; None for what is no accepted image."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return "AVIF"
    if is_heic(data[:12]) and opens_heic():
        return "HEIF"
    return next((name for magic, name in _MAGIC if data.startswith(magic)), None)


def is_archive(data: bytes) -> bool:
    """Whether the first bytes are those of a .zip."""
    return data.startswith(_ARCHIVE)


def check_image(data: bytes, limits: LimitsConfig) -> tuple[int, int]:
    """Width and height as displayed; nothing is decoded that has more pixels than it may.

    Raises:
        Refusal: 413 where it is too large in bytes or pixels, 415 for another format, 422 where the header is broken.
    """
    if len(data) > limits.image_bytes:
        raise too_large(limits)
    form = sniff(data)
    if form is None:
        what = "The upload is empty" if not data else "The upload is no image that is accepted here"
        raise Refusal(415, f"{what}: send a {ACCEPTED}.")
    if form == "JPEG" and count_scans(data, _MAX_SCANS + 1) > _MAX_SCANS:
        raise Refusal(413, f"The JPEG has more than {_MAX_SCANS} scans: save it again without them.")
    try:
        if pixels_to_decode(data) > limits.image_pixels:  # first: a PNG is decoded to look for its orientation
            raise _too_many_pixels(limits)
        return image_size(data, transpose=True)
    except Unopenable as error:
        what, _, advice = str(error).rpartition(": ")
        raise Refusal(415, f"{what[0].upper()}{what[1:]}: {advice}") from error
    except MiradaError as error:
        if "decompression bomb" in str(error):
            raise _too_many_pixels(limits) from error
        raise unreadable() from error


def count_scans(data: bytes, most: int) -> int:
    """Scans of a JPEG up to its own end, at most so many: what a telephone puts behind it, a film say, is never decoded."""
    scans, at = 0, 2
    while scans < most and (found := _MARKER.search(data, at)):
        marker, at = found[1][0], found.end()
        if marker == _END_OF_IMAGE:
            break
        scans += marker == _START_OF_SCAN
        if marker not in _BARE:
            at += int.from_bytes(data[at : at + 2], "big")
    return scans


def unreadable() -> Refusal:
    """The refusal of an image that can't be decoded."""
    return Refusal(422, "The image can't be decoded, perhaps it was cut short: save it again and send it whole.")


def too_large(limits: LimitsConfig) -> Refusal:
    """The refusal of an image with too many bytes."""
    return Refusal(413, f"An image may have {limits.image_bytes} bytes: send a smaller one.")


def _too_many_pixels(limits: LimitsConfig) -> Refusal:
    return Refusal(413, f"An image may have {limits.image_pixels} pixels: send a smaller one.")


def safe_name(name: str | None, number: int) -> str:
    """A client's file name for people to read: its last part, one line, of printable characters."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name or ""))[-1]
    clean = "".join(char for char in last if unicodedata.category(char)[0] not in "CZ" or char == " ").strip()
    return clean[:_MAX_NAME] if clean.strip(". ") else f"image-{number}"


def safe_stem(name: str) -> str:
    """A name that is safe in an archive on any system: letters, digits and '-_', no extension."""
    stem = PurePosixPath(name).stem if "." in name.strip(".") else name
    return re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_")[:80] or "image"


def read_zip(data: io.BufferedIOBase | bytes, limits: LimitsConfig) -> Iterator[tuple[str, bytes]]:
    """The files of a .zip as (name, content), one at a time; nothing is written anywhere.

    Folders and what file managers leave behind (names that begin with '.' or '__MACOSX') are passed over.

    Raises:
        Refusal: 413 where it holds too many files or bytes or unpacks to too many times its size; 422 where it is damaged,
            encrypted, holds another archive or a link, or a name leads out of the folder it would be unpacked in.
    """
    if isinstance(data, bytes) and data.count(_ENTRY) > _ENTRIES * limits.job_images:
        raise _too_many_entries(limits)  # before a list of millions is read
    try:
        with zipfile.ZipFile(io.BytesIO(data) if isinstance(data, bytes) else data) as archive:
            entries = [entry for entry in archive.infolist() if not _passed_over(entry)]
            _check_entries(entries, limits)
            total = 0
            for entry in entries:
                with archive.open(entry) as file:
                    content = file.read(limits.image_bytes + 1)  # the size that the entry tells may be a lie
                total += len(content)
                if len(content) > limits.image_bytes:
                    raise too_large(limits)
                if total > limits.job_bytes:
                    raise Refusal(413, f"An archive may hold {limits.job_bytes} bytes: send its images in parts.")
                if content.startswith(_ARCHIVES):
                    raise Refusal(422, "The archive holds another archive: put the images themselves into it.")
                yield PurePosixPath(entry.filename).name, content
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        raise Refusal(422, "The archive can't be read, perhaps it was cut short: make the .zip again.") from error


def _too_many_entries(limits: LimitsConfig) -> Refusal:
    return Refusal(413, f"A job may have {limits.job_images} images: send the archive in parts.")


def _passed_over(entry: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(entry.filename).parts
    return entry.is_dir() or any(part == "__MACOSX" or (part.startswith(".") and part != "..") for part in parts)


def _check_entries(entries: list[zipfile.ZipInfo], limits: LimitsConfig) -> None:
    if len(entries) > limits.job_images:
        raise _too_many_entries(limits)
    if sum(entry.file_size for entry in entries) > limits.job_bytes:
        raise Refusal(413, f"An archive may hold {limits.job_bytes} bytes: send its images in parts.")
    for entry in entries:
        name = entry.filename
        if name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or re.match(r"[A-Za-z]:", name):
            raise Refusal(422, "A name in the archive leads out of its folder: make the .zip again, of plain files.")
        if entry.flag_bits & 1 or entry.compress_type not in _METHODS:
            raise Refusal(422, "The archive is encrypted or packed in a rare way: make a plain .zip.")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise Refusal(422, "The archive holds a link: put the images themselves into it.")
        if entry.file_size > limits.zip_ratio * max(entry.compress_size, 1):
            raise Refusal(413, f"A file in the archive unpacks to more than {limits.zip_ratio:g} times its size.")


def known_hosts(host: str, hosts: list[str], origins: list[str]) -> set[str] | None:
    """Names that a request may ask for in its Host header, without port, those of the proxies' addresses too; None: any.

    A page of another origin that points a name of its own at 127.0.0.1 (DNS rebinding) asks for that name.
    """
    shown = {re.sub(r":\d+$", "", origin.partition("://")[2]).lower() for origin in origins}
    if hosts:
        return {name.lower() for name in hosts} | shown
    try:
        own = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        own = False  # a name
    return {"127.0.0.1", "localhost", "[::1]", f"[{host}]" if ":" in host else host} | shown if own else None
