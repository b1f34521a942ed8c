"""Logs as one JSON object a line on stderr, each with the request it belongs to."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import traceback
from contextvars import ContextVar
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any

from mirada.errors import MiradaError

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
logger = logging.getLogger("mirada.service")


class JsonFormatter(logging.Formatter):
    """A record and its `extra={"fields": {...}}` as JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        line: dict[str, Any] = {"time": stamp, "level": record.levelname.lower(), "message": record.getMessage()}
        if record.name != logger.name:
            line["logger"] = record.name
        if (identifier := request_id.get()) is not None:
            line["request_id"] = identifier
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(line, ensure_ascii=False, default=str)


def set_up_logs(process: str) -> None:
    """Send all logs of this process to stderr as JSON.

    Descriptor 2 leads nowhere for the moment in which a thread opens a model (`mirada.quiet`): logs have one of their own.

    Args:
        process: its name, in each line: 'api' or 'worker'.
    """
    handler = logging.StreamHandler(os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8"))
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers, root.level = [handler], logging.WARNING
    logger.setLevel(logging.INFO)
    logger.info("started", extra={"fields": {"process": process}})


def open_audit(path: Path) -> logging.Logger:
    """The log of who asked for what: JSON lines at the end of a file, which may be moved away (logrotate).

    Raises:
        MiradaError: it can't be written.
    """
    audit = logging.Logger("mirada.service", logging.INFO)
    try:
        path.touch(mode=0o600)
        handler = WatchedFileHandler(path, encoding="utf-8")
    except OSError as error:
        raise MiradaError(f"audit={path} can't be written ({error.strerror}): choose another file.") from error
    handler.setFormatter(JsonFormatter())
    audit.addHandler(handler)
    return audit


def log(message: str, level: int = logging.INFO, exc_info: bool = False, **fields: Any) -> None:
    """Write one line with fields."""
    logger.log(level, message, exc_info=exc_info, extra={"fields": fields})
