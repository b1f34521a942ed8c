"""The stage `fetch`: fill `data/raw/<name>` from a source, all of it or nothing, and say in SOURCE.json what it is."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mirada.config import DataConfig, FetchConfig
from mirada.data import kaggle, sources
from mirada.data.folders.layout import is_image
from mirada.data.records import digest_of, sha256_of
from mirada.errors import MiradaError
from mirada.storage import Store, StoredFile, digest_listing, is_url, without_password
from mirada.terminal import share_progress

SOURCE_FILE = "SOURCE.json"
LISTED_FILES = 5000  # of a bigger data set only the digest over all files is kept
_KINDS = f"give a folder or one of {', '.join(sources.ARCHIVE_SUFFIXES)}"
_SUFFIXES = ".jpg, .png, .webp and whatever else Pillow opens"
Listing = dict[str, StoredFile]  # of a folder or an archive in a store


def run(config: FetchConfig) -> None:
    """Fetch the raw images of `config.data` into `config.output_dir`.

    A folder that already holds what the settings ask for is left as it is, unless `force`. Otherwise everything is
    gathered beside it and renamed into place at the end, so that an interruption leaves the old folder or none.

    Raises:
        MiradaError: the source can't be had or holds no image, or output_dir is a folder that fetch did not make.
    """
    output_dir = Path(config.output_dir).absolute()
    try:
        listing = _list_store(config.data)
        settings = _settings(config.data, listing)
        with _locked(output_dir):
            _recover(output_dir)
            _refuse_foreign(output_dir)
            if not config.force and _is_current(output_dir, config.data, settings):
                print(f"{config.output_dir} is up to date (force=true fetches it again)")
                return
            started = time.perf_counter()
            about = _replace(output_dir, config.data, settings, listing)
    except OSError as error:
        raise MiradaError(f"fetch of {config.data.name} failed ({error}): mend that and run it again.") from error
    print(
        f"{about['name']}: {about['count']} files, {about['bytes'] / 1e6:.1f} MB in {config.output_dir}, "
        f"licence: {about['licence'] or 'not stated'}, {time.perf_counter() - started:.1f} s"
    )


def source_digest(data: DataConfig) -> str:
    """Digest of what a fetch would bring: the source's settings; of a user's folder also names, sizes, times of change.

    Raises:
        MiradaError: data.path is absent, empty or of an unknown kind.
    """
    what: dict[str, Any] = {"name": data.name, "kind": _kind(data), "licence": data.source.licence}
    what["settings"] = _settings(data, _list_store(data))
    if "folder" in what["settings"]:
        what["files"] = _listing(_user_path(data))
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _list_store(data: DataConfig) -> Listing:
    """What lies at data.path where that is a URL, an archive or the files of a folder; nothing where it is none.

    Raises:
        MiradaError: the store doesn't answer, or there is nothing of use.
    """
    if _kind(data) != "path" or not is_url(data.path):
        return {}
    store = Store(str(data.path))
    store.refuse_absent()
    if store.is_file and not sources.is_archive(Path(store.url)):
        raise MiradaError(f"data.path={store.url} is of an unknown kind: {_KINDS}.")
    listing = store.list()
    if not store.is_file and not any(map(is_image, listing)):
        raise MiradaError(f"data.path={store.url} holds no image ({_SUFFIXES}): give another folder.")
    return listing


def _settings(data: DataConfig, listing: Listing) -> dict[str, Any]:
    """What decides the raw files, without this machine's folders.

    Raises:
        MiradaError: data.path is absent, empty or of an unknown kind.
    """
    source = data.source
    if source.kind == "package":
        what: dict[str, Any] = {"members": dict(sorted(source.members.items()))}
        if source.sha256:
            what |= {"sha256": source.sha256, "prefix": source.prefix}
        return {"package": source.package, "version": source.version, **what}
    if _kind(data) == "kaggle":
        return {"handle": source.handle}
    if source.kind == "generated":
        return {key: getattr(source, key) for key in ("images", "classes", "objects", "size", "seed")}
    if is_url(data.path):
        return {"url": without_password(str(data.path)), "files": len(listing), "listing": digest_listing(listing)}
    path = _user_path(data)
    return {"archive": path.name, "sha256": sha256_of(path)} if path.is_file() else {"folder": path.name}


def _kind(data: DataConfig) -> str:
    """The kind of the source; `data.path` comes before Kaggle."""
    return "path" if data.source.kind == "kaggle" and data.path else data.source.kind


def _user_path(data: DataConfig) -> Path:
    """data.path, checked."""
    path = Path(str(data.path)).expanduser().resolve()
    if not path.exists():
        raise MiradaError(f"data.path={data.path} does not exist: give a folder or an archive.")
    if path.is_file() and not sources.is_archive(path):
        raise MiradaError(f"data.path={data.path} is of an unknown kind: {_KINDS}.")
    if path.is_dir() and not any(is_image(name) for name, _ in sources.list_folder(path)):
        raise MiradaError(f"data.path={data.path} holds no image ({_SUFFIXES}): give another folder.")
    return path


@contextmanager
def _locked(output_dir: Path) -> Iterator[None]:
    """One fetch at a time in a folder; the lock is on the folder itself and ends with the process."""
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # Windows: no lock, as there is none that leaves no file
        yield
        return
    descriptor = os.open(output_dir.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _staging_prefix(output_dir: Path) -> str:
    return f".{output_dir.name}.fetching-"


def _recover(output_dir: Path) -> None:
    """Clear away what a killed run left; if it was killed while it swapped the folders, put the old one back."""
    for staging in sorted(output_dir.parent.iterdir()):
        if not staging.name.startswith(_staging_prefix(output_dir)):
            continue
        old = staging / "old"
        if old.is_dir() and not output_dir.exists():
            old.rename(output_dir)
        shutil.rmtree(staging, ignore_errors=True)  # a killed run's pip may still be writing there


def _refuse_foreign(output_dir: Path) -> None:
    """Never replace a folder that somebody else filled."""
    if not output_dir.exists() or (output_dir / SOURCE_FILE).is_file():
        return
    if not output_dir.is_dir() or any(output_dir.iterdir()):
        raise MiradaError(f"{output_dir} was not made by fetch: choose another output_dir or remove it yourself.")


def _read_about(output_dir: Path) -> dict[str, Any]:
    """SOURCE.json, or nothing where it is absent or damaged."""
    try:
        about = json.loads((output_dir / SOURCE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def _is_current(output_dir: Path, data: DataConfig, settings: dict[str, Any]) -> bool:
    """Whether the folder holds what the settings ask for, every file with its size, and its digest where few."""
    about = _read_about(output_dir)
    told = {"name": data.name, "kind": _kind(data), "licence": data.source.licence, "settings": settings}
    if any(about.get(key) != value for key, value in told.items()):
        return False
    if "folder" in settings and _listing(_user_path(data)) != _listing(output_dir):
        return False  # the user's folder has changed
    if _count(output_dir) != (about.get("count"), about.get("bytes")):
        return False
    return "files" not in about or about["files"] == {name: sha256_of(file) for name, file in _files(output_dir)}


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """The raw files with their relative path; bytes in a name that are no UTF-8 are escaped."""
    for name, file in sources.list_folder(folder):
        if name != SOURCE_FILE:
            yield name.encode(errors="backslashreplace").decode(), file


def _count(folder: Path) -> tuple[int, int]:
    """Number of the raw files and their bytes."""
    sizes = [file.stat().st_size for _, file in _files(folder)]
    return len(sizes), sum(sizes)


def _listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Size in bytes and time of change in ns of each file; copies keep both."""
    stats = {name: file.stat() for name, file in _files(folder)}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}


