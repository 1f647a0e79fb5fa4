from msbreg_tf.files.metrics_file import MetricsFile


def test_drop_after_restores_the_exact_bytes(tmp_path):
    file = MetricsFile(str(tmp_path / "metrics.jsonl"))
    for step in range(1, 4):
        file.append(step, {"loss": 1 / step})
    before = (tmp_path / "metrics.jsonl").read_bytes()
    file.append(4, {"loss": 0.25})
    with open(file.path, "a") as handle:
        handle.write('{"step": 5, "lo')  # killed in the middle of a line
    file.drop_after(3)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before
    assert [line["step"] for line in file.read()] == [1, 2, 3]


def test_drop_after_without_a_file_does_nothing(tmp_path):
    MetricsFile(str(tmp_path / "metrics.jsonl")).drop_after(3)
    assert not (tmp_path / "metrics.jsonl").exists()
