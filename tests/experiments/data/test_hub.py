from __future__ import annotations

import csv
import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import datasets
import huggingface_hub
import pytest

from experiments.data.hub import hub_fingerprint, hub_splits
from tracker.errors import DataError

COMMIT = "a" * 40


def rows_of(count, start=0):
    return [{"text": f"row {number}", "label": number % 2} for number in range(start, start + count)]


def write_folder(folder, **splits):
    """A folder with a csv file a split."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        with (folder / f"{split}.csv").open("w", newline="") as file:
            table = csv.DictWriter(file, ["text", "label"])
            table.writeheader()
            table.writerows(rows)
    return f"datasets:{folder}"


def texts(rows):
    return list(rows["text"])


def test_the_splits_of_a_local_folder_are_taken_as_they_are(tmp_path):
    source = write_folder(tmp_path / "data", train=rows_of(20), validation=rows_of(5, 100), test=rows_of(6, 200))
    splits = hub_splits(source, tmp_path / "cache")
    assert list(splits) == ["train", "validation", "test"]
    assert texts(splits["train"]) == [f"row {number}" for number in range(20)]
    assert texts(splits["validation"])[0] == "row 100" and len(splits["test"]) == 6


def test_a_missing_split_is_cut_from_the_training_rows_and_the_others_stay(tmp_path):
    source = write_folder(tmp_path / "data", train=rows_of(2000), test=rows_of(30, 5000))
    splits = hub_splits(source, tmp_path / "cache")
    assert len(splits["test"]) == 30
    assert len(splits["validation"]) == pytest.approx(300, abs=60), "15 % of the training rows"
    assert sorted(texts(splits["train"]) + texts(splits["validation"])) == sorted(f"row {n}" for n in range(2000))


def test_both_missing_splits_are_cut_from_the_training_rows_the_same_way_each_time(tmp_path):
    source = write_folder(tmp_path / "data", train=rows_of(2000))
    splits = hub_splits(source, tmp_path / "cache")
    shares = [len(splits[split]) / 2000 for split in ("train", "validation", "test")]
    assert shares == pytest.approx([0.70, 0.15, 0.15], abs=0.03)
    assert not set(texts(splits["validation"])) & set(texts(splits["test"]))
    again = hub_splits(source, tmp_path / "another cache")
    assert {split: texts(rows) for split, rows in again.items()} == {split: texts(of) for split, of in splits.items()}


def test_a_split_that_is_called_dev_is_the_validation(tmp_path):
    source = write_folder(tmp_path / "data", train=rows_of(100), dev=rows_of(7, 200), test=rows_of(8, 300))
    assert len(hub_splits(source, tmp_path / "cache")["validation"]) == 7


def test_the_fingerprint_follows_the_content_and_not_the_place(tmp_path):
    def fingerprint(folder, **splits):
        return hub_fingerprint(hub_splits(write_folder(tmp_path / folder, **splits), tmp_path / "cache"))

    first = fingerprint("one", train=rows_of(1500), test=rows_of(9))
    assert len(first) == 16
    assert fingerprint("two", train=rows_of(1500), test=rows_of(9)) == first
    assert fingerprint("three", train=[*rows_of(1499), {"text": "row 1499", "label": 0}], test=rows_of(9)) != first
    assert fingerprint("one", train=rows_of(1500), test=rows_of(8)) != first, "a changed file is read anew"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("datasets:", "names no data set; allowed: 'datasets:NAME' or 'datasets:NAME:CONFIG'"),
        ("datasets:./nowhere", "data folder './nowhere' was not found"),
        ("datasets:{folder}:other", "Available: .*default"),
        ("datasets:{folder}/train.csv", "is a file; allowed after 'datasets:': a folder, or a data set of the Hub"),
        ("datasets:csv", "is a kind of file; a local folder .* needs no network"),
    ],
)
def test_a_name_that_names_nothing_is_reported_in_a_sentence(tmp_path, name, message):
    write_folder(tmp_path / "data", train=rows_of(20))
    with pytest.raises(DataError, match=message) as problem:
        hub_splits(name.format(folder=tmp_path / "data"), tmp_path / "cache")
    assert len(str(problem.value).splitlines()) == 1


def test_a_folder_without_a_training_split_is_reported_with_the_splits_that_it_has(tmp_path):
    source = write_folder(tmp_path / "data", test=rows_of(20))
    with pytest.raises(DataError, match="has no training split; it has: test; 'train' is needed"):
        hub_splits(source, tmp_path / "cache")


def test_a_folder_without_data_and_one_with_a_broken_file_are_reported_with_the_reason(tmp_path, capfd):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="doesn't contain any data files"):
        hub_splits(f"datasets:{tmp_path / 'empty'}", tmp_path / "cache")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "train.jsonl").write_text("{{{")
    with pytest.raises(DataError, match="cannot be loaded: JSON parse error"):
        hub_splits(f"datasets:{tmp_path / 'broken'}", tmp_path / "cache")
    assert capfd.readouterr() == ("", "")


def test_without_a_network_the_way_to_local_files_is_reported_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", "https://nowhere.invalid")  # RFC 2606: never a host
    monkeypatch.setattr("urllib.request.getproxies", dict)
    with pytest.raises(DataError, match=r"no network reaches https://nowhere\.invalid; a local folder") as problem:
        hub_splits("datasets:imdb", tmp_path / "cache")
    assert len(str(problem.value).splitlines()) == 1
    assert not huggingface_hub.constants.HF_HUB_OFFLINE, "other users of the library are left alone"


@pytest.fixture
def hub(monkeypatch):
    """A Hub on this machine that has one data set, some/thing; gives the requests that it was asked."""
    lines = ["text,label", *(f"row {number},{number % 2}" for number in range(60))]
    files, asked = {"README.md": b"", "train.csv": "\n".join(lines).encode()}, []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            path = self.path.partition("?")[0]
            name = path.rpartition("/")[2]
            asked.append(path)
            if not path.startswith(("/datasets/some/thing/", "/api/datasets/some/thing/")):
                self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
            elif "/resolve/" in path and name in files:
                self.answer(200, files[name], {"ETag": f'"{name.encode().hex()}"', "X-Repo-Commit": COMMIT})
            elif "/tree/" in path:
                listed = [{"type": "file", "path": each, "size": len(of), "oid": COMMIT} for each, of in files.items()]
                self.answer(200, json.dumps(listed).encode(), {"Content-Type": "application/json"})
            elif "/revision/" in path:
                shown = {"id": "some/thing", "sha": COMMIT, "siblings": []}
                self.answer(200, json.dumps(shown).encode(), {"Content-Type": "application/json"})
            else:
                self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})

        def do_HEAD(self):
            self.do_GET()

        def answer(self, code, body, headers):
            self.send_response(code)
            for header, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(header, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield asked
        server.shutdown()


def test_a_data_set_that_the_hub_does_not_have_is_reported_in_a_sentence(tmp_path, hub):
    with pytest.raises(DataError, match=r"'nobody/nothing' doesn't exist on the Hub .* a local folder") as problem:
        hub_splits("datasets:nobody/nothing", tmp_path / "cache")
    assert len(str(problem.value).splitlines()) == 1


def test_a_data_set_of_the_hub_is_downloaded_below_the_cache_and_needs_no_network_then(
    tmp_path, hub, monkeypatch, capfd
):
    elsewhere = Path(huggingface_hub.constants.HF_HOME)
    before = sorted(elsewhere.rglob("*"))
    splits = hub_splits("datasets:some/thing", tmp_path / "cache")
    assert sum(len(rows) for rows in splits.values()) == 60
    assert list((tmp_path / "cache" / "hub").rglob("train.csv"))
    assert sorted(elsewhere.rglob("*")) == before, "nothing is left in the user's home"
    assert capfd.readouterr() == ("", ""), "no progress bars, no warnings"
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", "https://nowhere.invalid")
    asked = len(hub)
    again = hub_splits("datasets:some/thing", tmp_path / "cache")
    assert hub_fingerprint(again) == hub_fingerprint(splits)
    assert len(hub) == asked


def test_a_folder_is_read_without_a_word_and_without_a_request(tmp_path, hub):
    source = write_folder(tmp_path / "data", train=rows_of(50))
    code = f"from pathlib import Path; from experiments.data.hub import hub_splits; hub_splits({source!r}, Path('c'))"
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "HF_ENDPOINT": datasets.config.HF_ENDPOINT}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert not hub
