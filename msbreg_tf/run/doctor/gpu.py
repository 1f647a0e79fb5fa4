"""Which GPUs TensorFlow sees, and why it sees none."""

import ctypes
import glob
import os
import re
import shutil
import sysconfig
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional

from msbreg_tf.run.doctor.finding import ATTENTION, OK, Finding, Subject

_DRIVER_FILE = "/proc/driver/nvidia/version"
_OF_DRIVER = "libcuda.so.1"
_FIRST_DRIVER = 525  # the oldest that runs programs of CUDA 12
_INSTALL = "Install them: pip install '.[gpu]' (docs/gpu.md)."


class Card(NamedTuple):
    """A GPU: its name and compute capability, (8, 6) for 8.6; None if it is not known."""

    name: str
    capability: Optional[tuple[int, int]]


class Facts(NamedTuple):
    """What decides whether TensorFlow sees a GPU.

    Attributes:
      cards: the GPUs that it sees.
      build: of this TensorFlow, as `tf.sysconfig.get_build_info` says.
      driver: version of NVIDIA's driver; "of unknown version"; None without one.
      visible: CUDA_VISIBLE_DEVICES; None if it is not set.
      missing: libraries that this build needs and the loader doesn't find.
      in_wheels: those of them that lie in site-packages/nvidia.
      has_libdevice: whether XLA finds what it compiles for GPUs with.
    """

    cards: Sequence[Card]
    build: Mapping[str, Any]
    driver: Optional[str]
    visible: Optional[str]
    missing: Sequence[str]
    in_wheels: Sequence[str]
    has_libdevice: bool


def devices(_: Subject) -> Finding:
    """What TensorFlow sees; without a GPU, why."""
    return explain(gather())


def gather() -> Facts:
    """Looks at this machine."""
    import tensorflow as tf

    build = dict(tf.sysconfig.get_build_info())
    missing = [name for name in needed_libraries(build) if not can_load(name)]
    in_wheels = {os.path.basename(path) for path in _in_wheels("*/lib/*.so*")}
    cards = []
    for gpu in tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(gpu)
        name = details.get("device_name", gpu.name)
        cards.append(Card(name, details.get("compute_capability")))
    return Facts(
        cards=cards,
        build=build,
        driver=driver_version(),
        visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
        missing=missing,
        in_wheels=[name for name in missing if name in in_wheels],
        has_libdevice=bool(_in_wheels("cuda_nvcc/nvvm/libdevice/libdevice*.bc"))
        or bool(glob.glob("/usr/local/cuda*/nvvm/libdevice/libdevice*.bc")),
    )


def explain(facts: Facts) -> Finding:
    """The finding that these facts are."""
    if facts.cards:
        return _about_cards(facts)
    found = "TensorFlow sees the CPU and no GPU: "
    if reasons := _reasons(facts):
        found += "; ".join(reason for reason, _ in reasons) + "."
        remedy = " ".join(dict.fromkeys(remedy for _, remedy in reasons))
        state = OK if facts.driver is None and facts.visible is None else ATTENTION
        return Finding("devices", state, found, remedy)
    found += f"driver ({facts.driver}) and libraries are there, and it does not say why."
    remedy = (
        "Read its own messages: TF_CPP_MIN_LOG_LEVEL=0 python -c "
        "'import tensorflow as tf; tf.config.list_physical_devices()'."
    )
    return Finding("devices", ATTENTION, found, remedy)


def _reasons(facts: Facts) -> list[tuple[str, str]]:
    """Every reason for which a GPU is not seen, with its remedy, the first to mend first."""
    reasons = []
    if facts.visible is not None and facts.visible.strip() in ("", "-1"):
        reasons.append(
            (f"CUDA_VISIBLE_DEVICES={facts.visible!r} hides all", "Unset CUDA_VISIBLE_DEVICES.")
        )
    if facts.driver is None:
        reason = f"there is no NVIDIA driver (no {_DRIVER_FILE}, no nvidia-smi, no libcuda.so.1)"
        remedy = (
            "If there is a card, install its driver, and start a container with --gpus=all; "
            "without a card, train on the CPU."
        )
        return [*reasons, (reason, remedy)]
    if (major := re.match(r"\d+", facts.driver)) and int(major[0]) < _FIRST_DRIVER:
        reason = f"the driver, {facts.driver}, is older than CUDA 12 needs"
        reasons.append((reason, f"Install driver {_FIRST_DRIVER} or newer."))
    if not facts.build.get("is_cuda_build"):
        return [*reasons, ("this TensorFlow was built without CUDA", _INSTALL)]
    return [*reasons, *_about_libraries(facts)]


