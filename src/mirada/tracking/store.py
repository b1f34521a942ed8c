"""Whether MLflow's store answers: asked in seconds before a run begins and while it lasts, in one sentence when it does not.

MLflow's own client tries for minutes, which would hold up a training; see `shorten_waits`.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from urllib.parse import urlsplit, urlunsplit

from mirada.errors import MiradaError

ANSWER_TIMEOUT_S = 4.0  # for one answer of a server that works
CHECK_TIMEOUT_S = 8.0  # for the whole check: names are looked up, several addresses tried
_ADVICE = "start it, or correct the URI (tracking.enabled=false works without)"
_CLOUD = ("boto", "azure", "google")  # packages whose errors come from an artifact store
_BRIEF = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    "PGCONNECT_TIMEOUT": "5",
}


class StoreAway(MiradaError):
    """The store does not answer, or answers that it can't work."""


def shorten_waits() -> None:
    """Let a call to a store that is gone cost seconds, not minutes; what the user has set in the environment wins."""
    for name, value in _BRIEF.items():
        os.environ.setdefault(name, value)
    for name in ("alembic", "mlflow.system_metrics", "mlflow.tracking.fluent", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # a traceback for each lost connection


def without_password(uri: str) -> str:
    """The URI without its password."""
    parts = urlsplit(uri)
    if parts.password is None:
        return uri
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}"))


def check(uri: str, experiment: str = "mirada") -> None:
    """Ask a server or a database whether it is there; files and unknown schemes pass.

    Takes at most CHECK_TIMEOUT_S. A server that asks for credentials, or has certificates of its own, is there.

    Raises:
        StoreAway: there is none, or it answers with an error of its own.
        MiradaError: it is no MLflow server.
    """
    scheme = urlsplit(uri).scheme
    if scheme in ("http", "https"):
        _within(CHECK_TIMEOUT_S, uri, partial(_check_server, uri, experiment))
    elif scheme.startswith(("postgresql", "mysql")):
        _within(CHECK_TIMEOUT_S, uri, partial(_check_database, with_driver(uri)))


def _within(seconds: float, uri: str, work: Callable[[], None]) -> None:
    """Do the work in a thread that nobody waits for longer: a name server that is silent has no timeout of its own."""
    outcome: Future[None] = Future()

    def attempt() -> None:
        try:
            work()
            outcome.set_result(None)
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=attempt, daemon=True).start()  # an executor's thread would hold up the end of the process
    try:
        outcome.result(timeout=seconds)
    except TimeoutError:
        raise no_answer(uri, "nothing heard") from None


def no_answer(uri: str, reason: str) -> StoreAway:
    """The error for a store that does not answer."""
    return StoreAway(f"MLflow at {without_password(uri)} does not answer ({reason}): {_ADVICE}.")


def _check_server(uri: str, experiment: str) -> None:
    import requests

    address = f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/get-by-name"
    try:
        response = requests.get(address, {"experiment_name": experiment}, timeout=ANSWER_TIMEOUT_S)
    except requests.exceptions.SSLError:
        return  # certificates are MLflow's own matter, which knows the user's settings for them
    except (requests.RequestException, ValueError) as error:
        raise no_answer(uri, _reason(error)) from error
    status, where = response.status_code, without_password(uri)
    try:
        answer = dict(response.json())
    except (TypeError, ValueError):  # no JSON, or no object
        answer = {}
    if status >= 500:
        detail = str(answer.get("message", ""))[:200].split("\n")[0]
        raise StoreAway(
            f"MLflow at {where} answers with status {status}{f' ({detail})' if detail else ''}: "
            "look at the server's log; its database may be down."
        )
    if not _is_unavailable(status) and not {"experiment", "error_code"} & answer.keys():
        raise MiradaError(
            f"{where} answers (status {status}), but not as an MLflow server: correct the URI, its path too."
        )


def _is_unavailable(status: int) -> bool:
    """Whether an HTTP status says nothing against what was sent."""
    return status >= 500 or status in (401, 403, 408, 429)


def _reason(error: BaseException) -> str:
    """The few words at the bottom of an error: 'connection refused', 'timed out'."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return (getattr(error, "strerror", None) or " ".join(str(error).split())[:200] or type(error).__name__).lower()


def with_driver(uri: str) -> str:
    """The URI with psycopg2, where it names no driver and that is the one installed; others unchanged.

    SQLAlchemy 2.1 takes `postgresql://` to mean psycopg 3, earlier ones psycopg2.

    Raises:
        MiradaError: no driver for PostgreSQL is installed.
    """
    scheme, _, rest = uri.partition("://")
    if scheme.partition("+")[0] != "postgresql":
        return uri
    wanted = [scheme.partition("+")[2]] if "+" in scheme else ["psycopg2", "psycopg"]
    found = next((driver for driver in wanted if importlib.util.find_spec(driver)), None)
    if found is None:
        raise MiradaError(
            f"{without_password(uri)} needs the package {wanted[0]}: install the extra of Mirada named postgres."
        )
    return f"postgresql+{found}://{rest}"


def _check_database(uri: str) -> None:
    import sqlalchemy

    try:
        engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool, connect_args={"connect_timeout": 4})
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT 1"))
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        cause = getattr(error, "orig", None) or error
        raise no_answer(uri, str(cause).splitlines()[0][:200].rstrip(".")) from error


def is_absence(error: BaseException) -> bool:
    """Whether an error of a call to MLflow says that its store is away, rather than that it refuses what was sent."""
    from mlflow.exceptions import MlflowException
    from requests import HTTPError, RequestException

    if isinstance(error, MlflowException):
        foreign = type(error) is MlflowException and str(error).startswith("API request to")  # a proxy's answer
        return foreign or _is_unavailable(error.get_http_status_code())
    if isinstance(error, HTTPError) and error.response is not None:
        return _is_unavailable(error.response.status_code)
    if isinstance(error, (RequestException, ConnectionError, TimeoutError)):
        return True
    return type(error).__module__.startswith(_CLOUD)
