"""Every setting's type and range, and `parse`, which turns what Hydra composed into a checked dataclass.

The defaults that people see and override live in `conf/*.yaml`; a dataclass here says what type and range each key has. They
lie in `data` (up to preprocess), `inspecting`, `training`, `measuring` (from quantize on), `predicting`, `exporting` and
`serving`; all are imported from here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from mirada.config.checks import require
from mirada.config.commands import COMMANDS
from mirada.config.composition.config_store import shared_store
from mirada.config.composition.params import register_params
from mirada.config.data import (
    FORMATS,
    LABEL_FORMATS,
    TASKS,
    ConvertConfig,
    DataConfig,
    ExecutorConfig,
    FetchConfig,
    PreprocessConfig,
    SourceConfig,
    SplitConfig,
    TableConfig,
    TileConfig,
)
from mirada.config.exporting import ArithmeticConfig, BoardLimitsConfig, DeviceConfig, ExportConfig, VelaConfig
from mirada.config.fitting import NETWORKS, FitConfig, SpaceConfig
from mirada.config.inspecting import SEVERITIES, InspectConfig
from mirada.config.measuring import (
    FLOAT,
    MORE_VARIANTS,
    RUNGS,
    TUNED,
    VARIANTS,
    CheckQatConfig,
    CheckTfliteConfig,
    ClusteringConfig,
    CompareConfig,
    EvaluateConfig,
    FineTuneConfig,
    PruningConfig,
    PublishedConfig,
    QatConfig,
    QuantizeConfig,
)
from mirada.config.predicting import PredictConfig
from mirada.config.serving import KeysConfig, LimitsConfig, QueueConfig, ServeConfig, WorkerConfig
from mirada.config.tracking import SyncConfig, TrackingConfig, UiConfig
from mirada.config.training import (
    AUTO,
    BACKBONES,
    FROM_SCRATCH,
    MOST_SHARDS_AT_ONCE,
    AugmentConfig,
    InputConfig,
    ModelConfig,
    TrainConfig,
)
from mirada.errors import MiradaError
from mirada.storage import is_url

__all__ = [
    "AUTO",
    "ArithmeticConfig",
    "AugmentConfig",
    "BACKBONES",
    "BoardLimitsConfig",
    "CheckQatConfig",
    "CheckTfliteConfig",
    "ClusteringConfig",
    "CompareConfig",
    "ConvertConfig",
    "DataConfig",
    "DeviceConfig",
    "EvaluateConfig",
    "ExecutorConfig",
    "ExperimentConfig",
    "ExportConfig",
    "FLOAT",
    "FORMATS",
    "FROM_SCRATCH",
    "FetchConfig",
    "FineTuneConfig",
    "FitConfig",
    "InputConfig",
    "InspectConfig",
    "KeysConfig",
    "LABEL_FORMATS",
    "LimitsConfig",
    "MORE_VARIANTS",
    "MOST_SHARDS_AT_ONCE",
    "ModelConfig",
    "NETWORKS",
    "PredictConfig",
    "PreprocessConfig",
    "PruningConfig",
    "PublishedConfig",
    "QatConfig",
    "QuantizeConfig",
    "QueueConfig",
    "RUNGS",
    "SCHEMAS",
    "SEVERITIES",
    "ServeConfig",
    "SourceConfig",
    "SpaceConfig",
    "SplitConfig",
    "SyncConfig",
    "TASKS",
    "TUNED",
    "TableConfig",
    "TileConfig",
    "TrackingConfig",
    "TrainConfig",
    "UiConfig",
    "VARIANTS",
    "VelaConfig",
    "WorkerConfig",
    "parse",
    "register",
]


SCHEMAS: dict[str, type] = {
    "fetch": FetchConfig,
    "preprocess": PreprocessConfig,
    "train": TrainConfig,
    "quantize": QuantizeConfig,
    "evaluate": EvaluateConfig,
}

URL_FOLDERS: dict[type, tuple[str, ...]] = {PreprocessConfig: ("raw_dir", "output_dir")}
"""Configuration -> its keys for folders that may lie in a store; of the others it is `data_dir`, which is read only."""


@dataclass
class ExperimentConfig:
    """Settings of `experiment`; a stage's section holds what that stage's own configuration checks."""

    data: DataConfig = field(default_factory=DataConfig)
    recipe: dict[str, Any] = field(default_factory=dict)  # a file of conf/experiment: settings under their stage's name
    output_dir: str = MISSING
    store_dir: str | None = "outputs/stages"  # outputs of stages, for other jobs; None: nothing is kept or taken
    force: bool = False  # run every stage of every job of a sweep, whatever is there already
    folds: int = 0  # so many jobs, each with another fold as val; experiment.py makes a sweep of it before this is read
    seeds: int = 0  # so many jobs, each with another seed of the training; likewise
    objectives: list[str] = field(default_factory=list)  # of a search, '<variant>/<figure>'; empty: the main metric
    fetch: dict[str, Any] = field(default_factory=dict)  # keys of fetch, as fetch.<key>
    preprocess: dict[str, Any] = field(default_factory=dict)  # keys of preprocess, as preprocess.<key>
    train: dict[str, Any] = field(default_factory=dict)  # keys of train, as train.<key>
    quantize: dict[str, Any] = field(default_factory=dict)  # keys of quantize, as quantize.<key>
    evaluate: dict[str, Any] = field(default_factory=dict)  # keys of evaluate, as evaluate.<key>

    def __post_init__(self) -> None:
        """Refuse what is left of the shorthands for a sweep."""
        plain = "is short for a sweep, and read on the command line alone: write it plainly, as in folds=5 seeds=3."
        for key in ("folds", "seeds"):
            require(getattr(self, key) == 0, f"{key} {plain}")


def _staged_schema(config: type) -> DictConfig:
    schema = OmegaConf.structured(config)
    for stage in (*SCHEMAS, "recipe"):
        OmegaConf.set_struct(schema[stage], False)  # Hydra would refuse every key of an empty section
    return schema


def register() -> None:
    """Make the schemas known to Hydra, so that unknown keys and wrong types are refused while it composes."""
    register_params()
    store = shared_store()
    store.store(name="experiment_schema", node=_staged_schema(ExperimentConfig))
    callbacks = {
        "sweep_run": {"_target_": "mirada.sweeps.callback.SweepRun"},  # the first: at a job's end it is asked last
        "failed_jobs": {"_target_": "mirada.cli.FailedJobs"},
        "parallel_jobs": {"_target_": "mirada.sweeps.parallel_jobs.ParallelJobs"},
    }
    store.store(group="hydra/callbacks", name="mirada", node=callbacks)
    for name, schema in (SCHEMAS | COMMANDS).items():
        store.store(name=f"{name}_schema", node=_staged_schema(schema) if schema is FitConfig else schema)
    store.store(group="data", name="schema", node=DataConfig)
    store.store(group="executor", name="schema", node=ExecutorConfig)
    store.store(group="model", name="schema", node=ModelConfig)
    store.store(group="augment", name="schema", node=AugmentConfig)
    store.store(group="input", name="schema", node=InputConfig)
    store.store(group="device", name="schema", node=DeviceConfig)


register()


def parse(cfg: DictConfig) -> Any:
    """Turn a composed configuration into its dataclass, every range checked.

    Args:
        cfg: what Hydra composed from a schema of this module.

    Returns:
        An instance of the schema's dataclass; nested sections are dataclasses too.

    Raises:
        MiradaError: a mandatory value is absent, a value is out of range, or a key was added that no schema knows.
    """
    _refuse_unknown(cfg)
    _refuse_no_board(cfg)
    try:
        config = OmegaConf.to_object(cfg)
    except MissingMandatoryValue as error:
        raise MiradaError(f"A value is missing: {error.full_key or str(error).splitlines()[0]}.") from error
    except OmegaConfBaseException as error:
        if isinstance(error.__cause__, MiradaError):
            raise error.__cause__ from None
        raise MiradaError(str(error).splitlines()[0]) from error
    _refuse_urls(config)
    return config


def _refuse_urls(config: Any) -> None:
    """A folder that is no folder of this machine would be made as one, below `s3:`."""
    for entry in fields(config) if is_dataclass(config) else ():
        value, name = getattr(config, entry.name), entry.name
        if name.endswith("_dir") and is_url(value) and name not in URL_FOLDERS.get(type(config), ("data_dir",)):
            raise MiradaError(
                f"{name}={value}: only a folder of this machine will do here; preprocess writes to a store, and data_dir "
                "and data.path read from one."
            )


def _refuse_no_board(cfg: DictConfig) -> None:
    """`device=none` is for commands that can do without one."""
    board = cfg._get_node("device", validate_access=False)
    if isinstance(board, DictConfig) and not board._is_none() and OmegaConf.is_missing(board, "name"):
        command = str(getattr(OmegaConf.get_type(cfg), "__name__", "this")).removesuffix("Config").lower()
        raise MiradaError(f"{command} needs a board: device=esp32s3, or another file of conf/device.")


def _refuse_unknown(cfg: DictConfig, prefix: str = "") -> None:
    """Hydra lets `+key=value` add anything to a configuration; a key that nothing reads is a mistake."""
    schema = OmegaConf.get_type(cfg)
    if not is_dataclass(schema):
        return
    known = {entry.name for entry in fields(schema)}
    for key in map(str, cfg):
        require(key in known, f"unknown key {prefix}{key}: --help lists every key.")
        node = cfg._get_node(key)
        if isinstance(node, DictConfig):
            _refuse_unknown(node, f"{prefix}{key}.")
