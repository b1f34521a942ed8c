"""How an entry point meets its user: one sentence for a mistake, a traceback only for a defect of ours."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from mirada.errors import MiradaError


def launch(main: Callable[[], Any]) -> None:
    """Run a `hydra.main` function; print a user's mistake as one sentence and exit with status 1."""
    # Hydra would print a mistake with its own frame of several lines; asked for the full error it raises it instead.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    try:
        main()
    except MiradaError as error:
        sys.exit(f"error: {error}")
    except (HydraException, OmegaConfBaseException) as error:
        cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
        sys.exit(f"error: {_one_sentence(error, cause)}")
    except KeyboardInterrupt:
        sys.exit("interrupted: nothing was left half-written.")


def _one_sentence(error: BaseException, cause: BaseException) -> str:
    """Hydra's explanation without its advice for programmers."""
    lines = [line.strip() for text in (str(error), str(cause)) for line in text.splitlines()]
    kept: list[str] = []
    for line in lines:
        if line and line not in kept and not line.startswith(("object_type", "reference_type", "To append", "full_key")):
            kept.append(line)
    return f"{' '.join(kept)} (run with --help to see every key)"
