"""Where `tools.detect` starts the engine: `python detection/run.py JOB`, by PyTorch's Python.

JOB is JSON: where the package msbreg_tf is, and the values of all settings. Both packages are
imported from their folders, so that neither needs to be installed here, and nothing else that lies
beside them, such as TensorFlow's environment, is seen.
"""

import importlib.util
import json
import os
import sys

_NEEDED = ("absl", "numpy", "PIL", "pycocotools", "safetensors", "torch", "torchvision", "tqdm")


def _import_from(name: str, folder: str) -> None:
    """Makes `import name` mean this folder."""
    spec = importlib.util.spec_from_file_location(
        name, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def main(argument: str) -> None:
    """Runs a job; known errors end as one line with an exit code."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path.remove(here)  # Python puts it there, and run.py's siblings are no top-level modules
    if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
        sys.exit(
            f"error: {sys.executable} lacks {', '.join(missing)}: install "
            f"{os.path.join(here, 'requirements.txt')} there, or leave --python out after "
            "`make detect`."
        )
    job = json.loads(argument)
    _import_from("msbreg_tf", job["package"])
    _import_from("detection", here)

    from msbreg_tf.commands import cli, detect

    def start() -> None:
        from detection import engine

        engine.run(
            *(_settings(part, v) for part, v in zip(detect.COMMAND.settings, job["settings"]))
        )

    cli.guarded(start, cli.flag_names(detect.COMMAND))()


def _settings(part, values):
    return part(**{n: tuple(v) if isinstance(v, list) else v for n, v in values.items()})


if __name__ == "__main__":
    main(sys.argv[1])
