from msbreg_tf.files.metrics_file import MetricsFile
from msbreg_tf.run.next_steps import last_measured


def test_the_last_accuracy_before_what_needs_no_labels(tmp_path):
    file = MetricsFile(str(tmp_path / "metrics.jsonl"))
    assert last_measured(file.path) == []
    file.append(10, {"rankme": 3.0, "same_picture": 0.25})
    file.append(20, {"rankme": 4.0, "same_picture": 0.375})
    (line,) = last_measured(file.path)
    assert line.startswith("At step 20, 37.5 % of the views")
    file.append(10, {"knn20_top1": 0.5})
    file.append(20, {"knn20_top1": 0.625})
    file.append(20, {"same_picture": 0.375})
    assert last_measured(file.path) == ["20-NN top-1 at step 20: 62.5 %."]
