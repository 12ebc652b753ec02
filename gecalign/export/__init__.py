"""A trained system as a standard folder with a model card, which anybody can load: `export.export`, `export.load`.

- `folder`: written, checked, loaded, pushed to the hub
- `model_card`: what the card says (`model_card.md.jinja`)
- `licences`: what a base asks of whoever passes on what was made from it
"""

from gecalign.export.folder import Exported, check, export, load, push, warnings

__all__ = ["Exported", "check", "export", "load", "push", "warnings"]
