"""`python -m mirada.service.model.download models:/trees@champion <folder>`: a registered model as the stages leave one.

The one file of the service that uses MLflow. Nobody imports it: `champion` runs it in a process of its own.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from mirada.errors import MiradaError


def fetch(uri: str, folder: Path) -> None:
    """Write a registered model as the stages leave one, and what is known of it.

    Args:
        uri: models:/<name>@<alias> or models:/<name>/<version>.
        folder: an empty one.

    Raises:
        MiradaError: the registry does not have it, or it is no model of Mirada.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    from mirada.config import TrackingConfig
    from mirada.tracking import tracking_uri

    mlflow.set_tracking_uri(tracking_uri(TrackingConfig()))
    client = mlflow.MlflowClient()
    name, at, alias = uri.removeprefix("models:/").partition("@")
    try:
        named = name.rsplit("/", 1)
        version = client.get_model_version_by_alias(name, alias) if at else client.get_model_version(*named)
        got = Path(mlflow.artifacts.download_artifacts(f"models:/{version.name}/{version.version}")) / "artifacts"
    except (MlflowException, TypeError, OSError) as error:
        raise MiradaError(
            f"{uri} is not in the registry ({str(error).splitlines()[0]}): register a model with evaluate's "
            "register=<name>, or name another one."
        ) from error
    files = sorted(got.glob("*.tflite"))
    if not files or not (got / "model.json").is_file():
        raise MiradaError(f"{uri} is no model of Mirada's: it has no card or no .tflite file.")
    shutil.copy(got / "model.json", folder / "model.json")
    variant = version.tags.get("variant", files[0].stem)
    entries = [_keep(files[0], variant, folder)]
    if variant != "float32" and (reference := _float32(client, version.run_id, folder)) is not None:
        entries.insert(0, _keep(reference, "float32", folder))
    (folder / "variants.json").write_text(json.dumps({"variants": entries}))
    figures = {variant: {key: float(value) for key, value in version.tags.items() if _is_number(value)}}
    # The tags are rounded for people; a size tells whether figures are a file's own.
    figures[variant]["size_bytes"] = entries[-1]["size_bytes"]
    (folder / "about.json").write_text(json.dumps({"version": str(version.version), "figures": figures}))


def _keep(path: Path, variant: str, folder: Path) -> dict[str, Any]:
    content = path.read_bytes()
    (folder / f"{variant}.tflite").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return {"name": variant, "file": f"{variant}.tflite", "size_bytes": len(content), "sha256": digest}


def _float32(client: Any, run_id: str | None, folder: Path) -> Path | None:
    from mlflow.exceptions import MlflowException

    try:
        (folder / "run").mkdir()
        return Path(client.download_artifacts(run_id, "quantize/float32.tflite", str(folder / "run")))
    except (MlflowException, OSError, TypeError):
        return None  # the run is gone, or keeps no files


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


if __name__ == "__main__":
    try:
        fetch(sys.argv[1], Path(sys.argv[2]))
    except MiradaError as mistake:
        sys.exit(f"error: {mistake}")
