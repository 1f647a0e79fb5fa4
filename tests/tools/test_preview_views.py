import subprocess
import sys

import tensorflow as tf


def run_tool(*flags):
    command = [sys.executable, "-m", "tools.preview_views", *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_writes_a_row_per_image(tmp_path):
    output = tmp_path / "views.png"
    done = run_tool(f"--output={output}", "--images=3", "--num_views=2", "--image_size=16")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"Wrote {output}: 3 images, each with 2 views.\n")
    assert tf.io.decode_png(output.read_bytes()).shape == (3 * 18, 3 * 18, 3)


def test_bad_output_is_one_line(tmp_path):
    done = run_tool(f"--output={tmp_path}/none/views.png")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("error: --output=")
