"""How an entry point meets its user: one sentence for a mistake, a traceback only for a defect of ours."""

from __future__ import annotations

import difflib
import logging
import os
import select
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from mirada.disk import explain_refusal
from mirada.errors import MiradaError, Pruned
from mirada.overrides import quote_words

PLUGINS = {
    "hydra/launcher/joblib": "hydra-joblib-launcher",
    "hydra/launcher/submitit_local": "hydra-submitit-launcher",
    "hydra/launcher/submitit_slurm": "hydra-submitit-launcher",
    "hydra/launcher/ray": "hydra-ray-launcher",
}
MISTAKES = (MiradaError, HydraException, OmegaConfBaseException)


CLOSED = 141  # what a shell makes of SIGPIPE, 128 + 13: the status of other programs whose reader has left


def launch(main: Callable[[], Any]) -> None:
    """Run a `hydra.main` function; print a user's mistake as one sentence and exit with status 1.

    When whoever reads the output leaves (`| head`), it ends without a word, with status 141.
    """
    with _ended_by_its_reader():
        _run(main)


def _run(main: Callable[[], Any]) -> None:
    # Hydra would print a mistake with its own frame of several lines; asked for the full error it raises it instead.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    if not sys.warnoptions:  # `python -W` still shows them
        warnings.filterwarnings("ignore", category=DeprecationWarning)
    logging.getLogger("matplotlib").setLevel(
        logging.ERROR
    )  # it announces its cache of fonts, and another where HOME is locked
    _refuse_dashes(sys.argv[1:])
    try:
        started = time.monotonic()
        sys.argv[1:] = quote_words(sys.argv[1:], script=Path(sys.argv[0]).stem)
        main()
        _note_seconds(time.monotonic() - started)
    except MISTAKES as error:
        sys.exit(f"error: {explain(error)}")
    except KeyboardInterrupt:
        print("interrupted: nothing was left half-written.", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if refusal := explain_refusal(error):
            sys.exit(f"error: {refusal}")
        if type(error).__name__ != "TerminatedWorkerError":  # joblib's
            raise
        sys.exit(
            "error: the process of a job was killed, perhaps for want of memory: set hydra.launcher.n_jobs lower; the same "
            "command goes on with what has not finished."
        )
    if _failed:
        sys.exit(f"error: jobs that failed in this sweep: {len(_failed)}, named above with the reason.")


@contextmanager
def _ended_by_its_reader() -> Iterator[None]:
    """Python ignores SIGPIPE, so that a closed pipe is an error of whatever prints next; here it ends the process.

    What is still in the buffers is written here: at the interpreter's end the error would be a complaint on stderr.
    """
    logging.Handler.handleError = _log_or_end  # type: ignore[method-assign]
    try:
        yield
        _flush()
    except BaseException as error:
        if not reader_left(error):
            raise
        _let_go()
        sys.exit(CLOSED)
    finally:
        try:
            _flush()
        except BrokenPipeError:  # the mistake, or the status, on its way out is what counts
            _let_go()


def reader_left(error: BaseException) -> bool:
    """Whether an error came of printing to a pipe that nobody reads any more; Rich makes a SystemExit of it."""
    if isinstance(error, SystemExit):
        return isinstance(error.__context__, BrokenPipeError)
    return isinstance(error, BrokenPipeError) and bool(_closed())  # else another pipe: of a child, of a connection


_tell_of_log = logging.Handler.handleError


def _log_or_end(self: logging.Handler, record: logging.LogRecord) -> None:
    """For a line of a log that could not be written: `logging` itself would say so, with a traceback, for each line."""
    error = sys.exc_info()[1]
    if error is not None and reader_left(error):
        raise error
    _tell_of_log(self, record)


def _closed() -> list[int]:
    """Which of stdout and stderr are pipes without a reader."""
    poll = select.poll()
    for number in (1, 2):
        poll.register(number, 0)
    return [number for number, event in poll.poll(0) if event & select.POLLERR]


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()


def _let_go() -> None:
    """Send to nowhere what would still be printed to a pipe that nobody reads."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in _closed():
        os.dup2(nowhere, number)
    os.close(nowhere)


def _note_seconds(seconds: float) -> None:
    """Leave what a stage of DVC took in its own folder, for the table that `make run` ends with."""
    folders = [word.partition("=")[2] for word in sys.argv if word.startswith("hydra.run.dir=outputs/dvc/")]
    if folders and (folder := Path(folders[0])).is_dir():
        (folder / "seconds.txt").write_text(f"{folder.name} {seconds:.1f}\n")


def _refuse_dashes(arguments: list[str]) -> None:
    """Someone who writes `--epochs=3` hears how it is written here, not the list of Hydra's own options."""
    for argument in get_args_parser().parse_known_args(arguments)[1]:
        if argument.startswith("-"):
            key, _, value = argument.lstrip("-").partition("=")
            sys.exit(f"error: {argument} is no option: write {key}={value or '<value>'}, without dashes.")


class FailedJob(JobReturn):
    """What came of a job that failed, told to Hydra in our way.

    Hydra asks a job for its value when it has ended, in the process of the sweep, wherever the job ran. Its own `JobReturn`
    answers with a line on stderr and the error, which ends a sweep before its callbacks hear of it.
    """

    @property
    def return_value(self) -> Any:
        """Raises the job's error; in a sweep the job is counted instead, and has no value."""
        if not _in_sweep(self) or reader_left(self._return_value):
            raise self._return_value
        assert self.hydra_cfg is not None
        _failed.add(int(self.hydra_cfg.hydra.job.num))
        return None

    @return_value.setter
    def return_value(self, value: Any) -> None:
        """Keeps the error."""
        self._return_value = value


_failed: set[int] = set()
"""Numbers of the jobs that failed in the sweep of this process."""


def _in_sweep(job: JobReturn) -> bool:
    return job.hydra_cfg is not None and job.hydra_cfg.hydra.mode is RunMode.MULTIRUN


class FailedJobs(Callback):
    """Names each failed job of a multirun the moment it fails; the other jobs go on. Of a single run it hides no error."""

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Print the job's number, its overrides and why it failed."""
        if job_return.status is not JobStatus.FAILED:
            return
        job_return.__class__ = FailedJob  # Hydra keeps the object: a callback can change it, not hand back another
        error = job_return._return_value
        if not _in_sweep(job_return) or isinstance(error, Pruned) or reader_left(error):
            return  # of these launch and the search speak
        if not isinstance(error, MISTAKES) and not explain_refusal(error):
            traceback.print_exception(error)
        overrides = " ".join(job_return.overrides or ())
        print(f"job {config.hydra.job.num} ({overrides}) failed: {explain(error)}", file=sys.stderr)


def explain(error: BaseException) -> str:
    """A mistake in one sentence on one line, without Hydra's and OmegaConf's advice for programmers."""
    if isinstance(error, MissingConfigException) and (package := PLUGINS.get(str(error.missing_cfg_file))):
        return f"{error.missing_cfg_file} needs a package that is not installed: pip install {package}."
    if isinstance(error, MissingConfigException) and error.options:
        return _explain_option(error)
    if isinstance(error, OverrideParseException):
        return f"{error.override!r} can't be read: write key=value, and quote a value that holds brackets or commas."
    if not isinstance(error, MISTAKES) and (refusal := explain_refusal(error)):
        return refusal
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    if isinstance(cause, (ConfigAttributeError, ConfigKeyError)) and cause.full_key:
        return _explain_key(cause)
    if isinstance(cause, OmegaConfBaseException) and cause.full_key and "not a ListConfig" in str(cause):
        value = str(error).split("\n")[0].partition("=")[2].strip("'\" ")
        return f"{cause.full_key} is a list: write {cause.full_key}=[{value or '…'}]."
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return f"{cause.full_key}: {str(cause).splitlines()[0]}."
    return " ".join(str(error).split()) or type(error).__name__


def _explain_option(error: MissingConfigException) -> str:
    group, _, option = str(error.missing_cfg_file).rpartition("/")
    options = [name for name in error.options or () if name != "schema"]  # the schema is no choice of its own
    return f"{group}={option}: there is no such option, choose one of {', '.join(options)}."


def _explain_key(cause: OmegaConfBaseException) -> str:
    known = [str(key) for key in cause.parent_node] if isinstance(cause.parent_node, DictConfig) else []
    close = difflib.get_close_matches(str(cause.key), known, n=1)
    prefix = str(cause.full_key).removesuffix(str(cause.key))
    advice = f"did you mean {prefix}{close[0]}?" if close else "--help lists every key."
    return f"unknown key {cause.full_key}: {advice}"
