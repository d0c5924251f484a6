"""The cheap reference: TF-IDF with logistic regression, on the same texts as the Transformer.

Imported only where it is trained (see experiments.lazy).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from experiments.data.corpus import Corpus, LabelledTexts
from experiments.data.text_preparation import clean, load_corpus
from experiments.scores import probability_scores
from tracker.training.run import Run

INVERSE_REGULARISATION = 10.0  # the best of 3, 10 and 30 on the validation split of the docstrings
MAX_ITERATIONS = 300
TOLERANCE = 1e-3


def train(run: Run) -> None:
    """Fit once and report one checkpoint. Of the settings it reads those of the data, and ``threads``."""
    corpus = _cleaned(run)
    validation = corpus.splits["validation"].first(int(run.settings["validation_documents"]))
    run.ready()
    begin = time.perf_counter()
    with threadpool_limits(int(run.settings["threads"])):
        model = _fit(corpus.splits["train"], len(corpus.classes))
        seconds = time.perf_counter() - begin
        with run.evaluating():
            training_loss = model.scores(corpus.splits["train"])["validation_loss"]
            scores = model.scores(validation)
        run.report(1, training_loss=training_loss, **scores)
        with run.evaluating():
            begin = time.perf_counter()
            test_accuracy = model.scores(corpus.splits["test"])["accuracy"]
            test_seconds = time.perf_counter() - begin
    run.conclude(
        test_accuracy=test_accuracy,
        parameters=model.regression.coef_.size + model.regression.intercept_.size,
        samples_per_second=len(corpus.splits["train"]) / seconds,
        predictions_per_second=len(corpus.splits["test"]) / test_seconds,
    )


@dataclass(frozen=True, slots=True)
class _Model:
    vectorizer: TfidfVectorizer
    regression: LogisticRegression
    classes: int

    def scores(self, of: LabelledTexts) -> dict[str, float]:
        """What is reported of these texts; the loss as that of the validation."""
        probabilities = np.zeros((len(of), self.classes))
        probabilities[:, self.regression.classes_] = self.regression.predict_proba(self.vectorizer.transform(of.texts))
        return probability_scores(probabilities, np.asarray(of.labels))


def _fit(train_split: LabelledTexts, classes: int) -> _Model:
    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2, dtype=np.float32)
    features = vectorizer.fit_transform(train_split.texts)
    regression = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=MAX_ITERATIONS, tol=TOLERANCE)
    return _Model(vectorizer, regression.fit(features, train_split.labels), classes)


def _cleaned(run: Run) -> Corpus:
    corpus = load_corpus(run.data, run.cache, print).with_train_documents(int(run.settings["train_documents"]))
    return corpus.with_texts(lambda text: clean(text, run.settings))
