"""Nothing that comes from outside leads out of the server's folders."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image
from pydantic import BaseModel

from adkit.errors import AdkitError, DatasetError, FrameError, OptionError, RunError, StorageError
from adkit.registry import Registry
from adkit.runs.store import Run, open_run
from adkit.ui.safety import (
    confined_options,
    delete_folder,
    folder_of,
    inside,
    is_name,
    keep_upload,
    named_datasets,
    named_folder,
    require_image,
    two_lines,
)
from adkit.ui.settings import Limits, ServerSettings, is_loopback, require_token
from tests.greys import paint
from tests.videos import write_greys


@pytest.mark.parametrize("name", ["washers", "20261121-233012-ae-bottle", "a b", "é_1.2"])
def test_names(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "a/b", "a\\b", "../a", "a/../b", "/etc", "a\0b", "a\n", "C:", "x" * 81, "-rf"]
)
def test_what_is_no_name(name: str) -> None:
    assert not is_name(name)


@pytest.mark.parametrize("name", ["../outside", "/etc", ".", "..", "", "nothing", ".page-jobs", "a\0b", "x" * 5000])
def test_no_run_lies_elsewhere(settings: ServerSettings, run: Run, name: str) -> None:
    for kind in ("run", "comparison"):
        with pytest.raises(RunError, match=f"there is no {kind}"):
            folder_of(settings, kind, name)


def test_a_link_to_a_run_elsewhere_is_no_run(settings: ServerSettings, run: Run, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    run.folder.rename(elsewhere)
    (settings.runs_root / "linked").symlink_to(elsewhere)
    with pytest.raises(RunError):
        open_run(named_folder(settings, "linked"))
    with pytest.raises(RunError):
        delete_folder(folder_of(settings, "run", "linked"))
    assert (elsewhere / "run.json").exists()


@pytest.mark.parametrize("name", ["x" * 200, "v1..2", "a;b", "-rf"])
def test_a_run_that_is_listed_can_be_used(settings: ServerSettings, run: Run, name: str) -> None:
    run.folder.rename(settings.runs_root / name)
    assert folder_of(settings, "run", name).name == name


def test_the_newest_run_is_no_link_to_one_elsewhere(settings: ServerSettings, run: Run, tmp_path: Path) -> None:
    run.folder.rename(tmp_path / "elsewhere")
    (settings.runs_root / "linked").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="there is no run 'linked'"):
        named_folder(settings, "latest")


def test_a_deleted_run_is_gone_as_a_whole(settings: ServerSettings, run: Run) -> None:
    assert open_run(named_folder(settings, "latest")).record.id == run.record.id
    delete_folder(folder_of(settings, "run", run.record.id))
    assert list(settings.runs_root.iterdir()) == []
    with pytest.raises(RunError, match="there is no run"):
        open_run(named_folder(settings, run.record.id))


@pytest.mark.parametrize(
    "selection",
    ["/etc", "../outside", "a/../../outside", "~/x", "~root", "..\\outside", "C:\\x", "\\\\host\\x", "a\0b"],
)
def test_a_spec_cannot_leave_the_data_root(settings: ServerSettings, registry: Registry, selection: str) -> None:
    with pytest.raises(DatasetError, match="leads out of the server's data folder"):
        named_datasets(settings, f"folder:{selection}", registry)


def test_a_link_out_of_the_data_root_is_refused(settings: ServerSettings, registry: Registry, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    paint(outside / "normal", [100.0] * 5)
    (settings.data_root / "linked").symlink_to(outside)
    with pytest.raises(DatasetError, match="lies outside the server's data folder"):
        named_datasets(settings, "folder:linked", registry)
    inner = settings.data_root / "parts" / "normal"
    paint(inner, [100.0] * 5)
    (inner / "one.png").symlink_to(outside / "normal" / "000.png")
    with pytest.raises(DatasetError, match=r"one\.png lies outside"):
        named_datasets(settings, "folder:parts", registry)
    (inner / "one.png").unlink()
    (dataset,) = named_datasets(settings, "folder:parts", registry)
    assert dataset.samples("train")


def test_a_folder_of_the_working_directory_is_outside(
    settings: ServerSettings, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(tmp_path / "here" / "normal", [100.0] * 5)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match="outside"):
        named_datasets(settings, "folder:here", registry)


def test_paths_among_the_options_are_confined(settings: ServerSettings) -> None:
    class Chosen(BaseModel):
        weights: Path | None = None
        folder: Path = Path()
        epochs: int = 1

    schema = Chosen.model_json_schema()
    known = settings.data_root / "net.pth"
    known.write_bytes(b"")
    assert confined_options(settings, schema, {"weights": "net.pth", "epochs": "3"}) == {
        "weights": str(known.resolve()),
        "epochs": "3",
    }
    assert confined_options(settings, schema, {"weights": "none"}) == {"weights": "none"}
    for name in ("weights", "folder"):
        for path in ("/etc/passwd", "../x", "a/../../x", "\0"):
            with pytest.raises(OptionError):
                confined_options(settings, schema, {name: path})


def test_a_circle_of_links_is_not_followed(settings: ServerSettings) -> None:
    circle = settings.data_root / "circle"
    circle.symlink_to(circle)
    with pytest.raises(OptionError):
        inside(settings.data_root, circle / "x")


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG's header with that size, and no pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"this is a text", "part.png is not an image"),
        (b"", "the file is empty"),
        (b"PK\x03\x04" + bytes(100), "part.png is not an image"),
        (png_that_claims(20_000, 15_000), "20000×15000 px is above the limit"),
        (png_that_claims(15_000, 9_000), "part.png has 135 megapixels; this server takes 100"),
        (png_that_claims(2**31 - 1, 2**31 - 1), "above the limit of 65,535 px for a side"),
    ],
)
def test_what_is_no_image_is_named_and_not_decoded(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "a91f" / "part.png"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(FrameError) as caught:
        require_image(path, "part.png", Limits())
    assert told in caught.value.message
    assert "a91f" not in caught.value.message
    assert ("shrink it" in caught.value.hint) == ("above" in told or "megapixels" in told)


def test_an_upload_becomes_a_dataset(settings: ServerSettings, registry: Registry, tmp_path: Path) -> None:
    files = paint(tmp_path / "sent", [100.0] * 12)
    spec, left_out = keep_upload(settings, "washers", files)
    assert left_out == []
    (dataset,) = named_datasets(settings, spec, registry)
    assert len(dataset.samples("train")) + len(dataset.samples("test")) == 12
    with pytest.raises(StorageError, match="already"):
        keep_upload(settings, "washers", files)


@pytest.mark.parametrize("name", ["", "../x", "/tmp/x", ".x", "a/b"])
def test_an_upload_has_a_name_of_its_own(settings: ServerSettings, tmp_path: Path, name: str) -> None:
    with pytest.raises(OptionError, match="no name"):
        keep_upload(settings, name, paint(tmp_path / "sent", [100.0]))


def test_a_bad_file_does_not_refuse_an_upload(settings: ServerSettings, registry: Registry, tmp_path: Path) -> None:
    files = paint(tmp_path / "sent", [100.0] * 12)
    bad, video = tmp_path / "sent" / "bad.png", write_greys(tmp_path / "line.mp4", [120] * 9)
    bad.write_text("no image")
    spec, left_out = keep_upload(settings, "washers", [bad, *files[:5], video, *files[5:]])
    assert left_out == ["bad.png is not an image", "line.mp4 is a video among others"]
    (dataset,) = named_datasets(settings, spec, registry)
    assert len(dataset.samples("train")) + len(dataset.samples("test")) == 12


def test_of_one_video_a_part_is_learned_from(settings: ServerSettings, registry: Registry, tmp_path: Path) -> None:
    videos = [write_greys(tmp_path / name, [120] * 40) for name in ("a.MP4", "b.mp4")]
    with pytest.raises(OptionError, match="2 videos came"):
        keep_upload(settings, "line", videos, "0:00-0:02")
    with pytest.raises(OptionError, match="not a span"):
        keep_upload(settings, "line", videos[:1], "2")
    spec, _ = keep_upload(settings, "line", videos[:1], "0:00-0:01, 0:02-0:03")
    assert spec == "span:uploads/line/train/line.mp4@0:00.0-0:01.0,0:02.0-0:03.0"
    (dataset,) = named_datasets(settings, spec, registry)
    assert [sample.frame.number for sample in dataset.samples("train")] == [*range(10), *range(20, 30)]


def test_of_a_bad_upload_nothing_is_kept(settings: ServerSettings, tmp_path: Path) -> None:
    files = paint(tmp_path / "sent", [100.0] * 3)
    (tmp_path / "sent" / "bad.png").write_text("no image")
    with pytest.raises(FrameError, match=r"bad\.png is not an image"):
        keep_upload(settings, "washers", [tmp_path / "sent" / "bad.png"] * 2)
    with pytest.raises(DatasetError, match="20 are the most"):
        keep_upload(settings, "washers", files * 7)
    with pytest.raises(DatasetError, match="no image was uploaded"):
        keep_upload(settings, "washers", [])
    assert not settings.uploads.exists()


def test_uploads_that_lead_elsewhere_are_refused(settings: ServerSettings, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    settings.uploads.symlink_to(tmp_path / "outside")
    with pytest.raises(AdkitError):
        keep_upload(settings, "washers", paint(tmp_path / "sent", [100.0]))
    assert list((tmp_path / "outside").iterdir()) == []


def test_faults_do_not_tell_this_machines_paths(settings: ServerSettings) -> None:
    error = RunError(f"{settings.runs_root.resolve()}/x is damaged", hint=f"see {settings.data_root.resolve()}")
    assert two_lines(error, settings) == ("runs/x is damaged", "see data")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_needs_no_token(host: str) -> None:
    assert is_loopback(host)
    require_token(host, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "factory.example", ""])
def test_other_addresses_need_a_token(host: str) -> None:
    with pytest.raises(OptionError, match="no token is set"):
        require_token(host, None)
    with pytest.raises(OptionError, match="8 or more"):
        require_token(host, "short")
    require_token(host, "long enough")


def test_a_large_image_is_measured_without_being_read(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("L", (11_000, 10_000)).save(buffer, "PNG")
    (tmp_path / "x.png").write_bytes(buffer.getvalue())
    with pytest.raises(FrameError, match="110 megapixels"):
        require_image(tmp_path / "x.png", "x.png", Limits())
