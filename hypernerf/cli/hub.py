"""Models on the Hugging Face hub: a repository is the folder that tools/export_model.py writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..types import InputError

PARTS = ["config.yaml", "checkpoints/step_*.safetensors", "README.md", "base.safetensors"]  # no state of a training, no samples


def downloaded(name: str) -> Path:
    """The local copy of OWNER/NAME or OWNER/NAME@REVISION, fetched unless it is there; offline, what is there already.

    Raises:
        InputError: huggingface_hub is not installed, or the model cannot be had.
    """
    repository, _, revision = name.partition("@")
    hub = _library()
    try:
        return Path(hub.snapshot_download(repository, revision=revision or None, allow_patterns=PARTS))
    except Exception as error:  # its own errors, its HTTP client's, the system's
        raise InputError(
            f"hub:{name}: cannot be fetched ({_reason(error)}): check its name, the network and your login"
        ) from None


def push_to_hub(folder: Path, repository: str, private: bool = False) -> str:
    """Uploads a folder of tools/export_model.py to OWNER/NAME, made if need be; the address of what was uploaded.

    Raises:
        InputError: huggingface_hub is not installed, no such folder, or the hub refuses.
    """
    if not (folder / "config.yaml").is_file():
        raise InputError(f"{folder}: not a model (no config.yaml): write one with tools/export_model.py")
    hub = _library()
    try:
        api = hub.HfApi()
        api.create_repo(repository, private=private, exist_ok=True)
        old = "checkpoints/*"  # an earlier upload's: the newest step would count
        return str(api.upload_folder(repo_id=repository, folder_path=str(folder), allow_patterns=PARTS, delete_patterns=old))
    except Exception as error:
        raise InputError(f"{repository}: cannot be uploaded to ({_reason(error)}): log in with `hf auth login`") from None


def _library() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise InputError("models on the hub need huggingface_hub: pip install 'hypernerf[hub]'") from None
    return huggingface_hub


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0] or type(error).__name__
