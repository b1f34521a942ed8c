"""`hydra/sweeper=optuna`: a search by Optuna, any current version, in the place of Hydra's own plugin.

Hydra's is held at Optuna 2.10, which knows neither pruning across processes nor a storage on SQLAlchemy 2, and takes the end
of `range(16,64,16)` for a member. Hydra finds this module by its package's name and imports it with every `--help`: what
a search needs is imported when one begins. (No `from __future__ import annotations`: Hydra runs the module before it is in
`sys.modules`, where a dataclass would look for it.)
"""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

    from mirada.sweeps.search.study import Settings, Trial


@dataclass
class OptunaSweeperConf:
    """The keys of `hydra.sweeper`."""

    _target_: str = "hydra_plugins.mirada_optuna.OptunaSweeper"
    n_trials: int = 20
    n_jobs: int | None = None  # trials chosen at a time; null: as many as the launcher runs at once
    directions: list[str] | None = None  # maximize or minimize, one an objective; null: what each figure asks for
    sampler: str = "tpe"  # or nsgaii, random
    startup_trials: int = 5  # random ones before tpe begins to choose; for nsgaii the population
    seed: int = 0  # of the sampler: the same values give the same next trial
    prune: bool = False  # stop trainings whose validation curve lies below the median of the others
    prune_after_trials: int = 4  # finished trainings that the median needs
    prune_after_epochs: int = 1  # epochs that every training may do
    storage: str | None = None  # as in sqlite:///search.db, to go on with later; null: in memory
    study_name: str = "mirada"
    params: dict[str, str] | None = None  # the space as configuration, 'batch_size: choice(4,8)'


ConfigStore.instance().store(group="hydra/sweeper", name="optuna", node=OptunaSweeperConf, provider="mirada")


class OptunaSweeper(Sweeper):
    """Lets Optuna choose the overrides of each job, by the values of those before."""

    def __init__(self, **settings: Any) -> None:
        self._given = settings  # checked when the search begins: Hydra would bury a sentence raised here

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher."""
        from hydra.core.plugins import Plugins

        self.config: DictConfig = config
        self.hydra_context: HydraContext = hydra_context
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Run all trials and leave what was found in the sweep's folder.

        Raises:
            MiradaError: the search makes no sense, or no trial finished.
        """
        from hydra.core.override_parser.overrides_parser import OverridesParser

        from mirada.sweeps.search import study as search

        search.require_optuna()
        settings = self._settings()
        loader = self.hydra_context.config_loader
        typed = [*(f"{key}={value}" for key, value in settings.params.items()), *arguments]
        space, fixed = search.read_space(OverridesParser.create(config_loader=loader).parse_overrides(typed))
        first, *others = [loader.load_sweep_config(self.config, probe) for probe in search.probes(space, fixed)]
        objectives = _check_experiments([first, *others])
        directions = _directions(settings, first, objectives)
        study = search.open_study(settings, directions)
        self.folder = Path(self.config.hydra.sweep.dir)
        self.folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, self.folder / "multirun.yaml")
        report = _Report(self.folder, study, directions, objectives or _names(len(directions)))
        returns = []
        for start in range(0, settings.n_trials, settings.n_jobs):
            count = min(settings.n_jobs, settings.n_trials - start)
            returns.append(self._run_batch(study, space, fixed, start, count))
            report.write()
        report.finish()
        return returns

    def _settings(self) -> "Settings":
        from mirada.sweeps.search.study import Settings

        given = dict(self._given)
        given["directions"] = None if given["directions"] is None else list(given["directions"])
        given["params"] = dict(given["params"] or {})
        if given["n_jobs"] is None:
            given["n_jobs"] = _jobs_at_once(self.config)
        settings = Settings(**given)
        settings.check()
        return settings

    def _run_batch(
        self,
        study: "optuna.Study",
        space: "dict[str, BaseDistribution]",
        fixed: dict[str, str],
        start: int,
        count: int,
    ) -> Sequence[JobReturn]:
        from mirada.sweeps.search.study import overrides_of

        trials = [study.ask(space) for _ in range(count)]
        batch = [overrides_of(trial.params, fixed) for trial in trials]
        jobs = self.launcher.launch(batch, initial_job_idx=start)
        for trial, job in zip(trials, jobs, strict=True):
            _tell(study, trial, job)
        return jobs


def _tell(study: "optuna.Study", trial: "optuna.Trial", job: JobReturn) -> None:
    """Give a trial the end that its job had, and say it."""
    from optuna.trial import TrialState

    from mirada.errors import Pruned
    from mirada.sweeps.search.study import read_value, trial_of

    values, why, state = None, "", TrialState.FAIL
    if job.status is JobStatus.COMPLETED:
        values, why = read_value(job.return_value, len(study.directions))
        state = TrialState.FAIL if values is None else TrialState.COMPLETE
    elif isinstance(job._return_value, Pruned):
        why, state = str(job._return_value), TrialState.PRUNED
        if len(study.directions) == 1:
            trial.report(job._return_value.value, job._return_value.epoch)  # the sampler learns from it
    else:
        why = " ".join(str(job._return_value).split())
        with contextlib.suppress(Exception):
            _ = job.return_value  # the entry point counts it
    if why:
        trial.set_user_attr("why", why[:500])
    study.tell(trial, values, state)
    print(_sentence(trial_of(study.trials[trial.number])), flush=True)


