import io

import numpy as np
import pytest
from PIL import Image

from msbreg_tf.evaluation import exporting
from msbreg_tf.evaluation.serving import warmup
from tests.evaluation.keras_exports import SIZE, tiny_encoder
from tests.tools.conftest import run_command  # noqa: F401 - a fixture


def encoded(seed: int, form: str = "PNG", side: int = SIZE) -> bytes:
    """A small photograph of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, [side, side + 7, 3], np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


@pytest.fixture(scope="package")
def base(tmp_path_factory):
    """A model base path whose versions are 5 (of other weights) and 1560."""
    folder = tmp_path_factory.mktemp("served") / "export"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "replay_warmup", warmup.replay_warmup)
        exporting.export_encoder(
            tiny_encoder(), str(folder / "1560"), image_size=SIZE, metadata={"step": 1560}
        )
    (folder / "5").mkdir()  # would not load
    (folder / ".partial-999").mkdir()
    return folder


@pytest.fixture(scope="package")
def pictures(tmp_path_factory):
    """Six good images of five formats and two broken ones; f.png has 120 × 127 pixels."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "deep").mkdir()
    (folder / "a.png").write_bytes(encoded(1))
    (folder / "b.jpg").write_bytes(encoded(2, "JPEG", 50)[:700])
    (folder / "c.jpg").write_bytes(encoded(3, "JPEG", 50))
    (folder / "deep" / "d.webp").write_bytes(encoded(4, "WEBP"))
    (folder / "deep" / "e.gif").write_bytes(encoded(5, "GIF"))
    (folder / "f.png").write_bytes(encoded(6, side=120))
    (folder / "g.webp").write_bytes(b"RIFF1234WEBP")
    (folder / "h.bmp").write_bytes(encoded(7, "BMP"))
    return folder
