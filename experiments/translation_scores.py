"""How near translations are to what people wrote, by sacrebleu.

Imported where a translator is evaluated (see experiments.lazy).
"""

from __future__ import annotations

from collections.abc import Sequence

from sacrebleu.metrics import BLEU, CHRF


def text_scores(texts: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """``chrf`` and ``bleu`` of all texts together, each from 0 to 100.

    chrF2 (Popović 2015, doi:10.18653/v1/W15-3049) counts pieces of one to six characters; BLEU (Papineni et al. 2002,
    doi:10.3115/1073083.1073135) runs of one to four words, cut as Post 2018 (arXiv:1804.08771) has it ("13a").
    """
    wrapped = [list(references)]
    # "force" keeps it from warning of texts that look tokenised: ends of sentences may stand apart in the data.
    return {
        "chrf": CHRF().corpus_score(list(texts), wrapped).score,
        "bleu": BLEU(force=True).corpus_score(list(texts), wrapped).score,
    }
