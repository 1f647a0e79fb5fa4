"""Runs every command of README.md, CONTRIBUTING.md and docs/, as a reader would, page by page.

    python -m scripts.run_docs --folder=/tmp/reader
    python -m scripts.run_docs --folder=/tmp/reader --torch_python=.venv-detect/bin/python

They run in a fresh clone of the last commit, with a home of their own, and in an environment that
has what this Python has. A command is changed only by the rules of scripts/run_docs_rules.py: data
sets become sample images, trainings one short epoch. What was run is recorded in the folder, so
that the same command continues; what was "not here" is tried again, so a second run by the Python
of another environment fills gaps. --page=serving runs one page, --again the recorded ones too.
"""

import argparse
import collections
import importlib.util
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import site
import subprocess
import sys
import time
import venv
import zlib
from typing import NamedTuple, Optional

from scripts import doc_commands, run_docs_rules

RAN, CHANGED, NOT_HERE, FAILED = "ran", "ran with replacement", "not here", "FAILED"
_SECONDS = 900  # at most, for one command
_LAST_LINES = 15
# RESULTS.md's are long measurements; it says how long.
PAGES = [page for page in doc_commands.PAGES if page.name != "RESULTS.md"]


class Outcome(NamedTuple):
    """What became of a command; `state` is one of the four words above."""

    state: str
    why: str = ""


