"""What strangers send: nothing crashes the service, nothing comes back as active content."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from PIL import Image, ImageFile

from mirada.config import LimitsConfig
from mirada.service import safety
from mirada.service.problems import Refusal
from mirada.service.safety import check_image, count_scans, known_hosts, read_zip, safe_name, safe_stem
from tests.data.pixels.writing import tiff_of
from tests.service.conftest import PROJECT, LiveService
from tests.service.http.test_jobs import pack
from tests.squares import draw_example

ACTIVE = (
    b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    b"<?xml version='1.0'?><svg><script>alert(1)</script></svg>",
    b"<!doctype html><script>alert(1)</script>",
    b"<html><body onload=alert(1)>",
    b"%PDF-1.7\n1 0 obj<</OpenAction 1>>",
    b"#!/bin/sh\necho x\n",
    b"MZ\x90\x00",
    b"\x7fELF\x02\x01",
    b"GIF89a=1/*alert(1)*/",
    b"<?php system($_GET['c']);",
    b"\x00\x00\x00\x20ftypheic",
    b"{\\rtf1",
)
MARKER = b"<script>alert(1)</script>"


def encoded(form: str, size: tuple[int, int] = (64, 64), mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise(size, 50).convert(mode).save(buffer, form, **options)
    return buffer.getvalue()


def png(width: int, height: int, rows: bytes = b"", bits: int = 8, colour: int = 2, extra: bytes = b"") -> bytes:
    """A PNG of any claimed size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def bmp(width: int, height: int) -> bytes:
    """A BMP of any claimed size."""
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def gif(width: int, height: int) -> bytes:
    """A GIF of any claimed size."""
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + b";"


