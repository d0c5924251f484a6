"""From texts to what a base model reads: a template around each source, cut into tokens by its own tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from experiments.data.base_models import BaseModel, check_tokenizer
from experiments.data.token_arrays import digest
from experiments.data.tuning_batches import Examples
from tracker.errors import DataError

SOURCE = "{source}"
CHAT = "chat"
SIGNATURES_TEMPLATE = f'def {SOURCE}:\n    """'
PLAIN_TEMPLATE = f"{SOURCE}\n"
QUOTES = '"""'


@dataclass(frozen=True)
class Prompter:
    """Cuts prompts and answers into tokens; ``before`` and ``after`` are what stands around a source."""

    tokenizer: PreTrainedTokenizerBase
    before: Sequence[int]
    after: Sequence[int]
    source_length: int
    target_length: int

    def prompts(self, sources: Sequence[str]) -> list[list[int]]:
        """The prompt of each source, of which at most ``source_length`` tokens are read; the end where it is empty."""
        cut = self.cut(sources)
        return [[*self.before, *tokens[: self.source_length], *self.after] or [self.end] for tokens in cut]

    def answers(self, targets: Sequence[str]) -> list[list[int]]:
        """At most ``target_length`` tokens of each target, and the end where nothing is cut off."""
        return [[*tokens, self.end][: self.target_length] for tokens in self.cut(targets)]

    def examples(self, pairs: Sequence[tuple[str, Any]]) -> Examples:
        """Pairs of a source and a target."""
        sources, targets = zip(*pairs, strict=True)
        return Examples(self.prompts(sources), self.answers(targets), self.padding)

    def written(self, tokens: Sequence[int]) -> str:
        """The answer in what a model wrote: up to the end, the end of the line, or quotes that close a docstring."""
        ended = tokens[: tokens.index(self.end)] if self.end in tokens else tokens
        return self.text(ended).split(QUOTES)[0].strip().split("\n")[0].strip()

    def text(self, tokens: Sequence[int]) -> str:
        """The text of these tokens, without the end token's spelling."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))

    @property
    def longest(self) -> int:
        """The most tokens that a prompt and its answer can have."""
        return len(self.before) + self.source_length + len(self.after) + self.target_length

    @property
    def end(self) -> int:
        """The token that ends an answer."""
        return int(self.tokenizer.eos_token_id)

    @property
    def padding(self) -> int:
        """The token that fills up rows."""
        padding = self.tokenizer.pad_token_id
        return self.end if padding is None else int(padding)

    def cut(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text alone."""
        # What looks like a special token in a text is text.
        cut = self.tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True)
        found: list[list[int]] = cut["input_ids"]
        return found


def load_tokenizer(base: BaseModel) -> PreTrainedTokenizerBase:
    """The tokenizer in a base model's folder. Raises DataError where there is none, or it is another model's."""
    try:
        found = AutoTokenizer.from_pretrained(base.folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # noqa: BLE001 (of many kinds, by tokenizer)
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"base model '{base.name}': its tokenizer in {base.folder} cannot be read: {reason}") from None
    check_tokenizer(base, found.get_vocab())
    if found.eos_token_id is None:
        raise DataError(f"base model '{base.name}': its tokenizer names no eos_token, which ends an answer")
    tokenizer: PreTrainedTokenizerBase = found
    return tokenizer


def prompter(
    base: BaseModel, template: str, source_length: int, target_length: int, tokenizer: PreTrainedTokenizerBase
) -> Prompter:
    """What cuts prompts made with ``template``: a text with {source} in it, or "chat" for the model's own.

    Raises DataError where the template has no place for the source, the model has no chat template, or the longest
    example is longer than what the model can read.
    """
    if template == CHAT:
        if not tokenizer.chat_template:
            raise DataError(f"base model '{base.name}' has no chat template; allowed: a template with {SOURCE} in it")
        asked = [{"role": "user", "content": SOURCE}]
        template = str(tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True))
        first: list[int] = []  # its template has it
    else:
        first = _first_token(tokenizer)
    if template.count(SOURCE) != 1:
        raise DataError(f"template {template!r}: {SOURCE} must stand in it once, or it is {CHAT!r}")
    before, after = (tokenizer(part, add_special_tokens=False)["input_ids"] for part in template.split(SOURCE))
    made = Prompter(tokenizer, [*first, *before], after, source_length, target_length)
    most = base.configuration.get("max_position_embeddings") or base.configuration.get("n_positions")
    if isinstance(most, int) and made.longest > most:
        raise DataError(
            f"source_length = {source_length} and target_length = {target_length} make examples of up to"
            f" {made.longest} tokens; base model '{base.name}' reads {most}"
        )
    return made


def template_of(data: Mapping[str, Any]) -> str:
    """The template that a study's ``[data]`` table asks for."""
    signatures = str(data.get("source", "signatures")) == "signatures"
    return str(data.get("template", SIGNATURES_TEMPLATE if signatures else PLAIN_TEMPLATE))


def tokenizer_identity(tokenizer: PreTrainedTokenizerBase) -> str:
    """A short name that follows from a tokenizer's tokens."""
    return digest(tokenizer.get_vocab())


def _first_token(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The token that the tokenizer puts before every text, where it does."""
    begin = tokenizer.bos_token_id
    return [begin] if begin is not None and tokenizer("a")["input_ids"][:1] == [begin] else []
