"""The page on trouble quotes the library's own messages."""

import ast
import re

from project import PROJECT

PAGE = PROJECT / "book" / "troubleshooting.md"


def strings() -> set[str]:
    """Every literal text in the library; those with values in them in parts, as an ellipsis cuts them on the page."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (PROJECT / "gecalign").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def quoted() -> list[str]:
    """What the page quotes, a line a message."""
    return re.findall(r"^> (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_every_quoted_message_is_one_that_the_library_gives():
    known = strings()
    fragments = [part.strip(" '") for message in quoted() for part in message.split("…")]
    wanted = [fragment for fragment in fragments if len(fragment) > 2]
    assert len(wanted) > 30
    assert not [fragment for fragment in wanted if not any(fragment in text for text in known)]


def test_every_setting_that_it_names_exists():
    from gecalign import config

    parts = "|".join(name for name in config.Profile.__dataclass_fields__ if name not in ("name", "about"))
    for page in ("troubleshooting.md", "hardware.md", "scale.md"):
        text = (PROJECT / "book" / page).read_text(encoding="utf-8")
        named = set(re.findall(rf"\b({parts})(?:\.|__)([a-z_]+)\b", text))
        assert named
        for part, setting in named:
            assert hasattr(getattr(config.SMOLLM_135M, part), setting), f"{page}: {part}.{setting}"