def _about_libraries(facts: Facts) -> list[tuple[str, str]]:
    """The reasons that are libraries which the loader doesn't find, by whom they come."""
    reasons = []
    if _OF_DRIVER in facts.missing:
        remedy = (
            "It comes with the driver and not by pip: install the driver's compute part "
            "(libcuda1, libnvidia-compute); start a container with --gpus=all and "
            "NVIDIA_DRIVER_CAPABILITIES=compute,utility."
        )
        reasons.append((f"the driver's own library, {_OF_DRIVER}, is not found", remedy))
    absent = [n for n in facts.missing if n not in facts.in_wheels and n != _OF_DRIVER]
    if absent:
        reasons.append((f"libraries that it needs are missing: {', '.join(absent)}", _INSTALL))
    if facts.in_wheels:
        remedy = (
            'Start with LD_LIBRARY_PATH=$(python -c \'import glob, sysconfig; print(":".join('
            'glob.glob(sysconfig.get_paths()["purelib"] + "/nvidia/*/lib")))\').'
        )
        names = ", ".join(facts.in_wheels)
        reasons.append((f"libraries in site-packages/nvidia may not be found: {names}", remedy))
    return reasons


def _about_cards(facts: Facts) -> Finding:
    """What can be expected of the cards that are seen."""
    built = facts.build.get("cuda_compute_capabilities", ())
    names = ", ".join(card.name for card in facts.cards)
    found = f"TensorFlow sees {len(facts.cards)} GPU{'s' * (len(facts.cards) > 1)}: {names}."
    notes = dict.fromkeys(coverage(card, built) for card in facts.cards)
    remedies = []
    if not facts.has_libdevice:
        notes["XLA, which makes the colours of the views, may not find its libdevice."] = None
        remedies.append("If a step says so, pip install nvidia-cuda-nvcc-cu12.")
    notes.pop("", None)
    state = ATTENTION if notes else OK
    return Finding("devices", state, " ".join([found, *notes]), " ".join(remedies))


def coverage(card: Card, built: Sequence[str]) -> str:
    """Whether this TensorFlow has code for a card, in a sentence; nothing if all is well.

    Code for sm_XY runs on all X.Z with Z ≥ Y; compute_XY is such code, and PTX besides, which the
    driver compiles for any later card.

    Args:
      card: the GPU.
      built: what the build lists: "sm_75", "compute_80".
    """
    if card.capability is None or not built:
        return ""
    major, minor = card.capability
    numbers = [int(re.sub(r"\D", "", name)) for name in built]
    if any(number // 10 == major and number % 10 <= minor for number in numbers):
        return ""
    what = f"{card.name} has compute capability {major}.{minor}"
    ptx = [number for name, number in zip(built, numbers) if name.startswith("compute")]
    if 10 * major + minor < min(ptx, default=1000):
        return f"{what}, for which this TensorFlow has no code: it will not be used."
    text = f"{what}, newer than this TensorFlow was built for"
    if major >= 12:  # RTX 50xx: tensorflow/tensorflow issues 99592 and 101746
        return (
            f"{text}: others reported that 2.15 to 2.21 fail on such cards, with "
            "CUDA_ERROR_INVALID_PTX, and that NVIDIA's own TensorFlow container works."
        )
    return f"{text}: the driver compiles every operation at its first use, minutes at first start."


def needed_libraries(build: Mapping[str, Any]) -> list[str]:
    """The libraries that TensorFlow opens before it takes a GPU, by name.

    Args:
      build: as in `Facts`.
    """
    cuda, cudnn = (str(build.get(name, "")) for name in ("cuda_version", "cudnn_version"))
    if not build.get("is_cuda_build") or not cuda.startswith("12"):
        return []
    return [
        *(_OF_DRIVER, "libcudart.so.12", "libcublas.so.12", "libcublasLt.so.12"),
        *("libcufft.so.11", "libcusolver.so.11", "libcusparse.so.12"),
        f"libcudnn.so.{cudnn.split('.')[0]}",
    ]


def can_load(name: str) -> bool:
    """Whether the loader finds a library."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def driver_version() -> Optional[str]:
    """The version of NVIDIA's driver, as `Facts` has it."""
    try:
        with open(_DRIVER_FILE) as file:
            match = re.search(r"Kernel Module\D*(\d+[.\d]*)", file.read())
        return match[1] if match else "of unknown version"
    except OSError:  # not Linux, none, or WSL
        is_there = shutil.which("nvidia-smi") or can_load(_OF_DRIVER)
        return "of unknown version" if is_there else None


def _in_wheels(pattern: str) -> list[str]:
    """Files of NVIDIA's Python packages."""
    return glob.glob(os.path.join(sysconfig.get_paths()["purelib"], "nvidia", pattern))