def _sentence(trial: "Trial") -> str:
    from mirada.sweeps.search.study import text_of

    chosen = " ".join(f"{key}={text_of(value, 4)}" for key, value in trial.params.items())
    end = ", ".join(f"{value:.4g}" for value in trial.values) if trial.state == "complete" else trial.state
    return f"trial {trial.number} ({chosen}): {end}{f', {trial.why}' if trial.why else ''}"


def _jobs_at_once(config: DictConfig) -> int:
    if str(config.hydra.launcher._target_).endswith(".JoblibLauncher"):
        from joblib import effective_n_jobs

        return int(effective_n_jobs(config.hydra.launcher.n_jobs))
    return 1


def _names(count: int) -> list[str]:
    return ["value"] if count == 1 else [f"value_{number}" for number in range(count)]


def _check_experiments(configs: Sequence[DictConfig]) -> list[str]:
    """Refuse, before the first trial, what no trial could do; gives the objectives of an experiment.

    Raises:
        MiradaError: a section of an experiment is wrong, its objectives are, or a stage has no figure to search by.
    """
    from mirada.config import SCHEMAS
    from mirada.errors import MiradaError

    name = configs[0].hydra.job.config_name
    if name in {*SCHEMAS, "compare", "check_qat", "check_tflite"} - {"train"}:
        raise MiradaError(f"{name} gives no figure to search by: search with src/train.py or src/experiment.py.")
    if name != "experiment":
        return []
    from mirada.sweeps.compose import compose_stages
    from mirada.sweeps.search.objectives import check_experiment, check_split

    for config in configs:
        objectives = [str(objective) for objective in config.objectives]
        recipe: Any = OmegaConf.to_container(config.recipe, resolve=True)
        stages = compose_stages(list(config.hydra.overrides.task), "search", recipe)
        check_split(stages["evaluate"].split)
        if objectives:
            check_experiment(objectives, stages)
    return objectives


def _directions(settings: "Settings", config: DictConfig, objectives: Sequence[str]) -> list[str]:
    from mirada.errors import MiradaError
    from mirada.sweeps.search.objectives import check_directions

    directions = check_directions(settings.directions, objectives)
    if config.hydra.job.config_name in ("train", "experiment") and not objectives and directions != ["maximize"]:
        raise MiradaError(
            "hydra.sweeper.directions: without objectives there is one figure, better when higher: leave directions out, or "
            "search with src/experiment.py and objectives=[int8/map50,int8/latency_ms_p50]."
        )
    return directions


class _Report:
    """What a search leaves: `search.csv`, `optimization_results.yaml`, `search.png`; all in the parent run, too."""

    def __init__(self, folder: Path, study: "optuna.Study", directions: list[str], names: list[str]) -> None:
        self.folder, self.study, self.directions, self.names = folder, study, directions, names

    def trials(self) -> "list[Trial]":
        from mirada.sweeps.search.study import trial_of

        return [trial_of(trial) for trial in self.study.trials]

    def write(self) -> None:
        """Write the table and the results as they are by now."""
        from mirada.sweeps.search.study import as_csv, optimization_results, table

        trials = self.trials()
        (self.folder / "search.csv").write_text(as_csv(*table(trials, self.directions, self.names)), encoding="utf-8")
        results = OmegaConf.create(optimization_results(trials, self.directions))
        OmegaConf.save(results, self.folder / "optimization_results.yaml")

    def finish(self) -> None:
        """Print the table, draw the picture, add everything to the parent run.

        Raises:
            MiradaError: no trial finished.
        """
        from mirada.errors import MiradaError
        from mirada.sweeps.search.plot import plot_search
        from mirada.sweeps.search.study import best_trials

        trials = self.trials()
        self._print()
        if not best_trials(trials, self.directions):
            raise MiradaError("no trial of this search finished: the reasons are above and in search.csv.")
        (self.folder / "search.png").write_bytes(plot_search(trials, self.directions, self.names))
        self._track()
        print(f"search: {self.folder / 'search.png'}, search.csv and optimization_results.yaml beside it")

    def _print(self) -> None:
        from rich.box import SIMPLE
        from rich.console import Console
        from rich.table import Table

        from mirada.comparison.groups import short
        from mirada.sweeps.search.study import table

        head, rows = table(self.trials(), self.directions, self.names, digits=4)
        shown = Table(box=SIMPLE)
        for name in head[:-1]:
            shown.add_column(short(name), no_wrap=name == "state")
        for row in rows:
            shown.add_row(*row[:-1], style="bold" if row[2] else None)
        console = Console()
        if not console.is_terminal:
            console = Console(width=max(console.width, 140))  # a log may be wide
        console.print(shown)

    def _track(self) -> None:
        from mirada.sweeps.search.study import best_trials, text_of
        from mirada.tracking import PARENT

        parent = os.environ.get(PARENT)
        if parent is None:
            return
        import mlflow
        from mlflow.exceptions import MlflowException

        client, best = mlflow.MlflowClient(), best_trials(self.trials(), self.directions)
        try:
            for name in ("search.csv", "search.png", "optimization_results.yaml"):
                client.log_artifact(parent, str(self.folder / name), "search")
            client.set_tag(parent, "best_trials", ", ".join(str(trial.number) for trial in best))
            if len(self.directions) == 1:
                client.log_metric(parent, "best_value", best[0].values[0])
                for key, value in best[0].params.items():
                    client.set_tag(parent, f"best.{key.lstrip('+')}", text_of(value))
        except (MlflowException, OSError) as error:  # the files are in the folder
            print(f"MLflow has not got all of this search: {str(error).splitlines()[0]}", flush=True)
