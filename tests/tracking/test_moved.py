import shutil
import sqlite3
from pathlib import Path

from mirada.tracking.moved import follow_folder


def fill(folder: Path) -> Path:
    """A database with the tables and columns of MLflow's that hold links."""
    database = folder / "mlflow.db"
    folder.mkdir(parents=True)
    links, elsewhere = folder.as_uri(), "s3://bucket/mlruns/artifacts"
    with sqlite3.connect(database) as store:
        store.execute("CREATE TABLE experiments (artifact_location)")
        store.execute("CREATE TABLE runs (artifact_uri)")
        store.execute("CREATE TABLE logged_models (artifact_location)")
        store.execute("CREATE TABLE model_versions (storage_location, source)")
        places = [f"{links}/artifacts", f"{folder}/0", None, f"{links}-of-others/things"]
        store.executemany("INSERT INTO experiments VALUES (?)", [(place,) for place in places])
        runs = [f"{links}/artifacts/a1/artifacts", f"{folder}/0/b2", f"{links}-of-others/things/c3", elsewhere]
        store.executemany("INSERT INTO runs VALUES (?)", [(run,) for run in runs])
        store.execute("INSERT INTO model_versions VALUES (?, 'models:/m-1')", (f"{links}/artifacts/models/m-1",))
    store.close()
    return database


def read(database: Path, column: str, table: str) -> list[str]:
    store = sqlite3.connect(database)
    found = [value for (value,) in store.execute(f"SELECT {column} FROM {table}")]
    store.close()
    return found


def test_links_follow_a_moved_folder_and_no_other(tmp_path: Path) -> None:
    old, new = tmp_path / "old" / "mlruns", tmp_path / "d'\xe9t\xe9 100%" / "mlruns"
    fill(old)
    new.parent.mkdir()
    shutil.move(old, new)
    for _ in range(2):  # nothing is left to do the second time
        follow_folder(new / "mlflow.db")
        assert read(new / "mlflow.db", "artifact_uri", "runs") == [
            f"{new.as_uri()}/artifacts/a1/artifacts",
            f"{new}/0/b2",
            f"{old.as_uri()}-of-others/things/c3",
            "s3://bucket/mlruns/artifacts",
        ]
        assert read(new / "mlflow.db", "artifact_location", "experiments")[:2] == [
            f"{new.as_uri()}/artifacts",
            f"{new}/0",
        ]
        assert read(new / "mlflow.db", "storage_location", "model_versions") == [f"{new.as_uri()}/artifacts/models/m-1"]
        assert read(new / "mlflow.db", "source", "model_versions") == ["models:/m-1"]


def test_no_database_and_no_tables_are_left_alone(tmp_path: Path) -> None:
    follow_folder(tmp_path / "mlflow.db")
    assert not list(tmp_path.iterdir())
    (tmp_path / "mlflow.db").write_bytes(b"no database at all, but something long enough to look like one" * 20)
    follow_folder(tmp_path / "mlflow.db")
