"""The cheap reference: TF-IDF with logistic regression, on the same texts as the Transformer."""

from __future__ import annotations

import joblib
import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from threadpoolctl import threadpool_limits

from experiments.data.corpus import Corpus
from experiments.data.text_preparation import clean, load_corpus
from tracker.training.run import Run

INVERSE_REGULARISATION = 10.0
MAX_ITERATIONS = 300
TOLERANCE = 1e-3


def train(run: Run) -> None:
    """Fit once and report one checkpoint. Reads the settings of the data alone, and ``threads``."""
    corpus = _corpus(run)
    run.ready()
    with threadpool_limits(int(run.settings["threads"])):
        vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2, dtype=np.float32)
        features = vectorizer.fit_transform(corpus.splits["train"].texts)
        model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=MAX_ITERATIONS, tol=TOLERANCE)
        model.fit(features, corpus.splits["train"].labels)
