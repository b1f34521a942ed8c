"""Data sets of Kaggle, through its official client `kagglehub`."""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

from mirada.data.sources import list_folder
from mirada.errors import MiradaError

HOW_TO_SIGN_IN = (
    "make an API token at https://www.kaggle.com/settings/api and save it as ~/.kaggle/access_token, or set "
    "KAGGLE_API_TOKEN (an older kaggle.json, or KAGGLE_USERNAME and KAGGLE_KEY, will do too)"
)
OWN_COPY = "or give your own copy with data.path=<folder or archive>"


def fetch_dataset(handle: str, folder: Path) -> None:
    """Download and unpack a data set; the client shows its own progress.

    Credentials are those of the environment or of `~/.kaggle`. Many public data sets come without any.

    Args:
        handle: owner/data-set, or owner/data-set/versions/number.
        folder: receives the visible files; a sibling holds the download meanwhile and is removed.

    Raises:
        MiradaError: the client is not installed, Kaggle can't be reached or refuses, or the archive is damaged.
    """
    try:
        import kagglehub
        import requests
        from kagglehub.exceptions import DataCorruptionError
    except ImportError as error:
        raise MiradaError(f"Kaggle's client can't be imported ({error}): install kagglehub, {OWN_COPY}.") from error
    logging.getLogger("kagglehub").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(dir=folder.parent) as downloads:
        try:
            found = kagglehub.dataset_download(handle, output_dir=str(Path(downloads) / "files"))
        except requests.HTTPError as error:
            raise MiradaError(_refusal(handle, error, _signed_in())) from error
        except requests.RequestException as error:
            why = type(error).__name__
            raise MiradaError(
                f"Kaggle can't be reached for {handle} ({why}): check the network and run fetch again, {OWN_COPY}."
            ) from error
        except DataCorruptionError as error:
            raise MiradaError(f"The download of {handle} from Kaggle is damaged: run fetch again.") from error
        except Exception as error:  # the client raises what it likes, of which no user should see a traceback
            why = " ".join(str(error).split()) or type(error).__name__
            raise MiradaError(f"Kaggle's client failed on {handle} ({why}): run fetch again, {OWN_COPY}.") from error
        for relative, path in list_folder(Path(found)):
            target = folder / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, target)


def _signed_in() -> bool:
    """Whether the client finds credentials."""
    from kagglehub.config import get_kaggle_credentials

    try:
        return get_kaggle_credentials() is not None
    except ValueError:  # a damaged kaggle.json
        return False


def _refusal(handle: str, error: Any, signed_in: bool) -> str:
    """What to do about an answer of Kaggle's that isn't the data set."""
    status = error.response.status_code if error.response is not None else 0
    if status in (401, 403) and not signed_in:
        return f"Kaggle wants to know who asks for {handle}: {HOW_TO_SIGN_IN}, {OWN_COPY}."
    if status in (401, 403):
        return (
            f"Kaggle refuses {handle} to your account ({status}): {HOW_TO_SIGN_IN}, accept the terms on "
            f"https://www.kaggle.com/datasets/{handle} if it has any, {OWN_COPY}."
        )
    if status == 404:
        return f"Kaggle has no data set {handle}, or not for you: correct data.source.handle, {OWN_COPY}."
    return f"Kaggle failed on {handle} (HTTP {status}): run fetch again later, {OWN_COPY}."
