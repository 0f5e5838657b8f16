"""A folder, or a hub id -> the folder that holds its files, fetched through huggingface_hub's cache where needed.

Offline is huggingface_hub's own switch (HF_HUB_OFFLINE); progress bars are its own too.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from models.config import CheckpointError

# everything that loading may read, and nothing in another framework's format
_SMALL = ["config.json", "generation_config.json", "preprocessor_config.json", "tokenizer*.json", "*.jinja"]
_SINGLE = "model.safetensors"
_SHARDS = ["model.safetensors.index.json", "model-*-of-*.safetensors"]
_ID = re.compile(r"[\w.-]+/[\w.-]+")

Towers = Mapping[str, str | Path]


def locate(path_or_id: str | Path, towers: Towers) -> Path:
    """Find the folder of a checkpoint: `towers` first, then a folder of that name, then the hub.

    Raises CheckpointError when it is none of these or cannot be fetched.
    """
    name = str(path_or_id)
    if name in towers:
        folder = Path(towers[name])
        if not folder.is_dir():
            raise CheckpointError(f"{folder}, given for {name}, is not a folder")
        return folder
    if (folder := Path(path_or_id)).is_dir():
        return folder
    if not _ID.fullmatch(name) or name.startswith("."):
        raise CheckpointError(f"{name} is neither a folder nor a hub id (owner/name)")
    return _fetch(name)


def _fetch(repository: str) -> Path:
    """Bring a repository into the cache: the small files and the weights, shards only where there is no single file."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    way_out = f"give a folder for it with towers={{{repository!r}: folder}} (--tower {repository}=FOLDER)"
    try:
        folder = Path(snapshot_download(repository, allow_patterns=[*_SMALL, _SINGLE]))
        if not (folder / _SINGLE).is_file():
            folder = Path(snapshot_download(repository, allow_patterns=[*_SMALL, *_SHARDS]))
    except GatedRepoError as error:
        message = f"{repository} is gated: accept its terms at huggingface.co and log in (hf auth login), or {way_out}"
        raise CheckpointError(message) from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(f"there is no repository {repository} on the hub, or it is private; {way_out}") from error
    except LocalEntryNotFoundError as error:
        reason = str(error).partition("\n")[0]
        message = f"{repository} is not in the local cache, and the hub gave nothing ({reason}); {way_out}"
        raise CheckpointError(message) from error
    except OSError as error:
        raise CheckpointError(f"{repository} could not be fetched from the hub: {error}") from error
    return folder
