"""Look at raw data before it is trained on, e.g. `python src/inspect.py data=auto data.path=photos/`."""

# Python looks for modules in a script's own folder first. So `import inspect`, in any script of this folder and in all that
# it imports, finds this file before the standard library's module of that name. Imported, it therefore becomes that module;
# it is the doctor only where it is run. (A worker process runs it as `__mp_main__`: then it is neither.)
if __name__ == "inspect":
    import sys
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec
    from pathlib import Path

    _here = Path(__file__).resolve().parent
    _spec = PathFinder.find_spec("inspect", [path for path in sys.path if Path(path).resolve() != _here])
    if _spec is None or _spec.loader is None:
        raise ImportError("the standard library's module inspect was not found")
    sys.modules["inspect"] = module_from_spec(_spec)  # whoever imports is handed what stands here
    _spec.loader.exec_module(sys.modules["inspect"])

elif __name__ == "__main__":
    import hydra
    from omegaconf import DictConfig

    from mirada.cli import launch
    from mirada.config import parse

    @hydra.main(version_base="1.3", config_path="../conf", config_name="inspect")
    def main(cfg: DictConfig) -> None:
        """Check the configuration, then look."""
        config = parse(cfg)  # a mistake is refused here, before anything slow is imported
        from mirada.stages import inspect

        inspect.run(config)

    launch(main)
