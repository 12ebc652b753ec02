"""The book: how it is built, and what its chapters say and compute.

- `builder`: chapters and products in the order of their needs; `planning`, `chapters`, `execution`, `tasks`, `worker`,
  `site`: each step of it; `elsewhere`: the same on other machines, imitated
- `claims`: sentences that are checked
- `comparison`, `cases`, `pitfalls`, `published`: tables and figures of chapters 7, 8, 9 and "Bigger"
"""