class Reader:
    """Somebody with a folder, a fresh clone and an environment, who types what the pages say."""

    def __init__(self, folder: pathlib.Path, torch_python: Optional[str], include: str):
        self.folder, self.clone = folder, folder / "clone"
        self.env = folder / f"env-{zlib.crc32(sys.prefix.encode()):08x}"  # one for each Python
        self.torch_python = torch_python and os.path.abspath(torch_python)
        self.include = include
        self.services: list[subprocess.Popen] = []
        self.environment = {
            **{k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "TF_CONFIG")},
            "HOME": str(folder / "home"),
            "PATH": f"{self.env / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }

    def prepare(self) -> None:
        """Makes clone, home and environment, as far as they are missing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.clone.exists():
            command = ["git", "clone", "--quiet", doc_commands.ROOT, self.clone]
        else:
            command = ["git", "-C", self.clone, "pull", "--quiet"]
        subprocess.run(command, check=True)
        self._make_environment()
        if not (self.folder / "home").exists():
            code = "import sys, scripts.run_docs_images as i; i.write(*sys.argv[1:])"
            command = [sys.executable, "-c", code, self.folder / "home", self.clone]
            subprocess.run(command, check=True, cwd=doc_commands.ROOT)

    def _make_environment(self) -> None:
        """An environment that has what this Python has, in which `pip install` changes nothing."""
        if (self.env / "ready").exists():
            return
        venv.create(self.env, with_pip=True, clear=True)
        (packages,) = self.env.glob("lib/python*/site-packages")
        (packages / "reader.pth").write_text("\n".join(site.getsitepackages()) + "\n")
        for name in ("tensorboard", "ruff"):  # programs of packages that are seen through that file
            program = pathlib.Path(sys.executable).parent / name
            if program.exists():
                (self.env / "bin" / name).symlink_to(program)
        (self.env / "ready").touch()  # for make, too
        if not (self.clone / ".venv").exists():
            (self.clone / ".venv").symlink_to(self.env)

    def type(self, page: str, command: str) -> Outcome:
        """Runs one command of a page."""
        if why := self._why_not(command):
            return Outcome(NOT_HERE, why)
        for supply in run_docs_rules.SUPPLIES:
            if re.search(supply.path, command) and not self._is_there(supply.path):
                outcome = self._run(page, supply.command)
                if outcome.state == FAILED:
                    return Outcome(FAILED, f"{supply.command}: {outcome.why}")
                print(f"    made: {supply.path.replace(chr(92), '')} ({supply.why})", flush=True)
        return self._run(page, command)

    def _why_not(self, command: str) -> str:
        if self.include and re.search(self.include, command):
            return ""
        for pattern, why in run_docs_rules.NOT_HERE:
            if re.search(pattern, command):
                return why
        for pattern, needed, remedy in run_docs_rules.NEEDS:
            if re.search(pattern, command) and not self._has(needed):
                return f"needs {needed}: {remedy}"
        return ""

    def _has(self, needed: str) -> bool:
        if needed == "--torch_python":
            return bool(self.torch_python)
        return bool(importlib.util.find_spec(needed) or shutil.which(needed))

    def _is_there(self, pattern: str) -> bool:
        return any(self.clone.glob(pattern.replace("\\", "") + "*"))

    def _run(self, page: str, command: str) -> Outcome:
        changed, why = self._changed(page, command)
        log = (
            self.folder / "logs" / f"{page}-{len(list(self.folder.glob(f'logs/{page}-*'))):03}.txt"
        )
        log.parent.mkdir(exist_ok=True)
        log.write_text(f"$ {changed}\n")
        service = next((s for s in run_docs_rules.SERVICES if re.search(s.pattern, changed)), None)
        reason = self._start(changed, log, service) if service else self._wait(changed, log)
        if reason:
            last = log.read_text().splitlines()[-_LAST_LINES:]
            return Outcome(FAILED, "\n".join([reason, *last]))
        return Outcome(CHANGED, f"{why}\n    as: {changed}") if why else Outcome(RAN)

    def _changed(self, page: str, command: str) -> tuple[str, str]:
        """The command as it is run here and now, and why it is not the page's own."""
        changed, rules = run_docs_rules.changed(command, self.torch_python or "")
        whys = [rule.why for rule in rules]
        for path in re.findall(r"(\S*?)(runs/[\w-]+/export)/STEP", changed):
            steps = [p.name for p in (self.clone / path[1]).glob("[0-9]*")]
            if steps:
                changed = changed.replace(f"{path[1]}/STEP", f"{path[1]}/{max(steps, key=int)}")
                whys.append("STEP is its newest export")
        own = re.search(r"(?:train|detect) .*--workdir=(\S+)", changed)
        if own and page != "README" and (free := self._free(own[1])) != own[1]:
            changed = changed.replace(f"--workdir={own[1]}", f"--workdir={free}")
            whys.append("a folder of its own, because the page before has used that name")
        return changed, "; ".join(dict.fromkeys(whys))

    def _free(self, workdir: str) -> str:
        """A name like this one that no run has."""
        names = itertools.chain([workdir], (f"{workdir}-{n}" for n in itertools.count(2)))
        return next(name for name in names if not (self.clone / name / "run.json").exists())

    def _spawn(self, command: str, log: pathlib.Path) -> subprocess.Popen:
        with log.open("a") as file:
            return subprocess.Popen(
                ["bash", "-c", command], cwd=self.clone, env=self.environment, stdout=file,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def _wait(self, command: str, log: pathlib.Path) -> str:
        process = self._spawn(f"set -o pipefail; {command}", log)
        try:
            code = process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            _stop(process)
            return f"not done after {_SECONDS} s"
        return f"exit code {code}" if code else ""

    def _start(self, command: str, log: pathlib.Path, service) -> str:
        """Starts what does not end and waits for its sign of life; returns why there is none."""
        process, ends = self._spawn(command, log), time.monotonic() + _SECONDS / 4
        while time.monotonic() < ends:
            has_ended = process.poll() is not None
            if re.search(service.sign, log.read_text().partition("\n")[2]):
                if service.stays:
                    self.services.append(process)
                else:
                    _stop(process)
                return ""
            if has_ended:
                return f"exit code {process.returncode} before a sign of life"
            time.sleep(0.5)
        _stop(process)
        return f"no sign of life ({service.sign}) in time"

    def turn_page(self) -> None:
        """Stops the services that the page has started."""
        for process in self.services:
            _stop(process)
        self.services = []


def _stop(process: subprocess.Popen) -> None:
    """Ends a process and those that it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(15)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def main() -> None:
    """Runs the pages; exit code 1 if a command failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--torch_python", help="a Python that has torch, torchvision, pycocotools")
    parser.add_argument("--page", default="", help="only these, such as README,serving")
    parser.add_argument("--include", default="", help="run what matches, whatever NOT_HERE says")
    parser.add_argument("--again", action="store_true", help="run what is recorded as done, too")
    given = parser.parse_args()
    reader = Reader(given.folder.resolve(), given.torch_python, given.include)
    reader.prepare()
    record = reader.folder / "done.jsonl"
    done = {} if given.again or not record.exists() else _read(record)
    counts = collections.Counter()
    for page in _chosen(given.page):
        for command in doc_commands.shell_commands(page):
            counts[_one(reader, page.stem, command, done, record)] += 1
        reader.turn_page()
    print(", ".join(f"{count} {state}" for state, count in counts.items()))
    sys.exit(1 if counts[FAILED] else 0)


def _chosen(names: str) -> list[pathlib.Path]:
    """The pages of these names in their order; without names, all."""
    by_name = {page.stem: page for page in reversed(PAGES)}  # of two READMEs the first
    return [by_name[name] for name in names.split(",")] if names else PAGES


def _read(record: pathlib.Path) -> dict:
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    return {line["command"]: line["state"] for line in lines}


def _one(reader: Reader, page: str, command: str, done: dict, record: pathlib.Path) -> str:
    """Runs a command unless it is done, here or on another page; prints and returns its state."""
    if command in done:
        return done[command]
    begin = time.monotonic()
    outcome = reader.type(page, command)
    seconds = time.monotonic() - begin
    print(f"{outcome.state} [{page}, {seconds:.0f} s] {command}", flush=True)
    if outcome.why:
        print(f"    {outcome.why}", flush=True)
    stays = any(re.search(s.pattern, command) for s in run_docs_rules.SERVICES if s.stays)
    if outcome.state in (RAN, CHANGED) and not stays and "docker run" not in command:
        with record.open("a") as file:
            line = {"page": page, "command": command, "state": outcome.state}
            file.write(json.dumps({**line, "seconds": round(seconds)}) + "\n")
        done[command] = outcome.state
    return outcome.state


if __name__ == "__main__":
    main()
