"""A constant against copying: at each step of greedy decoding it is taken off the source's next token.

Most words of a sentence need no correction, and a model that imitates a hasty annotator copies too much. How readily it
edits can be moved by one number, without any training. What a method gains over a model that is decoded so is more than
readiness to edit (chapter 7).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

AHEAD = 3  # tokens of the source that may be skipped, where the model left some out or wrote others


class AgainstCopying:
    """Takes a constant (nats) off the logit of the token that would copy on, for each row of a batch.

    A pointer into the source stands behind the last token that was copied. A written token that is found at the pointer
    or up to `AHEAD` tokens behind it moves it there; any other leaves it where it is. EOS is left alone.

    Args:
        sources: the tokens of each text's source, as a completion would have them.
        constant: 0 changes nothing; below 0 copying is encouraged.
    """

    def __init__(self, sources: Sequence[Sequence[int]], constant: float):
        self.sources, self.constant = sources, constant
        self.pointers = [0] * len(sources)

    def __call__(self, texts: Sequence[int], written: Sequence[Sequence[int]], logits: torch.Tensor) -> torch.Tensor:
        """Return the logits of the next token, (rows, vocabulary), with the constant taken off where it applies.

        Args:
            texts: of each row, which text it is.
            written: of each row, the tokens that were written since the last call: one, or none yet.
        """
        for text, tokens in zip(texts, written, strict=True):
            for token in tokens:
                self._advance(text, token)
        copied = [(row, self.sources[text][self.pointers[text]]) for row, text in enumerate(texts)
                  if self.pointers[text] < len(self.sources[text])]  # fmt: skip
        if copied:
            rows, tokens = (torch.tensor(column, device=logits.device) for column in zip(*copied, strict=True))
            logits[rows, tokens] -= self.constant
        return logits

    def _advance(self, text: int, token: int) -> None:
        at = self.pointers[text]
        window = self.sources[text][at : at + AHEAD + 1]
        if token in window:
            self.pointers[text] = at + list(window).index(token) + 1
