"""Each source, on files built on the spot; pip runs for real, against a folder of wheels."""

import gzip
import hashlib
import io
import os
import tarfile
import zipfile
from pathlib import Path
from random import Random

import pytest

from mirada.config import SourceConfig
from mirada.data import sources
from mirada.errors import MiradaError

FILES = {"train/a.jpg": b"photo" * 500, "train/a b.xml": b"<annotation/>" * 50, "notes.txt": b""}


def quiet(done, total):
    assert 0 <= done <= total


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "staging" / "new").mkdir(parents=True)
    return tmp_path / "staging" / "new"


def content(folder):
    return {name: path.read_bytes() for name, path in sources.list_folder(folder)}


def make_tar(path, files=FILES, mode="w", *special):
    with tarfile.open(path, mode) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for member in special:
            tar.addfile(member)
    return path


def make_zip(path, files=FILES):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("name", ["a.tar", "a.TAR.GZ", "a.tgz", "a.zip"])
def test_archives_of_each_kind(tmp_path, folder, name):
    mode = "w" if name.endswith(".tar") else "w:gz"
    path = make_zip(tmp_path / name) if name.endswith(".zip") else make_tar(tmp_path / name, FILES, mode)
    assert sources.is_archive(path)
    sources.extract_archive(path, folder, quiet)
    assert content(folder) == FILES


def test_only_known_archives():
    assert not any(map(sources.is_archive, map(Path, ["a.rar", "a.7z", "a.jpg", "tar", "a.gz"])))


def test_hidden_members_stay_out(tmp_path, folder):
    files = {"a.jpg": b"1", "._a.jpg": b"2", "__MACOSX/a.jpg": b"3", ".git/config": b"4"}
    sources.extract_archive(make_zip(tmp_path / "a.zip", files), folder, quiet)
    assert content(folder) == {"a.jpg": b"1"}


def test_zip_of_a_windows_tool(tmp_path, folder):
    path = make_zip(tmp_path / "a.zip", {"train/a.jpg": b"1"})
    path.write_bytes(path.read_bytes().replace(b"train/a.jpg", b"train\\a.jpg"))
    sources.extract_archive(path, folder, quiet)
    assert content(folder) == {"train/a.jpg": b"1"}


