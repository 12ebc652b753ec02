"""GRPO's group sizes under three designs that hold something else equal (chapter 6).

With c samples a prompt, a larger group costs more samples or sees fewer prompts: something has to give. The
designs differ in what.

- "equal steps", the published one: as many updates of as many samples each, and a generation always has the
  same number of prompts. So a larger group's generation lasts several updates: fewer prompts are seen, and the
  later updates learn from samples of a policy that has moved on.
- "equal samples": as many updates of as many samples, all of them fresh; a larger group sees fewer prompts.
- "equal prompts": as many updates of as many prompts, all samples fresh; a larger group costs more samples.
"""

from __future__ import annotations

from gecalign import config

GROUP_SIZES = (4, 8, 16)
DESIGNS = ("equal steps", "equal samples", "equal prompts")


def variant(profile: config.Profile, design: str, group_size: int) -> config.Profile:
    """Return the profile with GRPO at this group size under this design.

    The profile's own batch is what all sizes have under the first two designs, and the largest size under the third.

    Raises:
        ValueError: an unknown design, or an update that would hold no whole group.
    """
    if design not in DESIGNS:
        raise ValueError(f"unknown design {design!r}. Designs: {', '.join(DESIGNS)}.")
    batch, lasts = profile.grpo.batch_size, 1
    if design == "equal steps":
        lasts = max(1, group_size // GROUP_SIZES[0])
    if design == "equal prompts":
        batch = batch * group_size // GROUP_SIZES[-1]
    if batch * lasts % group_size:
        raise ValueError(
            f"under the design {design!r} an update would have {batch} samples, which are no whole groups of "
            f"{group_size}. Set grpo__batch_size ({profile.grpo.batch_size}) to a multiple of {GROUP_SIZES[-1]}."
        )
    return profile.variant(grpo__group_size=group_size, grpo__batch_size=batch, grpo__updates_per_generation=lasts)


def of_size(profile: config.Profile, group_size: int) -> config.Profile:
    """Return the profile with GRPO at a group size and as many samples as ever, or, if they do not fit, updates."""
    return variant(profile, "equal samples" if "equal samples" in possible(profile) else "equal steps", group_size)


def possible(profile: config.Profile) -> list[str]:
    """Return the designs under which the profile's updates hold whole groups at every size."""
    whole = profile.grpo.batch_size % GROUP_SIZES[-1] == 0
    return list(DESIGNS) if whole else ["equal steps"]
