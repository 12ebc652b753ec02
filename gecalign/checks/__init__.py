"""What would make a long training worthless, looked for before it starts: `gecalign doctor`.

- `doctor`: which checks there are, and when each is made
- `machine`, `texts`, `training`: the checks themselves; `patient`: what they have in common
"""