@pytest.mark.parametrize("name", ["../evil.jpg", "/evil.jpg", "train/../../evil.jpg", "..\\evil.jpg", "C:\\evil.jpg"])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_members_that_would_land_outside(tmp_path, folder, name, kind):
    make = make_tar if kind == "tar" else make_zip
    path = make(tmp_path / f"a.{kind}", {"a.jpg": b"1", name: b"2"})
    with pytest.raises(MiradaError, match=r"would land outside its folder"):
        sources.extract_archive(path, folder, quiet)
    assert not list(tmp_path.rglob("evil*")) and not list(tmp_path.rglob("*evil.jpg"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar(tmp_path, folder, kind):
    member = tarfile.TarInfo("link.jpg")
    member.type, member.linkname = kind, "/etc/passwd"
    with pytest.raises(MiradaError, match=r"'link.jpg', a link or a device: pack the files themselves"):
        sources.extract_archive(make_tar(tmp_path / "a.tar", FILES, "w", member), folder, quiet)


def test_links_in_a_zip(tmp_path, folder):
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = 0o120777 << 16
    with pytest.raises(MiradaError, match=r"'link.jpg', a link or a device"):
        sources.extract_archive(make_zip(tmp_path / "a.zip", {link: b"/etc/passwd"}), folder, quiet)


def cut(data):
    return data[: len(data) // 2]


def flip(data):
    middle = data.index(b"photo") if b"photo" in data else len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("a.tar", cut),
        ("a.tar", lambda data: data[: 512 + 2560]),  # right after the first of three files
        ("a.tar", lambda data: data.replace(b"train/a b.xml", b"train/a c.xml")),  # a header's checksum is wrong
        ("a.tar", lambda data: b""),
        ("a.tar.gz", cut),
        ("a.tar.gz", flip),
        ("a.tar.gz", lambda data: data[:-4]),
        ("a.tar.gz", lambda data: data[:-8] + bytes(4) + data[-4:]),  # the checksum at the end is wrong
        ("a.zip", cut),
        ("a.zip", flip),
        ("a.zip", lambda data: b"no zip"),
    ],
)
def test_damaged_archives_are_named(tmp_path, folder, name, damage):
    path = tmp_path / name
    files = {"a.jpg": Random(0).randbytes(9000), **FILES} if name != "a.tar" else FILES
    make_zip(path, files) if name == "a.zip" else make_tar(path, files, "w:gz" if name == "a.tar.gz" else "w")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(MiradaError, match=rf"{name} is corrupt or cut short .*: get the archive again"):
        sources.extract_archive(path, folder, quiet)


def test_encrypted_zip(tmp_path, folder):
    path = make_zip(tmp_path / "a.zip", {"a.jpg": b"1"})
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the flag in the member's header and in the directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(MiradaError, match=r"a.zip can't be unpacked \(.*encrypted.*unpack it yourself"):
        sources.extract_archive(path, folder, quiet)


def test_bombs_are_refused(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(sources, "_GROWTH_COUNTS_FROM", 1000)
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(make_tar(tmp_path / "a.tar", {"a.jpg": bytes(3_000_000)}).read_bytes()))
    with pytest.raises(MiradaError, match=r"a.tar.gz unpacks to far more than photographs would"):
        sources.extract_archive(path, folder, quiet)
    assert (folder / "a.jpg").stat().st_size <= path.stat().st_size * sources._MAX_GROWTH


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("cp866", ["собака/большая собака.jpg", "кошка/серая кошка.jpg"]),
        ("cp932", ["犬がいます/白い犬がいます.jpg", "猫がいます/黒い猫がいます.jpg"]),
        ("gbk", ["小狗在草地上奔跑/一只白色的小狗.jpg", "小猫在沙发上睡觉/一只黑色的小猫.jpg"]),
        ("utf-8", ["étoile/ñandú.jpg"]),
        ("cp437", ["café/über.jpg"]),
    ],
)
def test_names_of_a_zip_from_another_machine(tmp_path, folder, encoding, names):
    class Packed(zipfile.ZipInfo):
        def _encodeFilenameFlags(self):
            return self.filename.encode(encoding), 0  # not marked as UTF-8

    path = make_zip(tmp_path / "a.zip", {Packed(name): name.encode() for name in names})
    sources.extract_archive(path, folder, quiet)
    assert content(folder) == {name: name.encode() for name in names}


@pytest.mark.parametrize("link", ["a.jpg", "folder"])
def test_links_that_lead_out_of_a_folder(tmp_path, folder, link):
    (tmp_path / "origin").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/b.jpg").write_bytes(b"x")
    (tmp_path / "origin" / link).symlink_to(tmp_path / ("secret/b.jpg" if link == "a.jpg" else "secret"))
    with pytest.raises(MiradaError, match=rf"origin/{link} is a link to .*/secret.*, outside data\.path: put the file"):
        sources.copy_folder(tmp_path / "origin", folder, quiet)
    sources.copy_folder(tmp_path / "origin", folder, quiet, follow_links=True)
    assert content(folder) == {link if link == "a.jpg" else "folder/b.jpg": b"x"}


def test_copies_what_is_visible(tmp_path, folder):
    origin = tmp_path / "origin"
    for name in ("train/a (1).jpg", "b.xml", ".hidden/c.jpg", ".d.jpg", "elsewhere.jpg"):
        (origin / name).parent.mkdir(parents=True, exist_ok=True)
        (origin / name).write_bytes(name.encode())
    (origin / "linked.jpg").symlink_to(origin / "b.xml")
    (origin / "broken.jpg").symlink_to(origin / "nowhere")
    (origin / "train" / "loop").symlink_to(origin)
    os.mkfifo(origin / "pipe")
    (origin / "b.xml").chmod(0o444)
    sources.copy_folder(origin, folder, quiet)
    assert content(folder) == {
        "train/a (1).jpg": b"train/a (1).jpg",
        "b.xml": b"b.xml",
        "elsewhere.jpg": b"elsewhere.jpg",
        "linked.jpg": b"b.xml",
    }
    assert not (folder / "linked.jpg").is_symlink()
    (folder / "b.xml").write_bytes(b"changed")
    assert (origin / "b.xml").read_bytes() == b"b.xml"


