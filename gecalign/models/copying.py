"""A constant against copying: at each step of greedy decoding it is taken off the source's next token.

Most words of a sentence need no correction, and a model that imitates a hasty annotator copies too much. How readily it
edits can be moved by one number, without any training. What a method gains over a model that is decoded so is more than
readiness to edit (chapter 7).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import LogitsProcessor

AHEAD = 3  # tokens of the source that may be skipped, where the model left some out or wrote others


class AgainstCopying(LogitsProcessor):
    """Takes a constant (nats) off the logit of the token that would copy on, for each row of a batch.

    A pointer into the source stands behind the last token that was copied. A written token that is found at the pointer
    or up to `AHEAD` tokens behind it moves it there; any other leaves it where it is. EOS is left alone.

    Args:
        sources: the tokens of each row's source, as a completion would have them.
        constant: 0 changes nothing; below 0 copying is encouraged.
        written_from: how many tokens of each row are prompt.
    """

    def __init__(self, sources: Sequence[Sequence[int]], constant: float, written_from: int):
        self.sources, self.constant, self.written_from = sources, constant, written_from
        self.pointers = [0] * len(sources)

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Return the logits of the next token, (rows, vocabulary), with the constant taken off where it applies."""
        if input_ids.shape[1] > self.written_from:
            for row, token in enumerate(input_ids[:, -1].tolist()):
                self._advance(row, token)
        copied = [(row, source[at]) for row, (source, at) in enumerate(zip(self.sources, self.pointers, strict=True))
                  if at < len(source)]  # fmt: skip
        if copied:
            rows, tokens = (torch.tensor(column, device=scores.device) for column in zip(*copied, strict=True))
            scores[rows, tokens] -= self.constant
        return scores

    def _advance(self, row: int, token: int) -> None:
        at = self.pointers[row]
        window = self.sources[row][at : at + AHEAD + 1]
        if token in window:
            self.pointers[row] = at + list(window).index(token) + 1
