"""What the site has beside docs/: the repository's own pages, and a page of API reference for each room of the code.

Links are written so that they work in the repository. A page from outside of docs/ has another place on the site, and
links from it and to it are led there; one that leads to nothing on the site is a warning, which `--strict` makes an
error. The reference is made from docstrings, which are read and never imported.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
STYLE = "site.css"
PLACES = {  # in the repository -> on the site
    ".github/SECURITY.md": "security.md",
    "README.md": "index.md",
    "docs/README.md": "documentation.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "tokenizers/README.md": "specifications.md",
}
LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
FENCED = re.compile(r"^( *)(```|~~~).*?^\1\2[ ]*$", re.MULTILINE | re.DOTALL)

log = get_plugin_logger("site")


def rooms() -> list[str]:
    """The packages of the code, from the top: `pipeline`, `pipeline.base` ..."""
    inits = sorted(file for top in ("pipeline", "trainer") for file in (ROOT / top).rglob("__init__.py"))
    return [".".join(file.parent.relative_to(ROOT).parts) for file in inits]


def api_uri(room: str) -> str:
    """Where the reference of a room is on the site."""
    return f"api/{room}.md"


def api_page(room: str) -> str:
    """The reference of a room: what it is, then every module in it. It comes after the guides in a search."""
    files = ROOT.joinpath(*room.split(".")).glob("*.py")
    modules = sorted(f"{room}.{file.stem}" for file in files if not file.stem.startswith("__"))
    head = f"---\nsearch: {{boost: 0.001}}\n---\n\n::: {room}\n    options: {{heading_level: 1, members: false}}\n"
    return "\n\n".join([head, *(f"::: {module}" for module in modules)]) + "\n"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the reference at the end of the navigation."""
    tops: dict[str, list[dict[str, str]]] = {}
    for room in rooms():
        top, _, name = room.partition(".")
        tops.setdefault(top, []).append({name or top: api_uri(room)})
    config.nav = [*(config.nav or []), {"API": [{top: pages} for top, pages in tops.items()]}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that do not lie in docs/; its own README makes room for the repository's, which comes first."""
    if moved := files.get_file_from_path("README.md"):
        files.remove(moved)
    for place, uri in PLACES.items():
        files.append(File.generated(config, uri, content=(ROOT / place).read_text(encoding="utf-8")))
    files.append(File.generated(config, STYLE, content=(HERE / STYLE).read_text(encoding="utf-8")))
    for room in rooms():
        files.append(File.generated(config, api_uri(room), content=api_page(room)))
    return files


def place_of(uri: str) -> str:
    """Where a page of the site lies in the repository."""
    return next((place for place, on_site in PLACES.items() if on_site == uri), f"docs/{uri}")


def led(uri: str, target: str, files: Files) -> str:
    """A link of the page `uri` as it is on the site; unchanged where it leads to nothing there."""
    if ":" in target or target.startswith("/"):
        return target
    place = posixpath.normpath(posixpath.join(posixpath.dirname(place_of(uri)), target))
    on_site = PLACES.get(place, place.removeprefix("docs/"))
    if files.get_file_from_path(on_site) is None:
        log.warning("%s links to %s, which is not on the site", place_of(uri), target)
        return target
    return posixpath.relpath(on_site, posixpath.dirname(uri) or ".")


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead every link of a page to its place on the site, but for what stands in a block of code."""
    uri = page.file.src_uri

    def lead(match: re.Match[str]) -> str:
        return match[1] + led(uri, match[2], files) + (match[3] or "") + match[4]

    parts, end = [], 0
    for block in FENCED.finditer(markdown):
        parts += [LINK.sub(lead, markdown[end : block.start()]), block[0]]
        end = block.end()
    return "".join([*parts, LINK.sub(lead, markdown[end:])])
