import pytest

from tests.evaluation.exports import save_tiny


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """A tiny SavedModel that keeps the contract, where a run would have written it."""
    folder = tmp_path_factory.mktemp("runs") / "first" / "export" / "12"
    return save_tiny(folder, metadata={"image_size": 32, "step": 12})


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """An empty folder for features."""
    return str(tmp_path_factory.mktemp("cache"))