MEMBERS = {"crowns/data/a.png": b"image", "crowns/data/a.xml": b"<annotation/>"}


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of wheels in the place of the package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    files = {
        **MEMBERS,
        "crowns/__init__.py": b"raise RuntimeError('imported')",
        "crowns-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: crowns\nVersion: 1.0\n"
        b"Requires-Dist: no-such-package-anywhere\nRequires-Python: <3\n",
        "crowns-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "crowns-1.0.dist-info/RECORD": b"",
    }
    make_zip(folder / "crowns-1.0-py3-none-any.whl", files)
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    return folder


def crowns(version="1.0", **changed):
    members = {name: hashlib.sha256(data).hexdigest() for name, data in MEMBERS.items()}
    return SourceConfig(kind="package", package="crowns", version=version, members={**members, **changed})


def test_members_of_a_wheel(index, folder):
    steps = []
    sources.fetch_package(crowns(), folder, lambda done, total: steps.append((done, total)))
    assert content(folder) == {"a.png": b"image", "a.xml": b"<annotation/>"}
    assert steps == [(1, 2), (2, 2)]
    assert [path.name for path in folder.parent.iterdir()] == ["new"]


def test_other_bytes_than_expected(index, folder):
    with pytest.raises(MiradaError, match=r"crowns/data/a.xml has sha256 [0-9a-f]{64}, expected 00: the package index"):
        sources.fetch_package(crowns(**{"crowns/data/a.xml": "00"}), folder, quiet)


def test_a_member_that_is_not_there(index, folder):
    with pytest.raises(MiradaError, match=r"crowns/b.png of data.source.members is not in crowns-1.0-py3-none-any.whl"):
        sources.fetch_package(crowns(**{"crowns/b.png": "00"}), folder, quiet)


def test_two_members_of_one_name(folder):
    with pytest.raises(MiradaError, match=r"two files of one name"):
        sources.fetch_package(crowns(**{"other/a.png": "00"}), folder, quiet)


def test_pip_fails(index, folder):
    with pytest.raises(MiradaError, match=r"pip could not download crowns==2.0 \(No matching distribution found"):
        sources.fetch_package(crowns(version="2.0"), folder, quiet)
    assert [path.name for path in folder.parent.iterdir()] == ["new"]


def test_a_damaged_wheel(index, folder):
    wheel = index / "crowns-1.0-py3-none-any.whl"
    wheel.write_bytes(cut(wheel.read_bytes()))
    with pytest.raises(MiradaError, match=r"crowns"):
        sources.fetch_package(crowns(), folder, quiet)


def crowns_folder(index, prefix="crowns/data", sha256=None):
    wheel = index / "crowns-1.0-py3-none-any.whl"
    sha256 = sha256 or hashlib.sha256(wheel.read_bytes()).hexdigest()
    return SourceConfig(kind="package", package="crowns", version="1.0", sha256=sha256, prefix=prefix)


def test_a_folder_of_a_wheel_keeps_its_folders(index, folder):
    sources.fetch_package(crowns_folder(index, "crowns"), folder, quiet)
    found = content(folder)
    assert {name: found[name] for name in ("data/a.png", "data/a.xml")} == {
        "data/a.png": b"image",
        "data/a.xml": b"<annotation/>",
    }
    assert not any("dist-info" in name for name in found)


def test_a_wheel_of_other_bytes_than_expected(index, folder):
    with pytest.raises(MiradaError, match=r"^crowns-1.0-py3-none-any.whl has sha256 [0-9a-f]{64}, expected 00: "):
        sources.fetch_package(crowns_folder(index, sha256="00"), folder, quiet)
    assert content(folder) == {}


def test_a_folder_that_is_not_in_the_wheel(index, folder):
    with pytest.raises(MiradaError, match=r"holds nothing below crown/: correct data.source.prefix"):
        sources.fetch_package(crowns_folder(index, "crown"), folder, quiet)


def test_a_package_needs_members_or_a_digest_and_a_folder():
    with pytest.raises(MiradaError, match=r"members, or sha256 and prefix"):
        SourceConfig(kind="package", package="crowns", version="1.0", sha256="00")
