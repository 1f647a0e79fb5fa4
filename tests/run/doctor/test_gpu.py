"""Why TensorFlow sees no GPU, and what to expect of one that it sees."""

import pytest

from msbreg_tf.run.doctor import gpu
from msbreg_tf.run.doctor.finding import ATTENTION, OK

CLASSIC = {
    "is_cuda_build": True, "cuda_version": "12.2", "cudnn_version": "8",
    "cuda_compute_capabilities": ["sm_50", "sm_60", "sm_70", "sm_75", "compute_80"],
}  # fmt: skip
CURRENT = {
    "is_cuda_build": True, "cuda_version": "12.5.1", "cudnn_version": "9",
    "cuda_compute_capabilities": ["sm_60", "sm_70", "sm_80", "sm_89", "compute_90"],
}  # fmt: skip


def facts(**changes):
    """A machine with a driver, all libraries and a wheel with CUDA, which sees no card."""
    well = {
        "cards": (), "build": CLASSIC, "driver": "535.104.05", "visible": None, "missing": (),
        "in_wheels": (), "has_libdevice": True,
    }  # fmt: skip
    return gpu.Facts(**{**well, **changes})


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine whose driver and libraries the test decides: `machine(driver, *libraries)`."""

    def make(driver, *libraries):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        path = tmp_path / "version"
        if driver:
            path.write_text(
                f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {driver}  Sat Aug 19 2023\n"
            )
        monkeypatch.setattr(gpu, "_DRIVER_FILE", str(path))
        monkeypatch.setattr(gpu.shutil, "which", lambda name: None)
        monkeypatch.setattr(gpu, "can_load", lambda name: name in libraries)

    return make


def needed():
    import tensorflow as tf

    return gpu.needed_libraries(tf.sysconfig.get_build_info())


def test_the_libraries_that_each_tensorflow_opens():
    assert gpu.needed_libraries(CLASSIC) == [
        *("libcuda.so.1", "libcudart.so.12", "libcublas.so.12", "libcublasLt.so.12"),
        *("libcufft.so.11", "libcusolver.so.11", "libcusparse.so.12", "libcudnn.so.8"),
    ]
    assert gpu.needed_libraries(CURRENT)[-1] == "libcudnn.so.9"
    assert gpu.needed_libraries({"is_cuda_build": False}) == []


def test_a_library_that_is_missing_is_named_and_no_other(machine):
    *others, cudnn = needed()
    machine("535.104.05", *others)
    finding = gpu.devices(None)
    assert finding.state == ATTENTION
    assert finding.found.endswith(f": libraries that it needs are missing: {cudnn}.")
    assert "pip install '.[gpu]'" in finding.remedy


def test_the_drivers_own_library_does_not_come_by_pip(machine):
    driver, *others = needed()
    machine("535.104.05", *others)
    finding = gpu.devices(None)
    assert finding.found.endswith(f": the driver's own library, {driver}, is not found.")
    assert "--gpus=all" in finding.remedy
    assert "pip install" not in finding.remedy


def test_a_library_in_pythons_own_packages(machine, tmp_path, monkeypatch):
    *others, cudnn = needed()
    machine("535.104.05", *others)
    folder = tmp_path / "nvidia" / "cudnn" / "lib"
    folder.mkdir(parents=True)
    (folder / cudnn).write_text("")
    monkeypatch.setattr(gpu.sysconfig, "get_paths", lambda: {"purelib": str(tmp_path)})
    finding = gpu.devices(None)
    assert f"libraries in site-packages/nvidia may not be found: {cudnn}" in finding.found
    assert "are missing" not in finding.found
    assert "LD_LIBRARY_PATH" in finding.remedy


def test_no_driver_is_no_fault(machine):
    machine(None)
    finding = gpu.devices(None)
    assert finding.state == OK
    assert "there is no NVIDIA driver" in finding.found
    assert "missing" not in finding.found


@pytest.mark.parametrize("value", ["-1", ""])
def test_hidden_cards(machine, monkeypatch, value):
    machine("535.104.05", *needed())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    finding = gpu.devices(None)
    assert finding.state == ATTENTION
    assert finding.found.endswith(f"no GPU: CUDA_VISIBLE_DEVICES='{value}' hides all.")
    assert finding.remedy == "Unset CUDA_VISIBLE_DEVICES."
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert "hides all" not in gpu.devices(None).found


def test_a_wheel_without_cuda():
    finding = gpu.explain(facts(build={"is_cuda_build": False}))
    assert finding.found.endswith("this TensorFlow was built without CUDA.")


@pytest.mark.parametrize(("driver", "is_old"), [("470.82", True), ("525.60", False)])
def test_an_old_driver(driver, is_old):
    assert ("older than CUDA 12 needs" in gpu.explain(facts(driver=driver)).found) == is_old


def test_a_driver_whose_version_nobody_says(machine, monkeypatch):
    machine(None)
    monkeypatch.setattr(gpu.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    assert gpu.driver_version() == "of unknown version"


def test_all_is_there_and_no_card_is_seen():
    finding = gpu.explain(facts())
    assert finding.state == ATTENTION
    assert "TF_CPP_MIN_LOG_LEVEL=0" in finding.remedy


@pytest.mark.parametrize(
    ("capability", "build", "says"),
    [
        ((5, 2), CLASSIC, ""),
        ((8, 9), CLASSIC, ""),  # code for 8.0 runs on all 8.x
        ((9, 0), CLASSIC, "the driver compiles every operation at its first use"),
        ((3, 7), CLASSIC, "it will not be used"),
        ((5, 2), CURRENT, "it will not be used"),
        ((9, 0), CURRENT, ""),
        ((10, 0), CURRENT, "the driver compiles every operation at its first use"),
        ((12, 0), CURRENT, "others reported"),
        ((12, 0), CLASSIC, "others reported"),
        ((7, 0), {"cuda_compute_capabilities": ["sm_50", "compute_75"]}, "it will not be used"),
        ((7, 0), {"cuda_compute_capabilities": ["sm_60"]}, "it will not be used"),
        (None, CLASSIC, ""),
    ],
)
def test_cards_and_what_tensorflow_was_built_for(capability, build, says):
    said = gpu.coverage(gpu.Card("X", capability), build["cuda_compute_capabilities"])
    assert says in said
    assert bool(said) == bool(says)
    finding = gpu.explain(facts(cards=[gpu.Card("X", capability)], build=build))
    assert finding.state == (ATTENTION if says else OK)
    assert finding.found.startswith("TensorFlow sees 1 GPU: X.")


def test_cards_without_what_xla_compiles_with():
    card = gpu.Card("X", (8, 0))
    assert gpu.explain(facts(cards=[card])).state == OK
    finding = gpu.explain(facts(cards=[card, card], has_libdevice=False))
    assert finding.state == ATTENTION
    assert "2 GPUs: X, X." in finding.found
    assert "libdevice" in finding.found
