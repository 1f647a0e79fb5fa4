import pytest

from tests.run.test_train import start


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """(workdir, output) of the uninterrupted run that others are compared with."""
    workdir = str(tmp_path_factory.mktemp("runs") / "finished")
    process = start(workdir)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return workdir, output
