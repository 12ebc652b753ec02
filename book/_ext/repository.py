"""Buttons that lead to the repository (its page, its issues, the source of a page): as soon as there is one.

`repository.url` in _config.yml says where it is; as long as that is empty there is no button, and no dead address.
"""

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError

BUTTONS = ("use_repository_button", "use_issues_button", "use_edit_page_button")
EDIT = {"github": "edit", "gitlab": "-/edit"}  # below a repository's address, what leads to a file's editor
# executed chapters are not committed; their texts are
SOURCE = "{{ file_name | replace('book/chapters/', 'notebooks/') | replace('.ipynb', '.md') }}"


def choose_buttons(app: Sphinx, config: Config) -> None:
    options = config.html_theme_options
    address = (options.get("repository_url") or "").rstrip("/").removesuffix(".git")
    options |= {"repository_url": address} | dict.fromkeys(BUTTONS, bool(address))
    if address:
        host = provider(address)
        branch = options.get("repository_branch") or "main"
        template = f"{address}/{EDIT[host]}/{branch}/{SOURCE}"
        config.html_context |= {"edit_page_url_template": template, "edit_page_provider_name": host}


def provider(address: str) -> str:
    """Return where the repository is hosted."""
    found = next((host for host in EDIT if host in address.lower()), None)
    if found is None or not address.startswith("https://"):
        raise ConfigError(
            f"repository.url in _config.yml is {address!r}; expected an address on GitHub or GitLab, such as "
            "https://github.com/NAME/gecalign. Mend it, or leave it empty for a site without buttons."
        )
    return found


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", choose_buttons)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
