"""Data sets that the user names, read by Hugging Face datasets: from the Hub, or from a local folder of files.

Imported only where a study asks for such a source (see experiments.lazy); nothing is downloaded otherwise. What is
downloaded is data, never code: datasets runs no scripts of the Hub.
"""

from __future__ import annotations

import hashlib
import socket
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import datasets
import huggingface_hub
import pyarrow as pa  # type: ignore[import-untyped]
from datasets.data_files import DataFilesDict, get_data_patterns
from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES
from datasets.packaged_modules.csv.csv import CsvConfig
from datasets.packaged_modules.json.json import JsonConfig
from datasets.table import embed_table_storage
from huggingface_hub.utils import disable_progress_bars

from experiments.data.corpus import SPLITS, split_for_share, stable_hash
from experiments.data.table_file import READERS
from tracker.errors import DataError

T = TypeVar("T")

PREFIX = "datasets:"
"""What a source that is read here begins with: "datasets:NAME" or "datasets:NAME:CONFIG"."""

SPLIT_NAMES = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}
"""What data sets call their splits; the first name that there is counts."""

ROWS_AT_ONCE = 1000
LONGEST_REASON = 300
PACKED = frozenset({".gz", ".bz2", ".xz", ".zip", ".zst", ".lz4"})
UNREMARKABLE = ("name", "version", "data_dir", "data_files", "description", "sep")
"""What a configuration may say of a data set without saying how its files are to be read."""

LOCAL = f"a local folder of csv, json, parquet or image files needs no network: source = '{PREFIX}FOLDER'"


def hub_splits(name: str, cache: Path) -> dict[str, datasets.Dataset]:
    """The splits train, validation and test of ``name``: "datasets:NAME" or "datasets:NAME:CONFIG".

    NAME is a data set of the Hugging Face Hub or a local folder that ``datasets.load_dataset`` reads. A missing
    validation or test split is cut from train, 15 % of it each, by a stable hash of the row's index; other splits are
    left out. Rows stand as their source has them, which is often class by class, and may repeat. Downloads go below
    ``cache``, and a data set that is there already needs no network.

    Raises DataError where there is no network, no such data set or configuration, no training split, or the files
    cannot be read.
    """
    place, configuration = _parts(name)
    found = named_splits(name, _load(name, place, configuration, cache))
    train = found["train"]
    found |= {split: train.select(rows) for split, rows in cut_rows(len(train), found).items()}
    return {split: found[split] for split in SPLITS}


def named_splits(name: str, loaded: Mapping[str, T]) -> dict[str, T]:
    """Those of SPLITS that a source has, under the names that it uses. Raises DataError where no training split is."""
    found = {split: loaded[name] for split, names in SPLIT_NAMES.items() for name in reversed(names) if name in loaded}
    if "train" not in found:
        raise DataError(f"data source '{name}' has no training split; it has: {', '.join(loaded)}; 'train' is needed")
    return found


def cut_rows(count: int, found: Mapping[str, Any]) -> dict[str, list[int]]:
    """Which of the ``count`` training rows make each split that was not found, and which are left to train on."""
    missing = set(SPLITS) - found.keys()
    rows: dict[str, list[int]] = {split: [] for split in SPLITS if split in missing or split == "train"}
    for index in range(count) if missing else ():
        split = split_for_share(stable_hash(str(index)) / 2**64)
        rows[split if split in missing else "train"].append(index)
    return rows if missing else {}


def text_files(name: str, cache: Path) -> dict[str, list[Path]] | None:
    """The files of ``name`` by split, as datasets finds them, where it is a local folder of files that READERS read.

    None where it is no folder, holds files of other kinds, or its README says how they are to be read. Raises DataError
    for files that are compressed.
    """
    place, configuration = _parts(name)
    if not Path(place).is_absolute():
        return None
    with _quietly_below(cache, offline=False):
        try:
            config = datasets.load_dataset_builder(place, configuration, cache_dir=str(cache / "datasets")).config
            usual = type(config)(**{each: getattr(config, each) for each in UNREMARKABLE})
            known, found = isinstance(config, CsvConfig | JsonConfig) and config == usual, config.data_files
        except Exception:  # noqa: BLE001 (of many kinds; what is no folder of texts fails once more in _load)
            # It takes no endings in capitals, nor of several kinds.
            known, found = configuration is None, _files_by_name(place)
    paths = {str(split): [Path(each) for each in files] for split, files in (found or {}).items()}
    if not known or not paths:
        return None
    every = [path for files in paths.values() for path in files]
    if packed := next((path for path in every if PACKED & {each.lower() for each in path.suffixes}), None):
        raise DataError(
            f"data source '{name}': '{packed.name}' is compressed; unpack it, texts are read from plain files"
        )
    return paths if all(path.suffix.lower() in READERS for path in every) else None


