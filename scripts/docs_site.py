"""Build hook of mkdocs.yml: pages that lie outside docs/, and links that hold in both places.

Every page has one home in the repository, where its links are relative to that home. On the site
the page may stand elsewhere, so its links are rewritten: to the page, if the site has it; to a
listing of the file, if it is a file of the repository. A link to nothing stays, and ends the build.
"""

import json
import os
import pathlib
import posixpath
import re
import sys

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).resolve().parents[1]
# Page of the site: its home in the repository.
HOMES = {
    "index.md": "README.md",
    "method.md": "METHOD.md",
    "results.md": "RESULTS.md",
    "contributing.md": "CONTRIBUTING.md",
    "changes.md": "CHANGELOG.md",
    "measurements.md": "benchmarks/RESULTS.md",
    "profile.md": "benchmarks/PROFILE.md",
}
NOTEBOOK = "notebooks/first_run.ipynb"
_FENCE = re.compile(r"^(```.*?^```)", re.M | re.S)
_LINK = re.compile(r'(?<=\]\()([^)#\s]+)|(?<=src=")([^"]+)')
_LANGUAGES = {".py": "python", ".cfg": "ini", ".md": "markdown", ".toml": "toml"}


def on_files(files, config):
    """Adds the pages whose home is not docs/, the list of names, and listings of linked files."""
    for page, home in HOMES.items():
        files.append(File.generated(config, page, content=(ROOT / home).read_text()))
    files.append(File.generated(config, "notebook.md", content=_notebook()))
    files.append(File.generated(config, "api.md", content=_names()))
    known = {file.src_uri for file in files}
    for page in [file for file in files if file.src_uri.endswith(".md")]:
        for target in _targets(page):
            listing = _site_path(target)
            if (ROOT / target).exists() and listing not in known:
                known.add(listing)
                content = _listing(ROOT / target, target)
                files.append(File.generated(config, listing, content=content))
    return files


def on_page_markdown(markdown, page, config, files):
    """Rewrites the links of a page for where it stands on the site."""
    here, folder = page.file.src_uri, posixpath.dirname(_home(page.file.src_uri))

    def moved(match):
        link = match[0]
        if re.match(r"\w+:", link):
            return link
        target = posixpath.normpath(posixpath.join(folder, link))
        if not (ROOT / target).exists():
            return link
        return posixpath.relpath(_site_path(target), posixpath.dirname(here) or ".")

    if here.startswith("source/"):
        return markdown
    parts = _FENCE.split(markdown)
    return "".join(
        part if part.startswith("```") else _LINK.sub(moved, _lists_apart(part)) for part in parts
    )


def _home(page: str) -> str:
    """The file of the repository that a page of the site is made of."""
    return HOMES.get(page, f"docs/{page}")


def _site_path(target: str) -> str:
    """Where the site shows a file or folder of the repository."""
    for page, home in HOMES.items():
        if target == home:
            return page
    if target == NOTEBOOK:
        return "notebook.md"
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    return f"source/{target}.md"


def _targets(file: File) -> set:
    """The files of the repository that a page links to, as far as they exist."""
    folder = posixpath.dirname(_home(file.src_uri))
    prose = _FENCE.sub("", file.content_string)
    links = ("".join(groups) for groups in _LINK.findall(prose))
    joined = {posixpath.normpath(posixpath.join(folder, link)) for link in links}
    return {target for target in joined if (ROOT / target).exists()}


def _listing(path: pathlib.Path, name: str) -> str:
    """A page that shows a file, or the files of a folder; the search leaves it out."""
    head = f"---\nsearch:\n  exclude: true\n---\n# {name}\n\n"
    if path.is_dir():
        files = sorted(each for each in path.iterdir() if each.suffix in _LANGUAGES)
        return head + "\n\n".join(_fenced(each, each.name) for each in files) + "\n"
    return head + _fenced(path) + "\n"


def _fenced(path: pathlib.Path, title: str = "") -> str:
    language = _LANGUAGES.get(path.suffix, "text")
    title = f' title="{title}"' if title else ""
    return f'````{language} linenums="1"{title}\n{path.read_text()}````'


def _notebook() -> str:
    """The notebook as a page: its text, and its code in fences."""
    cells = json.loads((ROOT / NOTEBOOK).read_text())["cells"]
    texts = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    return "\n\n".join(
        f"```python\n{text}\n```" if kind == "code" else text for kind, text in texts
    )


def _lists_apart(text: str) -> str:
    """Puts an empty line before a list that follows a line of text, which Markdown here needs."""
    return re.sub(r"^((?![-|#> ]).*\S)\n(?=- )", r"\1\n\n", text, flags=re.M)


def _names() -> str:
    """The page of the package's door: a heading for each comment in its list, then the names."""
    sys.path.insert(0, os.fspath(ROOT))
    import msbreg_tf  # without TensorFlow, which it imports at the first use of a name

    code = (ROOT / "msbreg_tf" / "__init__.py").read_text()
    rows = code.partition("_HOMES = {\n")[2].partition("\n}")[0].splitlines()
    lines = [
        "# Every name",
        "",
        "These are the names that a program may import from `msbreg_tf`; "
        "[an example](library.md) puts them together. Everything else may change.",
    ]
    for row in rows:
        if comment := re.match(r"\s*# (.*)\.$", row):
            lines += ["", f"## {comment[1]}"]
        elif name := re.match(r'\s*"(\w+)": "([\w.]+)"', row):
            lines += ["", f"::: msbreg_tf.{name[2]}.{name[1]}", *_options(name[1])]
    shown = sum(line.startswith(":::") for line in lines)
    assert shown == len(msbreg_tf.__all__), "scripts/docs_site.py reads the list of names wrongly"
    return "\n".join(lines) + "\n"


def _options(name: str) -> list:
    """Settings have a table of their own, so only what they are is said here."""
    if not name.endswith("Settings"):
        return []
    return ["    options:", "      show_signature: false", "      show_if_no_docstring: false"]
