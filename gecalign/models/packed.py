"""A batch without its padding, in which a beginning that several rows share is computed once.

Rows of a batch differ in length, and the padding that makes them equal costs what tokens cost; the samples of a group,
or the two answers of a preference pair, repeat their prompt row by row. Here rows are laid behind one another instead,
each behind the beginning that it shares, and a mask lets a token see its own row only: all values and gradients stay
what they are, but for rounding (bench/side_by_side.py tells what is saved).

    rows of a batch                         packed
    The  cat  sat        (loss on sat)      The  cat  sat  slept  on        positions 0 1 2 2 3
    The  cat  slept on   (on slept, on)     `slept` sees The, cat and itself, not sat
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

import torch
from transformers import PreTrainedModel

LENGTH = 512  # tokens of a piece: above it attention, which is quadratic, begins to count
# What attends with any mask, takes positions, and mixes tokens in no other way: tried, and the same values.
TYPES = ("llama", "mistral", "qwen2", "qwen3", "gpt2", "gpt_neox", "opt")
ATTENTION = 12  # a token costs so many times the width of the model, and as much again for each so many that it sees


@dataclass(frozen=True, slots=True)
class Packed:
    """A batch, packed.

    Attributes:
        inputs: what the model takes: `input_ids` and `position_ids`, (R, L), `attention_mask`, (R, 1, L, L), true
            where a token is seen.
        predictors: for each position of the batch's `labels[:, 1:]` that counts, row by row, where in (R * L) the
            token before it lies, whose hidden state predicts it.
    """

    inputs: dict[str, torch.Tensor]
    predictors: torch.Tensor


class _Row(NamedTuple):
    """What of a row is needed: tokens, up to the last that predicts one, and which tokens are predicted."""

    tokens: tuple[int, ...]
    predicted: list[int]

    @property
    def shared(self) -> tuple[int, ...]:
        """Its beginning, of which nothing is predicted."""
        return self.tokens[: self.predicted[0]]

    @property
    def rest(self) -> tuple[int, ...]:
        """What follows."""
        return self.tokens[self.predicted[0] :]


class _Piece(NamedTuple):
    """A beginning and what follows it in several rows, each text once."""

    shared: tuple[int, ...]
    rests: list[tuple[int, ...]]

    @property
    def length(self) -> int:
        return len(self.shared) + sum(map(len, self.rests))


def possible(model: PreTrainedModel) -> bool:
    """Return whether a model can be given packed rows, and computes them in the same way.

    Dropout would be the same for all rows of a piece, and is slow with a mask.
    """
    settings = model.config
    if settings.model_type not in TYPES or settings._attn_implementation != "sdpa":
        return False
    if getattr(settings, "sliding_window", None) and getattr(settings, "use_sliding_window", True):
        return False
    return not (model.training and _drops(model))


def _drops(model: PreTrainedModel) -> bool:
    rates = (getattr(model.config, name, 0) for name in ("attention_dropout", "attn_pdrop"))
    return any(rates) or any(isinstance(one, torch.nn.Dropout) and one.p > 0 for one in model.modules())


def pack(input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor, width: int = 0) -> Packed | None:
    """Pack a batch, padded on either side; tokens that no loss needs are left out.

    Args:
        input_ids, attention_mask, labels: (B, T); labels are -100 where no loss is computed.
        width: of the model, from which it follows how long rows may become; 0: one row is made.

    Returns:
        None where nothing is predicted, or something from padding, or nothing would be saved.
    """
    batch = zip(input_ids.tolist(), attention_mask.tolist(), labels.tolist(), strict=True)
    rows = [_needed(*row) for row in batch]
    predicted = sum(len(row.predicted) for row in rows)
    if not predicted or predicted != (labels[:, 1:] != -100).sum() or any(0 in row.predicted for row in rows):
        return None
    pieces = _pieces([row for row in rows if row.predicted])
    lines = _spread(pieces, width)
    if width and _cost(lines, width) >= len(rows) * _cost_of(input_ids.shape[1], width):
        return None
    return _lay_out([row for row in rows if row.predicted], lines, input_ids.device)


def _needed(ids: list[int], attended: list[int], labels: list[int]) -> _Row:
    there = [at for at, seen in enumerate(attended) if seen]
    predicted = [number for number, at in enumerate(there) if at and labels[at] != -100]
    return _Row(tuple(ids[at] for at in there[: predicted[-1]]) if predicted else (), predicted)


def _spread(pieces: list[_Piece], width: int) -> list[list[_Piece]]:
    """Lay pieces behind one another, in as many lines as cost least."""
    pieces = sorted(pieces, key=lambda piece: -piece.length)
    found = [pieces]
    for count in range(2, len(pieces) + 1 if width else 0):
        lines: list[list[_Piece]] = [[] for _ in range(count)]
        lengths = [0] * count
        for piece in pieces:
            shortest = lengths.index(min(lengths))
            lines[shortest].append(piece)
            lengths[shortest] += piece.length
        found = min(found, lines, key=lambda some: _cost(some, width))
    return found


def _cost(lines: list[list[_Piece]], width: int) -> float:
    return len(lines) * _cost_of(max(sum(piece.length for piece in line) for line in lines), width)


def _cost_of(length: int, width: int) -> float:
    return length * (ATTENTION * width + length)


def _lay_out(rows: list[_Row], pieces: list[list[_Piece]], device: torch.device) -> Packed:
    lines: list[list[tuple[int, int, int, int]]] = [[] for _ in pieces]  # of tokens: id, piece, turn in it, position
    places: dict[tuple, tuple[int, int, int]] = {}  # of a beginning and a rest: line, where either lies there
    for at, line in enumerate(lines):
        for number, (shared, rests) in enumerate(pieces[at]):
            beginning = _add(line, shared, number, 0, 0)
            for turn, rest in enumerate(rests, start=1):
                places[shared, rest] = at, beginning, _add(line, rest, number, turn, len(shared))
    length = max(map(len, lines))
    padded = [line + [(0, -1, 0, 0)] * (length - len(line)) for line in lines]
    ids, piece, turn, positions = torch.tensor(padded, device=device).unbind(-1)  # each (R, L)
    same = (piece[:, :, None] == piece[:, None]) & ((turn[:, :, None] == turn[:, None]) | (turn[:, None] == 0))
    mask = same.tril()[:, None]  # (R, 1, L, L): a token by what it sees
    predictors = []
    for row in rows:
        at, beginning, rest_at = places[row.shared, row.rest]
        border = len(row.shared)
        before = [token - 1 for token in row.predicted]
        places_there = [beginning + one if one < border else rest_at + one - border for one in before]
        predictors += [at * length + place for place in places_there]
    inputs = {"input_ids": ids, "position_ids": positions, "attention_mask": mask}
    return Packed(inputs, torch.tensor(predictors, device=device))


def _pieces(rows: list[_Row]) -> list[_Piece]:
    """Return beginnings with what follows them, none longer than `LENGTH` if rows allow it."""
    families: dict[tuple[int, ...], dict[tuple[int, ...], None]] = defaultdict(dict)
    for row in rows:
        families[row.shared][row.rest] = None
    pieces: list[_Piece] = []
    for shared, rests in families.items():
        pieces.append(_Piece(shared, []))
        for rest in rests:
            if pieces[-1].rests and pieces[-1].length + len(rest) > LENGTH:
                pieces.append(_Piece(shared, []))
            pieces[-1].rests.append(rest)
    return pieces


def _add(line: list, tokens: tuple[int, ...], piece: int, turn: int, position: int) -> int:
    """Lay tokens behind those of a line; return where they begin."""
    start = len(line)
    line += [(token, piece, turn, position + at) for at, token in enumerate(tokens)]
    return start