def _files_by_name(folder: str) -> Mapping[Any, list[str]]:
    found: Mapping[Any, list[str]] = {}
    with suppress(OSError, ValueError):
        found = DataFilesDict.from_patterns(get_data_patterns(folder), base_path=folder)
    return found


def hub_fingerprint(splits: Mapping[str, datasets.Dataset]) -> str:
    """16 hexadecimal digits that follow from the columns and rows of every split, files that they name included.

    The same for equal content wherever it lies. It reads everything once.
    """
    digest = hashlib.sha256()
    for split, rows in sorted(splits.items()):
        digest.update(f"{split}: {len(rows)} rows of {rows.features}\n".encode())
        for table in rows.with_format("arrow").iter(ROWS_AT_ONCE):
            buffer = pa.BufferOutputStream()
            whole = embed_table_storage(table).replace_schema_metadata().combine_chunks()
            with pa.ipc.new_stream(buffer, whole.schema) as stream:
                stream.write_table(whole)
            digest.update(buffer.getvalue())
    return digest.hexdigest()[:16]


def _parts(name: str) -> tuple[str, str | None]:
    """The place and the configuration, if one is named. Folders may have colons in their names."""
    whole = name.removeprefix(PREFIX)
    place, _, configuration = whole.partition(":")
    if Path(whole).expanduser().is_dir():
        place, configuration = whole, ""
    if not place:
        raise DataError(f"data source '{name}' names no data set; allowed: '{PREFIX}NAME' or '{PREFIX}NAME:CONFIG'")
    folder = Path(place).expanduser()
    if folder.is_dir():
        return str(folder.resolve()), configuration or None
    if folder.is_file():
        raise DataError(f"data source '{name}' is a file; allowed after '{PREFIX}': a folder, or a data set of the Hub")
    if place in _PACKAGED_DATASETS_MODULES:  # it would read every such file below the current folder
        raise DataError(f"data source '{name}' is a kind of file; {LOCAL}")
    if place.startswith((".", "~")) or folder.is_absolute() or place.count("/") > 1:
        raise DataError(f"data folder '{place}' was not found (looked for {folder.resolve()})")
    return place, configuration or None


def _load(name: str, place: str, configuration: str | None, cache: Path) -> datasets.DatasetDict:
    local = Path(place).is_absolute()
    reachable = local or _hub_is_reachable()
    with _quietly_below(cache, offline=not reachable):
        try:
            return datasets.load_dataset(place, configuration, cache_dir=str(cache / "datasets"))
        except Exception as error:
            if not reachable:
                reason = f"it is not in {cache}, and no network reaches {datasets.config.HF_ENDPOINT}"
            else:
                reason = " ".join(str(error.__cause__ or error).split())[:LONGEST_REASON].rstrip(".")
            hint = "" if local else f"; {LOCAL}"
            raise DataError(f"data source '{name}' cannot be loaded: {reason}{hint}") from error


def _hub_is_reachable() -> bool:
    """Whether it makes sense to try: the libraries would else wait for half a minute before they give up."""
    if urllib.request.getproxies():
        return True  # the proxy looks the name up
    try:
        socket.getaddrinfo(urlsplit(datasets.config.HF_ENDPOINT).hostname, None)
    except OSError:
        return False
    return True


@contextmanager
def _quietly_below(cache: Path, *, offline: bool) -> Iterator[None]:
    """Downloads go below ``cache``, report themselves to nobody, and show no progress.

    The libraries read their environment variables once, when they are imported, which may be long before.
    """
    datasets.disable_progress_bars()
    disable_progress_bars()
    loggers = (datasets.logging, huggingface_hub.utils.logging)
    levels = [logger.get_verbosity() for logger in loggers]
    with ExitStack() as stack:
        for logger, level in zip(loggers, levels, strict=True):
            logger.set_verbosity(logger.CRITICAL)
            stack.callback(logger.set_verbosity, level)
        hub: dict[str, Any] = {
            "HF_HUB_CACHE": str(cache / "hub"),
            "HF_HUB_DISABLE_TELEMETRY": True,
            "HF_HUB_DISABLE_XET": True,  # it keeps a cache and a log of its own, in the user's home
        }
        reader: dict[str, Any] = {
            "DOWNLOADED_DATASETS_PATH": cache / "datasets" / "downloads",
            "HF_UPDATE_DOWNLOAD_COUNTS": False,
        }
        if offline:
            hub["HF_HUB_OFFLINE"] = reader["HF_HUB_OFFLINE"] = True
        for module, values in ((huggingface_hub.constants, hub), (datasets.config, reader)):
            for variable, value in values.items():
                stack.callback(setattr, module, variable, getattr(module, variable))
                setattr(module, variable, value)
        yield
