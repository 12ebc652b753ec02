"""A study in pieces, on machines that are lent for minutes: packed here, run there, collected here.

- `packing`: everything that a run needs, in parts that are easy to carry
- `start`: what unpacks and starts it there; it knows nothing but Python
- `running`: as many systems and seeds as the time allows, each kept when it is finished

What comes home are pieces (`gecalign.study.pieces`); `gecalign portable collect` puts them together.
"""
