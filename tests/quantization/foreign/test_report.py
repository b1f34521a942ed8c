"""The page and `findings.json` of one file."""

import hashlib
import json
import re

from mirada.quantization.foreign.reading import read_network
from mirada.quantization.foreign.report import check, write_check
from mirada.quantization.foreign.verdicts import RUNS, Verdict
from tests.quantization.foreign.drafts import Draft, convolution, image


def checked_folder(path, name="conv"):
    draft = Draft()
    source = image(draft)
    wide = draft.tensor(f"{name} wide", (1, 4, 4, 2), scale=8.0)
    draft.step("ADD", [convolution(draft, source, name, bias_scale=0.004), source], [wide])
    file = draft.write(path / "a&b.tflite", [source], [wide])
    write_check(check(read_network(file), [Verdict("LiteRT", RUNS, "It runs.")]), path / "out")
    return file, json.loads((path / "out" / "findings.json").read_text()), (path / "out" / "index.html").read_text()


def test_findings_are_whole_sentences_the_gravest_first(tmp_path):
    file, told, _ = checked_folder(tmp_path)
    assert [f["severity"] for f in told["findings"]] == ["error", "warning", "note", "note"]
    assert [f["code"] for f in told["findings"][:2]] == ["bias_scale", "scale_huge"]
    assert told["counts"] == {"error": 1, "warning": 1, "note": 2}
    for finding in told["findings"]:
        assert finding["sentence"].endswith(f": {finding['means']}; {finding['do']}.")
    assert (told["kind"], told["whole"], told["operators"], told["float_operators"]) == ("int8", True, 2, 0)
    assert told["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest() and told["size_bytes"] == file.stat().st_size
    assert told["inputs"] == [
        {"name": "image", "dtype": "int8", "shape": [1, 4, 4, 2], "scale": told["inputs"][0]["scale"], "zero_point": 0}
    ]
    assert abs(told["inputs"][0]["scale"] - 0.1) < 1e-6
    assert sum(share["size_bytes"] for share in told["sizes"]) == file.stat().st_size


def test_the_page_shows_all_of_it_and_fetches_nothing(tmp_path):
    _, told, page = checked_folder(tmp_path)
    assert "<h1>a&amp;b.tflite</h1>" in page and told["sentence"] in page and "It runs." in page
    assert re.findall(r'<li class="(\w+)">', page) == ["error", "warning", "note", "note"]
    assert "http" not in page and "<script" not in page


def test_what_a_file_names_its_tensors_can_do_nothing_to_the_page(tmp_path):
    _, told, page = checked_folder(tmp_path, "<script>alert(1)</script>")
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "<script>" in told["findings"][0]["what"]
