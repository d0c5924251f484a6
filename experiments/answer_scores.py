"""How near answers are to those that people gave: exact match and F1 as SQuAD counts them.

The formulas are those of SQuAD's evaluation (Rajpurkar et al. 2016, arXiv:1606.05250, section 6.1), and a test holds
them to torchmetrics.text.SQuAD. That library takes seconds to import, longer than a small model trains.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLE = re.compile(r"\b(a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def answer_scores(found: Sequence[str], right: Sequence[Sequence[str]]) -> dict[str, float]:
    """``exact_match`` and ``f1`` of answers, each from 0 to 100: the mean over questions, of the nearest right answer.

    A question without a right answer is answered rightly by "", as in version 2 of SQuAD.
    """
    wanted = [answers or ("",) for answers in right]
    asked = list(zip(found, wanted, strict=True))
    exact = sum(normalised(answer) in map(normalised, answers) for answer, answers in asked)
    shared = sum(max(_f1(answer, each) for each in answers) for answer, answers in asked)
    return {"exact_match": 100 * exact / len(asked), "f1": 100 * shared / len(asked)}


def normalised(text: str) -> str:
    """Lower case, without punctuation, articles and surplus white space."""
    return " ".join(_ARTICLE.sub(" ", text.lower().translate(_WITHOUT_PUNCTUATION)).split())


def _f1(answer: str, right: str) -> float:
    """Twice the words that both have over the words of both; where one has none, whether neither does."""
    words, wanted = normalised(answer).split(), normalised(right).split()
    if not words or not wanted:
        return float(words == wanted)
    return 2 * sum((Counter(words) & Counter(wanted)).values()) / (len(words) + len(wanted))
