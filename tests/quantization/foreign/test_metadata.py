"""What TensorFlow Lite Metadata say, in a file with an archive behind it, and when they are damaged."""

import flatbuffers

from mirada.quantization.foreign.interface import interface_findings
from mirada.quantization.foreign.metadata import describe
from mirada.quantization.foreign.precision import precision_of
from mirada.quantization.foreign.reading import read_network
from tests.quantization.foreign.drafts import Draft, convolution, image


def write_metadata(name: str, mean: list[float] | None, std: float = 127.5) -> bytes:
    """ModelMetadata with one input, normalised by its first process unit; fields by their place in the schema."""
    builder = flatbuffers.Builder(256)

    def table(fields: int, **slots) -> int:
        builder.StartObject(fields)
        for slot, value in slots.items():
            number = int(slot[1:])
            if isinstance(value, tuple):
                builder.PrependUint8Slot(number, value[0], 0)
            else:
                builder.PrependUOffsetTRelativeSlot(number, value, 0)
        return builder.EndObject()

    def vector(entries: list[int]) -> int:
        builder.StartVector(4, len(entries), 4)
        for entry in reversed(entries):
            builder.PrependUOffsetTRelative(entry)
        return builder.EndVector()

    def floats(values: list[float]) -> int:
        builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            builder.PrependFloat32(value)
        return builder.EndVector()

    title = builder.CreateString(name)
    units = []
    if mean is not None:
        means, stds = floats(mean), floats([std] * len(mean))
        options = table(2, s0=means, s1=stds)
        units = [table(2, s0=(1,), s1=options)]
    graphs = vector([table(4, s2=vector([table(7, s4=vector(units))]))])
    builder.Finish(table(8, s0=title, s3=graphs), file_identifier=b"M001")
    return bytes(builder.Output())


def described(path, blob: bytes, files: dict[str, str]):
    draft = Draft()
    source = image(draft)
    draft.note("TFLITE_METADATA", blob)
    draft.note("min_runtime_version", b"2.3.0" + bytes(11))
    network = read_network(draft.write(path / "a.tflite", [source], [convolution(draft, source)], files))
    found = {finding.code for finding in interface_findings(network, precision_of(network))}
    return network, found - {"no_signature"}


def test_name_labels_and_normalisation_are_read(tmp_path):
    network, found = described(tmp_path, write_metadata("Trees", [127.5]), {"labels.txt": "elm\nash\n\n"})
    assert network.metadata.name == "Trees" and network.metadata.labels == ["elm", "ash"]
    assert network.metadata.normalisation == ([127.5], [127.5]) and network.runtime == "2.3.0"
    assert found == set()


def test_what_metadata_lack_is_told(tmp_path):
    network, found = described(tmp_path, write_metadata("Trees", None), {})
    assert network.metadata.normalisation is None and found == {"no_labels", "no_normalisation"}


def test_labels_tell_an_output_that_carries_boxes_too(tmp_path):
    from mirada.quantization.foreign.outputs import output_findings

    draft = Draft()
    source, target = draft.tensor("in", (1, 9, 7)), draft.tensor("map", (1, 9, 7))  # 3 labels and 4 of a box
    draft.step("ADD", [source, source], [target])
    draft.note("TFLITE_METADATA", write_metadata("Trees", None))
    path = draft.write(tmp_path / "a.tflite", [source], [target], {"labels.txt": "elm\nash\noak\n"})
    assert [finding.code for finding in output_findings(read_network(path))] == ["shared_output"]


def test_damaged_metadata_are_as_if_absent():
    blob = write_metadata("Trees", [0.0], 255.0)
    assert describe(blob, {}).normalisation == ([0.0], [255.0])
    for length in range(len(blob)):
        describe(blob[:length], {})
    assert describe(b"\xff" * 64, {"labels.txt": b"\xff\xfe"}).name == ""
