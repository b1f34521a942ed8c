"""The tests mirror the tree: `tests/<folder>/test_<module>.py` is of `src/mirada/<folder>/<module>.py`."""

from pathlib import Path

TESTS = Path(__file__).resolve().parent
SOURCE = TESTS.parent / "src" / "mirada"
OF_NO_MODULE = {  # what only several modules together do, or nothing below src/mirada
    "test_benchmarks.py": "the scripts of benchmarks/",
    "test_deploy.py": "the files of deploy/",
    "test_documents.py": "the commands of README.md and docs/",
    "test_dvc_experiments.py": "DVC's own experiments on the whole project",
    "test_imports.py": "what an import loads, for every module",
    "test_layout.py": "the sizes of files and folders",
    "test_makefile.py": "the Makefile",
    "test_roads.py": "one photograph by every road that a prediction takes",
    "test_tree.py": "the tests themselves",
    "test_wiring.py": "dvc.yaml, conf/ and the stages together",
    "data/formats/test_books.py": "every format: no object is lost without a word",
    "data/formats/test_gathered.py": "the formats that gather many images in one file",
    "data/formats/test_junk.py": "every format that is JSON, with junk in it",
    "data/formats/test_rotated.py": "every format that has rotated boxes",
    "handbook/test_build.py": "handbook/build.py: the whole site, in a browser",
    "handbook/test_links.py": "handbook/links.py",
    "handbook/test_pages.py": "handbook/pages.py, and handbook/settings.py below it",
    "service/test_docs.py": "the examples in README.md, docs/how-to/service.md and docs/tutorials/server.md",
    "service/test_faults.py": "parts of the service killed while it works",
    "service/test_proxy.py": "the service behind a real nginx",
    "service/test_schema.py": "the OpenAPI document against every route",
    "service/web/test_access.py": "the whole page: colours, widths, keyboard, languages",
    "service/web/test_refusals.py": "the whole page, when it is refused something",
    "stages/test_evaluate_single.py": "test_evaluate.py's other half: one object an image",
    "stages/test_preprocess_interrupted.py": "test_preprocess.py's other half: what is stopped in the middle",
    "stages/test_preprocess_formats.py": "test_preprocess.py's other half: what formats and layouts make of a folder",
    "stages/test_preprocess_pixels.py": "test_preprocess.py's other half: images of every depth and kind",
    "stages/test_preprocess_splits.py": "test_preprocess.py's other half: alike images, and folds",
    "stages/test_experiment_folds.py": "test_experiment.py's other half: folds in real processes",
    "stages/test_experiment_sweep.py": "test_experiment.py's other half: in real processes",
    "stages/test_predict_labels.py": "test_predict.py's other half: what is found as labels, read again",
    "stages/test_predict_video.py": "test_predict.py's other half: videos, cameras and streams",
}


def is_of_a_module(test: Path) -> bool:
    """A module, a script of the page, or under the folder's own name what the folder's `__init__.py` holds."""
    folder, name = SOURCE / test.parent, test.stem.removeprefix("test_")
    own = folder.name == name and (folder / "__init__.py").is_file()
    return own or (folder / f"{name}.py").is_file() or (folder / f"{name}.js").is_file()


def test_every_file_of_tests_is_named_after_its_module() -> None:
    tests = sorted(path.relative_to(TESTS) for path in TESTS.rglob("test_*.py"))
    assert len(tests) > 50
    assert [str(path) for path in tests if not is_of_a_module(path)] == sorted(OF_NO_MODULE)