def corpus() -> Iterator[tuple[str, bytes]]:
    """At least 200 bad files, the same each time: (name, content)."""
    whole = {form: encoded(form) for form in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP")}
    rng = random.Random(0)
    for form, content in whole.items():
        ending = form.lower()
        for share in (0.0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9):
            yield f"cut-{share}.{ending}", content[: max(4, int(len(content) * share))]
        for number in range(14):
            damaged = bytearray(content)
            for _ in range(rng.choice((1, 4, 32, 256))):
                damaged[rng.randrange(min(len(damaged), 8 if number == 0 else 10_000))] = rng.randrange(256)
            yield f"damaged-{number}.{ending}", bytes(damaged)
        for number, active in enumerate(ACTIVE[:4]):
            yield f"polyglot-{number}.{ending}", content + active
        yield f"{ending}.html", content[:20] + MARKER
    for number, active in enumerate(ACTIVE):
        for ending in ("jpg", "png", "svg"):
            yield f"active-{number}.{ending}", active
    for width, height in (
        (2**31 - 1, 2**31 - 1),
        (10**5, 10**5),
        (65_535, 65_535),
        (1, 2**30),
        (0, 0),
        (30_000, 30_000),
    ):
        yield f"bomb-{width}x{height}.png", png(width, height, bytes(1000))
        yield f"bomb-{width}x{height}.bmp", bmp(width, height)
        yield f"bomb-{width}x{height}.gif", gif(width % 65_536, height % 65_536)
    text = zlib.compress(bytes(50_000_000))
    note = struct.pack(">I", len(text) + 3) + b"zTXt" + b"a\0\0" + text + bytes(4)
    yield "text-bomb.png", png(64, 64, extra=note)
    scans = whole["JPEG"][:-2] + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" * 5000 + b"\xff\xd9"
    yield "scans.jpg", scans
    for mode, form in (("F", "TIFF"), ("I;16", "TIFF"), ("CMYK", "TIFF"), ("1", "TIFF")):
        yield f"{mode}.tiff", encoded(form, mode=mode)[:200]
    yield "empty.jpg", b""
    yield "one.jpg", b"\xff"
    yield "zeros.png", bytes(10_000)
    yield "text.jpg", b"hello" * 1000
    for number in range(20):
        yield f"noise-{number}.jpg", rng.randbytes(rng.randrange(1, 5000))
        yield f"noise-magic-{number}.jpg", b"\xff\xd8\xff" + rng.randbytes(3000)


def zips() -> Iterator[tuple[str, bytes]]:
    """Bad archives."""
    image = draw_example(1).image
    for name in ("../a.png", "/etc/a.png", "a/../../b.png", "..\\a.png", "C:\\a.png", "\\\\host\\a.png"):
        yield f"slip {name}", pack({name: image})
    yield "ratio", pack({"a.png": bytes(3_000_000)})
    yield "nested", pack({"a.zip": pack({"a.png": image})})
    yield "nested, named as an image", pack({"a.png": pack({"a.png": image})})
    yield "many", pack({f"{n}.png": b"x" for n in range(1001)})
    yield "cut", pack({"a.png": image})[:-30]
    yield "empty", pack({})
    yield "only folders", pack({"a/": b""})
    yield "text", b"PK\x03\x04" + b"x" * 1000
    link = zipfile.ZipInfo("a.png")
    link.external_attr = 0o120777 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    yield "link", buffer.getvalue()
    lies = bytearray(pack({"a.png": image}))
    at = lies.rfind(b"PK\x01\x02")
    lies[at + 24 : at + 28] = struct.pack("<I", 5)  # the size that the directory tells
    yield "lying size", bytes(lies)
    encrypted = bytearray(pack({"a.png": image}))
    encrypted[6] |= 1
    encrypted[encrypted.rfind(b"PK\x01\x02") + 8] |= 1
    yield "encrypted", bytes(encrypted)
    rare = io.BytesIO()
    with zipfile.ZipFile(rare, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.png", image)
    yield "rare method", rare.getvalue()


def assert_harmless(answer: httpx.Response) -> None:
    assert answer.status_code < 500, answer.text
    assert answer.headers["content-type"] in ("application/json", "application/problem+json", "image/jpeg")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert (
        MARKER not in answer.content
        and b"Traceback" not in answer.content
        and str(PROJECT).encode() not in answer.content
    )


@pytest.mark.slow
def test_bad_files_are_refused_and_nothing_comes_back(live_service: LiveService) -> None:
    files = list(corpus())
    assert len(files) >= 200 and len({name for name, _ in files}) == len(files)
    refused = 0
    with httpx.Client(base_url=live_service.url, timeout=30) as client:
        for name, content in files:
            answer = client.post("/v1/predict", files={"image": (name, content, "image/jpeg")})
            assert_harmless(answer)
            assert answer.status_code in (200, 413, 415, 422), (name, answer.text)
            refused += answer.status_code != 200
            if answer.status_code == 200:
                assert_harmless(client.post("/v1/predict?annotated=true", files={"image": (name, content)}))
        assert refused > 180
        assert client.post("/v1/predict", files={"image": draw_example(3).image}).status_code == 200
    assert live_service.process.poll() is None and "Traceback" not in (live_service.folder / "serve.log").read_text()


def test_bad_files_in_a_job_fail_one_by_one(live_service: LiveService) -> None:
    files = [("images", (name, content)) for name, content in list(corpus())[::4]]
    with httpx.Client(base_url=live_service.url, timeout=60) as client:
        answer = client.post("/v1/jobs", files=[*files, ("images", ("good.png", draw_example(3).image))])
        assert answer.status_code == 202, answer.text
        job = f"/v1/jobs/{answer.json()['id']}"
        while (state := client.get(job).json())["ended_at"] is None:
            pass
        assert state["counts"]["done"] + state["counts"]["failed"] == len(files) + 1
        assert state["images"][-1]["state"] == "done"
        for form in ("json", "coco", "csv", "voc"):
            assert client.get(f"{job}/results?format={form}").status_code == 200


@pytest.mark.parametrize(("name", "content"), list(zips()), ids=lambda value: value if isinstance(value, str) else "")
def test_a_bad_archive_is_refused(live_service: LiveService, name: str, content: bytes) -> None:
    answer = httpx.post(f"{live_service.url}/v1/jobs", files={"archive": ("a.zip", content)}, timeout=30)
    assert_harmless(answer)
    assert answer.status_code in (413, 415, 422), (name, answer.text)


def test_too_large_is_refused_before_it_is_read(client: httpx.Client) -> None:
    """With `serve_config`: 2 MB, 4 megapixels, 80 images."""
    assert client.post("/v1/predict", files={"image": bytes(3_000_000)}).status_code == 413
    unannounced = client.post("/v1/predict", content=iter([bytes(1000)] * 4000), headers={"Content-Type": "image/png"})
    assert unannounced.status_code == 413
    many_pixels = encoded("PNG", (2001, 2000), "1")
    answer = client.post("/v1/predict", files={"image": many_pixels})
    assert (answer.status_code, answer.json()["detail"]) == (
        413,
        "An image may have 4000000 pixels: send a smaller one.",
    )
    assert client.post("/v1/predict", files={"image": encoded("PNG", (2000, 2000), "1")}).status_code == 200


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("a b.png", "a b.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\x\\y.png", "y.png"),
        ("a\r\nb\x00\u202ec.png", "abc.png"),
        ("..", "image-7"),
        ("", "image-7"),
        (None, "image-7"),
        ("x" * 500, "x" * 200),
        ("ñandú.jpg", "ñandú.jpg"),
    ],
)
def test_names_are_for_reading_only(given: str | None, shown: str) -> None:
    assert safe_name(given, 7) == shown


