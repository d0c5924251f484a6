"""The cheap reference: TF-IDF with logistic regression, on the same texts as the Transformer."""

from __future__ import annotations

import json

import joblib
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits

from experiments.data.corpus import LabelledTexts
from experiments.data.text_preparation import clean, load_corpus
from tracker.training.run import Run
