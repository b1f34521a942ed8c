"""Jobs from upload to results, over a service of its own."""

from __future__ import annotations

import csv
import io
import json
import threading
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from pycocotools.coco import COCO

from mirada.data.annotations import RawImage
from mirada.data.formats.voc import list_voc, read_voc
from mirada.service.http.results import to_voc
from tests.servers import until
from tests.service.conftest import LiveService
from tests.squares import draw_example


def files(count: int, start: int = 0) -> list[tuple[str, tuple[str, bytes]]]:
    return [("images", (f"s {n}.png", draw_example(n).image)) for n in range(start, start + count)]


def pack(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def submit(service: LiveService, count: int, **options: Any) -> dict[str, Any]:
    answer = httpx.post(f"{service.url}/v1/jobs", files=files(count), timeout=60, **options)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def finish(service: LiveService, job_id: str, seconds: float = 60) -> dict[str, Any]:
    until(lambda: service.get(f"/v1/jobs/{job_id}").json()["ended_at"] is not None, seconds, service.log)
    return dict(service.get(f"/v1/jobs/{job_id}").json())


def test_a_job_gives_what_single_predictions_give(live_service: LiveService) -> None:
    job = submit(live_service, 20, params={"min_score": 0.1, "variant": "float32"})
    assert (job["counts"]["total"], len(job["images"]), job["images"][3]["name"]) == (20, 20, "s 3.png")
    done = finish(live_service, job["id"])
    assert (done["state"], done["counts"]) == ("done", {"total": 20, "done": 20, "failed": 0, "cancelled": 0})
    rows = live_service.get(f"/v1/jobs/{job['id']}/results").json()["images"]
    for n, row in enumerate(rows):
        single = httpx.post(
            f"{live_service.url}/v1/predict?variant=float32&min_score=0.1", files={"image": draw_example(n).image}
        ).json()
        assert row["prediction"]["detections"] == single["detections"]
    assert any(row["prediction"]["detections"] for row in rows)
    assert job["id"] in [entry["id"] for entry in live_service.get("/v1/jobs").json()["jobs"]]


def test_a_zip_holds_the_images_of_a_job(live_service: LiveService) -> None:
    entries = {"a/one.png": draw_example(1).image, "two.png": draw_example(2).image, "a/": b"", ".DS_Store": b"x"}
    entries |= {"__MACOSX/._one.png": b"x", "notes.txt": b"no image"}
    for options in (
        {"files": {"archive": ("all.zip", pack(entries))}},
        {"content": pack(entries), "headers": {"Content-Type": "application/zip"}},
    ):
        answer = httpx.post(f"{live_service.url}/v1/jobs", **options)
        done = finish(live_service, answer.json()["id"])
        assert [(image["name"], image["state"]) for image in done["images"]] == [
            ("one.png", "done"),
            ("two.png", "done"),
            ("notes.txt", "failed"),
        ]
        assert done["counts"] == {"total": 3, "done": 2, "failed": 1, "cancelled": 0}
        assert done["images"][2]["error"].startswith("The upload is no image")


def test_results_come_in_formats_that_others_read(live_service: LiveService, tmp_path: Path) -> None:
    names = ["plain.png", "=cmd()|'.png", "../../etc/passwd.png", "plain.png"]
    uploads = [("images", (name, draw_example(3 + 4 * n).image)) for n, name in enumerate(names)]
    uploads.append(("images", ("broken.png", b"\x89PNG\r\n\x1a\nbroken")))
    job = httpx.post(f"{live_service.url}/v1/jobs", files=uploads).json()
    finish(live_service, job["id"])
    url = f"/v1/jobs/{job['id']}/results?format="
    answers = {form: live_service.get(url + form) for form in ("json", "coco", "csv", "voc")}
    assert all("attachment" in answer.headers["content-disposition"] for answer in answers.values())
    rows = answers["json"].json()["images"]
    wanted = [row["prediction"]["detections"] if row["prediction"] else [] for row in rows]
    assert all(wanted[:4]) and wanted[4] == []
    assert rows[2]["name"] == "passwd.png"

    (tmp_path / "coco.json").write_bytes(answers["coco"].content)
    coco = COCO(str(tmp_path / "coco.json"))
    assert sorted(coco.getImgIds()) == [0, 1, 2, 3]
    first = coco.loadAnns(coco.getAnnIds(imgIds=[0]))
    x1, y1, x2, y2 = wanted[0][0]["box"]
    assert first[0]["bbox"] == [x1, y1, x2 - x1, y2 - y1]
    assert coco.loadCats([first[0]["category_id"]])[0]["name"] == wanted[0][0]["label"]

    table = list(csv.DictReader(io.StringIO(answers["csv"].text)))
    assert len(table) == sum(map(len, wanted)) + 1
    assert {row["name"] for row in table} == {"plain.png", "'=cmd()|'.png", "passwd.png", "broken.png"}
    assert [float(table[0][key]) for key in ("x1", "y1", "x2", "y2")] == wanted[0][0]["box"]
    assert table[-1]["state"] == "failed" and table[-1]["label"] == ""

    with zipfile.ZipFile(io.BytesIO(answers["voc"].content)) as archive:
        assert sorted(archive.namelist()) == ["cmd.xml", "passwd.xml", "plain-3.xml", "plain.xml"]
        archive.extractall(tmp_path / "voc")
    for stem in ("plain", "passwd"):
        (tmp_path / "voc" / f"{stem}.png").write_bytes(draw_example(3).image)
    items, _ = list_voc(tmp_path / "voc")
    read = [read_voc(item, {}) for item in items]
    boxes = {image.source: image.boxes for image in read if isinstance(image, RawImage)}
    assert [box.label for box in boxes["plain.png"]] == [found["label"] for found in wanted[0]]
    assert boxes["plain.png"][0].x1 == pytest.approx(wanted[0][0]["box"][0], abs=5.1e-5)


def test_no_two_annotations_have_one_name() -> None:
    names = ["a-2.png", "a.png", "a.jpg", "A.gif"]
    found = {n: {"width": 1, "height": 1, "detections": []} for n in range(4)}
    with zipfile.ZipFile(
        io.BytesIO(to_voc([{"n": n, "name": name} for n, name in enumerate(names)], found))
    ) as archive:
        assert archive.namelist() == ["a-2.xml", "a.xml", "a-2-2.xml", "A-3.xml"]


def test_events_tell_of_each_image_once(live_service: LiveService) -> None:
    job = submit(live_service, 40)
    changed, last = [], None
    with httpx.stream("GET", f"{live_service.url}/v1/jobs/{job['id']}/events", timeout=60) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if line.startswith("event:"):
                last = line.removeprefix("event:").strip()
            if line.startswith("data:"):
                data = json.loads(line.removeprefix("data:"))
                changed += [image["n"] for image in data["changed"]]
    assert last == "end" and data["state"] == "done" and data["counts"]["done"] == 40
    assert sorted(changed) == list(range(40))


def test_an_idempotency_key_makes_one_job(live_service: LiveService) -> None:
    def post(count: int, key: str) -> httpx.Response:
        return httpx.post(
            f"{live_service.url}/v1/jobs", files=files(count), headers={"Idempotency-Key": key}, timeout=60
        )

    answers: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda: answers.append(post(3, "k1"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} <= {202, 409}
    again = post(3, "k1")
    assert {answer.json()["id"] for answer in answers if answer.status_code == 202} == {again.json()["id"]}
    other = post(4, "k1")
    assert other.status_code == 422 and "used for another job" in other.json()["detail"]
    assert post(3, "k2").json()["id"] != again.json()["id"]


def test_a_cancelled_job_keeps_what_ran(live_service: LiveService) -> None:
    job = submit(live_service, 80)
    answer = httpx.delete(f"{live_service.url}/v1/jobs/{job['id']}")
    counts = answer.json()["counts"]
    assert answer.status_code == 200
    assert answer.json()["state"] == "cancelled" and counts["cancelled"] > 0
    assert counts["done"] + counts["cancelled"] == 80
    assert httpx.delete(f"{live_service.url}/v1/jobs/{job['id']}").json()["counts"] == counts
    assert live_service.get(f"/v1/jobs/{job['id']}/images/79").status_code == 409
    states = [image["state"] for image in live_service.get(f"/v1/jobs/{job['id']}").json()["images"]]
    assert states.count("cancelled") == counts["cancelled"]


def test_an_image_of_a_job_comes_with_its_boxes(live_service: LiveService) -> None:
    buffer = io.BytesIO()
    square = Image.open(io.BytesIO(draw_example(3).image)).resize((640, 640))
    square.save(buffer, "PNG")
    job = httpx.post(f"{live_service.url}/v1/jobs", files=[("images", ("big.png", buffer.getvalue()))]).json()
    finish(live_service, job["id"])
    for query, side in (("", 640), ("?thumbnail=true", 256)):
        answer = live_service.get(f"/v1/jobs/{job['id']}/images/0{query}")
        picture = Image.open(io.BytesIO(answer.content))
        assert (answer.headers["content-type"], picture.format, picture.size) == ("image/jpeg", "JPEG", (side, side))
    assert live_service.get(f"/v1/jobs/{job['id']}/images/1").status_code == 404


@pytest.mark.parametrize("path", ["", "/events", "/results", "/images/0"])
def test_a_job_that_is_not_there(live_service: LiveService, path: str) -> None:
    answer = live_service.get(f"/v1/jobs/{'0' * 32}{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert "no such job" in answer.json()["detail"]
    assert live_service.get(f"/v1/jobs/..%2f..%2fetc{path}").status_code in (404, 422)