def test_stems_are_safe_on_any_system() -> None:
    assert [safe_stem(name) for name in ("a.b.png", "..", "=x|y.png", "ñ", "a/b")] == [
        "a_b",
        "image",
        "x_y",
        "image",
        "a_b",
    ]


def test_a_zip_bomb_is_not_unpacked_beyond_the_limit() -> None:
    limits = LimitsConfig(image_bytes=10_000, job_bytes=15_000, zip_ratio=1e9)
    with pytest.raises(Refusal, match="An archive may hold 15000 bytes"):
        list(read_zip(pack({"a.png": bytes(20_000_000)}), limits))
    with pytest.raises(Refusal, match="unpacks to more than 2 times its size"):
        list(read_zip(pack({"a.png": bytes(5000)}), LimitsConfig(zip_ratio=2)))


def test_a_header_alone_decides_about_size() -> None:
    with pytest.raises(Refusal) as refused:
        check_image(png(100_000, 100_000), LimitsConfig())
    assert refused.value.status == 413


def test_pixels_are_counted_before_any_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A PNG's orientation may stand after its pixels, a TIFF's tile may be larger than the image."""
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("decoded"))
    tags = [(256, 4, 9), (257, 4, 9), (258, 3, 8), (259, 3, 8), (262, 3, 1), (277, 3, 1)]
    tags += [(322, 4, 20_000), (323, 4, 20_000), (324, 4, 8), (325, 4, 1)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    tiled = b"II*\x00" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    for data in (png(9000, 9000, bytes(27_001 * 9000)), tiled):
        with pytest.raises(Refusal, match="50000000 pixels"):
            check_image(data, LimitsConfig())


def test_what_a_telephone_puts_behind_a_photograph_is_not_counted() -> None:
    """A film after the photograph's end is never decoded, and what looks like scans in it is none."""
    photograph = encoded("JPEG")
    assert check_image(photograph + b"\0\0\0\x18ftypmp42" + b"\xff\xda" * 500, LimitsConfig()) == (64, 64)
    with pytest.raises(Refusal, match="An image may have 2000 bytes"):
        check_image(photograph + bytes(2000), LimitsConfig(image_bytes=2000))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"exif": b"Exif\0\0" + b"\xff\xda\xff\xd9" * 200}])
def test_scans_are_counted_up_to_the_images_own_end(options: dict[str, object]) -> None:
    """A grey progressive JPEG has six scans, as libjpeg writes it; what stands in a segment is no marker."""
    data = encoded("JPEG", mode="L", **options)
    assert count_scans(data, 1000) == (6 if "progressive" in options else 1)
    last = data.rindex(b"\xff\xda")
    many = data[:-2] + data[last:-2] * 150 + data[-2:]
    assert count_scans(many, 1000) == count_scans(data, 1000) + 150
    with pytest.raises(Refusal, match="more than 100 scans"):
        check_image(many, LimitsConfig())


def test_more_kinds_are_known_by_their_content() -> None:
    assert check_image(encoded("AVIF"), LimitsConfig()) == (64, 64)
    with pytest.raises(
        Refusal, match=r"^The image is a TIFF of 5 bands of 16 bits, which Pillow does not open: "
    ) as refused:
        check_image(tiff_of(np.zeros((2, 2, 5), "<u2")), LimitsConfig())
    assert refused.value.status == 415


@pytest.mark.parametrize("installed", [True, False])
def test_heic_is_taken_where_it_can_be_opened(monkeypatch: pytest.MonkeyPatch, installed: bool) -> None:
    buffer = io.BytesIO()
    pytest.importorskip("pillow_heif").from_pillow(Image.new("RGB", (64, 48))).save(buffer)
    monkeypatch.setattr(safety, "opens_heic", lambda: installed)
    if installed:
        assert check_image(buffer.getvalue(), LimitsConfig()) == (64, 48)
    else:
        with pytest.raises(Refusal, match="no image that is accepted here"):
            check_image(buffer.getvalue(), LimitsConfig())


def test_a_list_of_very_many_entries_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pack({f"{n}.png": b"" for n in range(101)})
    monkeypatch.setattr(zipfile, "ZipFile", lambda file: pytest.fail("read"))
    with pytest.raises(Refusal, match="10 images"):
        list(read_zip(data, LimitsConfig(job_images=10)))


def test_only_names_of_this_machine_are_answered_to_by_default() -> None:
    assert known_hosts("127.0.0.1", [], []) == {"127.0.0.1", "localhost", "[::1]"}
    assert known_hosts("127.0.0.2", [], []) == {"127.0.0.2", "127.0.0.1", "localhost", "[::1]"}
    assert known_hosts("0.0.0.0", [], []) is None and known_hosts("vision.example", [], []) is None
    assert known_hosts("0.0.0.0", ["Vision.example"], []) == {"vision.example"}