def _replace(output_dir: Path, data: DataConfig, settings: dict[str, Any], listing: Listing) -> dict[str, Any]:
    """Gather the files beside the output folder, then put them in its place.

    Returns:
        The content of SOURCE.json.
    """
    staging = Path(tempfile.mkdtemp(prefix=_staging_prefix(output_dir), dir=output_dir.parent))
    new, old = staging / "new", staging / "old"
    try:
        new.mkdir()
        _fill(new, data, output_dir, listing)
        about = _describe(new, data, settings)
        (new / SOURCE_FILE).write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        if output_dir.exists():
            output_dir.rename(old)
        new.rename(output_dir)
    finally:
        if old.exists() and not output_dir.exists():
            old.rename(output_dir)
        shutil.rmtree(staging)
    return about


def _fill(folder: Path, data: DataConfig, output_dir: Path, listing: Listing) -> None:
    """Let the source fill an empty folder, with a progress bar on stderr.

    Raises:
        MiradaError: the source failed, or holds no image.
    """
    if _kind(data) == "kaggle":
        kaggle.fetch_dataset(str(data.source.handle), folder)
        _refuse_empty(folder, data)
        return
    with share_progress(f"fetch {data.name}") as report:
        if data.source.kind == "package":
            sources.fetch_package(data.source, folder, report)
        elif data.source.kind == "generated":
            sources.draw_images(data.source, folder, report)
        elif is_url(data.path):
            sources.fetch_stored(Store(str(data.path)), listing, folder, report)
        else:
            path = _user_path(data)
            if output_dir.is_relative_to(path) or path.is_relative_to(output_dir):
                raise MiradaError(
                    f"data.path={data.path} and output_dir={output_dir} lie in each other: choose another data.name."
                )
            if path.is_dir():
                sources.copy_folder(path, folder, report, follow_links=data.follow_links)
            else:
                sources.extract_archive(path, folder, report)
    _refuse_empty(folder, data)


def _refuse_empty(folder: Path, data: DataConfig) -> None:
    if not any(is_image(name) for name, _ in sources.list_folder(folder)):
        remedy = "data.source.handle" if _kind(data) == "kaggle" else "data.path"
        raise MiradaError(f"The source of {data.name} holds no image ({_SUFFIXES}): correct {remedy}.")


def _describe(folder: Path, data: DataConfig, settings: dict[str, Any]) -> dict[str, Any]:
    """The content of SOURCE.json: no times and no machine's folders, so that equal files give equal bytes."""
    count, size = _count(folder)
    listed: dict[str, str] = {}

    def lines() -> Iterator[str]:
        for name, file in _files(folder):
            digest = sha256_of(file)
            if count <= LISTED_FILES:
                listed[name] = digest
            yield f"{digest}  {name}"

    about: dict[str, Any] = {
        "name": data.name,
        "kind": _kind(data),
        "package": data.source.package,
        "version": data.source.version,
        "licence": data.source.licence,
        "settings": settings,
        "count": count,
        "bytes": size,
        "digest": digest_of(lines()),
    }
    if count <= LISTED_FILES:
        about["files"] = listed
    return about
