"""The table of devices: each number has its source, and none is out of this world."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from mirada.config import DeviceConfig, ExportConfig, parse
from mirada.errors import MiradaError

CONF = Path(__file__).resolve().parents[2] / "conf"
DEVICES = sorted(path.stem for path in (CONF / "device").glob("*.yaml") if path.stem != "none")
MICROCONTROLLERS = ("esp32s3", "nano_33_ble", "rp2040", "stm32h747")
ETHOS = ("ethos_u55_128", "ethos_u65_256", "ethos_u85_256")
TOLD = ("operators", "cores", "clock_mhz", "ram_bytes", "flash_bytes", "time_known", "arithmetic")


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        yield


def read(name: str) -> DeviceConfig:
    config = parse(compose("export", overrides=[f"device={name}", "output_dir=out"]))
    assert isinstance(config, ExportConfig)
    return config.device


def test_the_table_holds_the_devices_that_are_told_of() -> None:
    others = {"raspberry_pi_4", "raspberry_pi_5", "android_arm64", "desktop", "coral_edgetpu"}
    assert {*DEVICES} == {*MICROCONTROLLERS, *ETHOS} | others


@pytest.mark.parametrize("name", DEVICES)
def test_each_number_has_its_source_and_what_is_not_known_says_so(name: str) -> None:
    device = read(name)
    assert device.name == name
    assert {*device.sources} == {*TOLD} | ({"vela"} if device.vela else set()) | (
        {"limits"} if name in MICROCONTROLLERS else set()
    )
    for key, source in device.sources.items():
        assert len(source) > 15, key
        assert "://" not in source and "www." not in source, "a source is named, not linked"
    for key in ("cores", "clock_mhz", "ram_bytes", "flash_bytes"):
        assert (getattr(device, key) is None) == ("not known" in device.sources[key]), key
    told = vars(device.arithmetic).values()
    assert (None in told) == ("not known" in device.sources["arithmetic"])


@pytest.mark.parametrize("name", DEVICES)
def test_numbers_are_within_what_such_devices_have(name: str) -> None:
    device = read(name)
    assert device.clock_mhz is None or 16 <= device.clock_mhz <= 5000
    assert device.cores is None or 1 <= device.cores <= 64
    least, most = (1 << 17, 1 << 21) if device.runtime == "tflm" else (1 << 20, 1 << 37)
    assert device.ram_bytes is None or least <= device.ram_bytes <= most
    assert device.flash_bytes is None or 1 << 20 <= device.flash_bytes <= 1 << 27


def test_a_microcontroller_has_all_its_numbers_and_a_core_for_hire_none_of_its_memory() -> None:
    for name in MICROCONTROLLERS:
        device = read(name)
        assert (device.runtime, device.operators, device.time_known) == ("tflm", "tflm", "unknown")
        assert None not in (device.cores, device.clock_mhz, device.ram_bytes, device.flash_bytes)
    for name in ETHOS:
        device = read(name)
        assert (device.runtime, device.time_known, device.ram_bytes) == ("vela", "simulated", None)
        assert device.vela is not None and device.vela.accelerator == name.replace("_", "-")


def test_known_figures_of_data_sheets() -> None:
    assert read("esp32s3").ram_bytes == 512 * 1024
    assert read("rp2040").ram_bytes == 264 * 1024
    assert read("stm32h747").flash_bytes == 2 * 1024**2
    assert read("nano_33_ble").ram_bytes == 256 * 1024


@pytest.mark.parametrize("name", MICROCONTROLLERS)
def test_a_model_may_take_a_part_of_a_microcontroller(name: str) -> None:
    device = read(name)
    assert device.limits.arena_bytes is not None and device.ram_bytes is not None
    assert device.ram_bytes / 2 <= device.limits.arena_bytes < device.ram_bytes


def test_a_board_may_have_more() -> None:
    changed = ["device=esp32s3", "device.ram_bytes=8388608", "output_dir=out"]
    assert parse(compose("export", overrides=changed)).device.ram_bytes == 8 << 20


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("io=int16", "io must be one of uint8, int8, float32, got 'int16'"),
        ("postprocess=inside", "postprocess must be one of graph, got 'inside'"),
        ("targets=[pth]", "targets must be one of onnx, saved_model, got 'pth'"),
        ("golden=0", "golden must be at least 1"),
        ("device.ram_bytes=0", "device.ram_bytes must be at least 1"),
        ("device.runtime=onnx", "device.runtime must be one of litert, tflm, vela, edgetpu, got 'onnx'"),
        ("device.runtime=vela", "device=desktop: the runtime vela needs device.vela"),
        ("device.arithmetic.int8=fast", "device.arithmetic.int8 must be one of native, widened, software, none"),
        ("+device.sources.weight=mine", "device.sources names weight, which is no key of a device"),
    ],
)
def test_a_mistake_is_refused_in_a_sentence(override: str, sentence: str) -> None:
    with pytest.raises(MiradaError, match=sentence):
        parse(compose("export", overrides=["output_dir=out", override]))


def test_a_microcontroller_has_no_such_operator() -> None:
    with pytest.raises(MiradaError, match="postprocess=graph is for devices that run LiteRT, and esp32s3 runs tflm"):
        parse(compose("export", overrides=["output_dir=out", "device=esp32s3", "postprocess=graph"]))
