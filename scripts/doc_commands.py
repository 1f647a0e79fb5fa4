"""The pages that people read, and the shell commands that they show."""

import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[1]
# In the order of reading.
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]
PAGES += [ROOT / "METHOD.md", ROOT / "RESULTS.md", ROOT / "tools" / "serve" / "README.md"]


def blocks(page: pathlib.Path, *languages: str) -> list[str]:
    """The fenced blocks of a page in these languages."""
    text = page.read_text()
    return re.findall(rf"^```(?:{'|'.join(languages)})\n(.*?)^```", text, re.M | re.S)


def shell_commands(page: pathlib.Path) -> list[str]:
    """The commands of a page's shell blocks, continued lines joined, in order.

    A command is as many lines as the shell needs for one, such as a loop; a batch script, which its
    scheduler reads as a whole, is one command.
    """
    found = []
    for block in blocks(page, "sh", "bash"):
        block = block.replace("\\\n", " ")
        found += [block.strip()] if "#SBATCH" in block else _split(block)
    return found


def _split(block: str) -> list[str]:
    found, lines = [], []
    for line in block.splitlines():
        lines.append(line)
        if _is_complete("\n".join(lines)):
            found.append("\n".join(lines).strip())
            lines = []
    assert not lines, f"no shell can read this: {lines}"
    return [command for command in found if command and not command.startswith("#")]


def _is_complete(text: str) -> bool:
    # A line by itself is complete unless it opens something; only then the shell is asked.
    if not re.search(r"['\"`(|{]|\b(for|while|if|case)\b|&&$", text):
        return True
    return (
        subprocess.run(["sh", "-n", "-c", text], capture_output=True, check=False).returncode == 0
    )
