"""Imports of what libraries log to MLflow by themselves: scikit-learn by autolog, Lightning, the Trainer."""

from __future__ import annotations

import os
import warnings
from unittest import mock

import mlflow
import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import MLFlowLogger
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from torch.utils.data import DataLoader, TensorDataset

from tests.support.command import tracker
from tests.support.mlflow_database import put_mlflow_database
from tracker.store.run_table import read_study_table


@pytest.fixture
def store(tmp_path, monkeypatch):
    uri = f"sqlite:///{put_mlflow_database(tmp_path / 'source')}"
    monkeypatch.chdir(tmp_path)
    with mock.patch.dict(os.environ):  # MLflow keeps its store and its experiment there too
        mlflow.set_tracking_uri(uri)
        yield uri
        mlflow.set_tracking_uri(None)


def imported(home, store, experiment, quality, *more, name=""):
    words = ("--quality", quality, "--sku", "aws/m5.large", "--name", name or experiment)
    with mock.patch.dict(os.environ):
        os.environ.pop("MLFLOW_TRACKING_URI", None)  # set by mlflow.set_tracking_uri: the home would be the source
        said = tracker("import", "mlflow", store, experiment, *words, *more, home=home)
    assert said.returncode == 0, said.stderr
    return read_study_table(f"sqlite:///{home / 'mlflow.db'}", name or experiment)


def test_scikit_learn_by_autolog(new_home, store):
    home = new_home()
    mlflow.set_experiment("sklearn")
    mlflow.sklearn.autolog(log_models=False, log_datasets=False, silent=True)
    try:
        features, labels = load_iris(return_X_y=True)
        LogisticRegression(C=0.5, max_iter=200).fit(features, labels)
        search = GridSearchCV(LogisticRegression(max_iter=200), {"C": [0.1, 1.0, 10.0]}, cv=2)
        search.fit(features, labels)
    finally:
        mlflow.sklearn.autolog(disable=True)
    alone = imported(home, store, "sklearn", "training_accuracy_score", "--direction", "maximize")
    assert len(alone.runs) >= 2 and (alone.checkpoints["price_usd"] > 0).all()
    assert 0.5 in list(alone.settings["C"])
    assert len(alone.checkpoints) == 2, "the search's own run logs the quality: its candidates are part of it"
    maximize = ("--direction", "maximize")
    candidates = imported(home, store, "sklearn", "mean_test_score", *maximize, name="candidates")
    reached = candidates.settings.iloc[candidates.checkpoints["run"].to_numpy()]
    assert sorted(reached["C"]) == [0.1, 1.0, 10.0]


class Line(LightningModule):
    def __init__(self, rate=0.1):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(1, 1)

    def _loss(self, batch):
        return torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1])

    def training_step(self, batch, number):
        loss = self._loss(batch)
        self.log("train_loss", loss, on_step=True)
        return loss

    def validation_step(self, batch, number):
        self.log("val_loss", self._loss(batch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.hparams.rate)


def test_lightning_with_its_logger(new_home, store, tmp_path):
    loader = DataLoader(TensorDataset(torch.arange(8.0)[:, None] / 8, torch.arange(8.0)[:, None] / 4), batch_size=4)
    logger = MLFlowLogger("lightning", run_name="line", tracking_uri=store)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(
            max_epochs=3, logger=logger, log_every_n_steps=1, accelerator="cpu", default_root_dir=tmp_path,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(Line(), loader, loader)
    table = imported(new_home(), store, "lightning", "val_loss")
    assert table.runs["label"].tolist() == ["line"] and table.quality.direction == "minimize"
    assert table.checkpoints["epoch"].tolist() == [1, 3, 5]
    assert np.isfinite(table.metrics["train_loss"]).any()
    assert table.settings["rate"].tolist() == [0.1]


def test_the_trainer_with_its_callback(new_home, store, tmp_path):
    transformers = pytest.importorskip("transformers")
    os.environ["MLFLOW_EXPERIMENT_NAME"] = "trainer"  # ``store`` puts the environment back
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
        max_position_embeddings=8,
    )  # fmt: skip
    rows = [{"input_ids": torch.tensor([at % 2 + 2] * 4), "labels": torch.tensor(at % 2)} for at in range(8)]
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path / "out"), num_train_epochs=2, per_device_train_batch_size=4, eval_strategy="epoch",
        save_strategy="no", report_to=["mlflow"], run_name="bert", use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    model = transformers.BertForSequenceClassification(config)
    transformers.Trainer(model, arguments, train_dataset=rows, eval_dataset=rows).train()
    mlflow.end_run()
    table = imported(new_home(), store, "trainer", "eval_loss")
    assert table.runs["label"].tolist() == ["bert"]
    assert table.checkpoints["epoch"].tolist() == [2, 4]
    assert (np.diff(table.checkpoints["price_usd"]) > 0).all()
