import shutil
import sys
import types

import pytest

from hypernerf.cli.hub import downloaded, push_to_hub
from hypernerf.cli.pretrained import model_folder
from hypernerf.types import InputError


class Hub(types.ModuleType):
    """What is used of huggingface_hub, with a folder for a server."""

    def __init__(self, server, cache):
        super().__init__("huggingface_hub")
        self.server, self.cache, self.online = server, cache, True

    def HfApi(self):  # noqa: N802
        return self

    def create_repo(self, repository, private, exist_ok):
        if not self.online:
            raise OSError("no network\nmore lines")
        (self.server / repository).mkdir(parents=True, exist_ok=exist_ok)

    def upload_folder(self, repo_id, folder_path, allow_patterns, delete_patterns):
        for old in (self.server / repo_id).glob(delete_patterns):
            old.unlink()
        for pattern in allow_patterns:
            for path in sorted(type(self.server)(folder_path).glob(pattern)):
                target = self.server / repo_id / path.relative_to(folder_path)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
        return f"https://hub/{repo_id}"

    def snapshot_download(self, repository, revision, allow_patterns):
        assert "config.yaml" in allow_patterns
        target = self.cache / f"{repository}-{revision}"
        if self.online and not target.exists():
            shutil.copytree(self.server / repository, target)
        if not target.exists():
            raise OSError("not in the cache")
        return str(target)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    hub = Hub(tmp_path / "server", tmp_path / "cache")
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    return hub


@pytest.fixture
def model(tmp_path):
    (tmp_path / "model" / "checkpoints").mkdir(parents=True)
    for name in ("config.yaml", "checkpoints/step_00000001.safetensors", "checkpoints/state_00000001.pt", "secret.txt"):
        (tmp_path / "model" / name).write_text(name)
    return tmp_path / "model"


def test_what_is_pushed_is_the_model_alone_and_comes_back_also_offline(hub, model):
    assert push_to_hub(model, "me/chairs") == "https://hub/me/chairs"
    folder = model_folder("hub:me/chairs@v1")
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert files == ["checkpoints/step_00000001.safetensors", "config.yaml"]
    (model / "checkpoints/step_00000001.safetensors").rename(model / "checkpoints/step_00000000.safetensors")
    push_to_hub(model, "me/chairs")
    assert [path.name for path in (hub.server / "me/chairs/checkpoints").iterdir()] == ["step_00000000.safetensors"]
    hub.online = False
    assert downloaded("me/chairs@v1") == folder
    with pytest.raises(InputError, match=r"hub:me/cars: cannot be fetched \(not in the cache\)"):
        model_folder("hub:me/cars")
    with pytest.raises(InputError, match=r"me/chairs: cannot be uploaded to \(no network\)"):
        push_to_hub(model, "me/chairs")


def test_a_local_folder_needs_no_hub(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert model_folder(model) == model
    with pytest.raises(InputError, match=r"hypernerf\[hub\]"):
        model_folder("hub:me/chairs")
    with pytest.raises(InputError, match="not a model"):
        push_to_hub(tmp_path / "none", "me/chairs")
