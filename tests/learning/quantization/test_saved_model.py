from pathlib import Path

import numpy as np
import pytest

from mirada.learning.quantization.saved_model import run_saved_model, write_saved_model
from tests.squares import matched_filter


@pytest.mark.slow
def test_a_saved_model_gives_the_outputs_of_the_network_under_their_names(tmp_path: Path) -> None:
    model = matched_filter()
    model.save(tmp_path / "model.keras")
    write_saved_model(tmp_path / "model.keras", tmp_path / "out")
    images = np.random.default_rng(0).uniform(-1, 1, (2, *model.input_shape[1:])).astype(np.float32)
    found = run_saved_model(tmp_path / "out", images)
    wanted = model(images)
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values.numpy(), atol=1e-4)
    assert not (tmp_path / "out" / "fingerprint.pb").exists()
