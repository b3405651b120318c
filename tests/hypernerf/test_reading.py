"""The doors: what is no plain file of bounded size in its folder is refused by an error that names it, and never waited for."""

import os

import pytest

from hypernerf.config import load_yaml
from hypernerf.reading import inside, parse_json, parse_yaml, read_bytes, read_json, shown
from hypernerf.types import InputError


def _refused(tmp_path, message, read, *arguments):
    with pytest.raises(InputError, match=message) as caught:
        read(*arguments)
    assert str(tmp_path) in str(caught.value) and str(caught.value).isprintable() and len(str(caught.value)) < 1100


def test_only_regular_files_of_bounded_size_are_opened(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    _refused(tmp_path, "5 bytes, more than the 4", read_bytes, path, 4)
    _refused(tmp_path, "not a regular file", read_bytes, tmp_path, 9)
    _refused(tmp_path, "no such file", read_bytes, tmp_path / "none", 9)
    _refused(tmp_path, "cannot be read", read_bytes, path / "below", 9)
    os.mkfifo(tmp_path / "pipe")
    _refused(tmp_path, "not a regular file", read_bytes, tmp_path / "pipe", 9)  # who opened it would wait for a writer
    (tmp_path / "zeros").symlink_to("/dev/zero")
    _refused(tmp_path, "not a regular file", read_bytes, tmp_path / "zeros", 9)
    (tmp_path / "loop").symlink_to("loop")
    _refused(tmp_path, "cannot be read", read_bytes, tmp_path / "loop", 9)
    path.touch()
    os.truncate(path, 1 << 40)
    _refused(tmp_path, f"{1 << 40} bytes", read_bytes, path, 9)
    with pytest.raises(InputError, match="more bytes than the 0"):
        read_bytes("/proc/self/status", 9)


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/etc/passwd", "..", "away", "away/x", "\0", "x" * 300, "y/" * 3000, "\udcff/../../x"]
)
def test_nothing_outside_of_a_folder_is_named(tmp_path, name):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "x").write_text("secret")
    (folder / "away").symlink_to(tmp_path)
    _refused(tmp_path, "leaves the folder|cannot be the name", inside, folder, name)


def test_links_lead_out_only_where_that_is_asked_for(tmp_path):
    folder, other = tmp_path / "folder", tmp_path / "other"
    (folder / "below").mkdir(parents=True)
    other.mkdir()
    (other / "x").write_text("x")
    (folder / "away").symlink_to(other)
    (folder / "near").symlink_to("below")
    (tmp_path / "folder_2").mkdir()  # begins with the folder's name
    assert inside(folder, "a/../near/y") == folder / "below" / "y" and inside(folder, folder / "z") == folder / "z"
    assert inside(folder, "away/x", follow_links=True).read_text() == "x"
    for name in ("../folder_2", "../other/x", other / "x"):
        _refused(tmp_path, "copy the file into it", lambda name=name: inside(folder, name, follow_links=True))


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 40 + "1" + "}" * 40, "9" * 5000, str(2**63), "[1e", '{"a": 1} x', "nul", "\ufeff", '"\\ud8'],
)
def test_absurd_json_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    _refused(tmp_path, r"a\.json: cannot be read as JSON", read_json, tmp_path / "a.json", 1 << 20)


def test_plain_json_is_read():
    assert parse_json('{"a": [1, -2.5, null, {"b": [true]}]}') == {"a": [1, -2.5, None, {"b": [True]}]}
    assert parse_json("[" * 30 + "]" * 30) and parse_json(str(2**63 - 1)) == 2**63 - 1


@pytest.mark.parametrize(
    "text",
    [
        "x: &a [*a]", "a: &a [1, 2]\nb: [*a, *a]", "x: !!python/object/apply:os.mkdir ['pwned']", "x: !!binary aGk=",
        "? [a]\n: b",         "x: " + "[" * 3000, "- " * 3000, "x: " + "{a: " * 3000, "x: " + "1:" * 300 + "1",
        "x: 2001-99-99", "x: 0x" + "f" * 5000,
        "\tx: 1", "%YAML 9.9\n---\nx: 1", "x: 1\n---\nx: 2",
    ],
)  # fmt: skip
def test_absurd_yaml_is_refused(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text(text)
    _refused(tmp_path, r"a\.yaml", load_yaml, tmp_path / "a.yaml")
    assert not (tmp_path / "pwned").exists()


def test_plain_yaml_is_read():
    assert parse_yaml("a: [1, 0.5, 1e-3, x y]\nb: {c: null}") == {"a": [1, 0.5, "1e-3", "x y"], "b": {"c": None}}


def test_messages_are_one_short_line_that_a_terminal_can_show():
    text = str(InputError("a\nb\x1b[2J\ud800" + "x" * 5000))
    assert text.startswith("a b\\x1b[2J\\ud800xxx") and text.isprintable() and len(text) < 1100
    assert len(shown("x" * 10**6)) < 200 and shown(10**5000) == "a huge number"
