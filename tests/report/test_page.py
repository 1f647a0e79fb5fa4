"""The page as text; as a person sees it: test_browser.py."""

import html.parser
import json
import re

import numpy as np
import pytest

from msbreg_tf.commands import report
from msbreg_tf.report.contents import Contents
from msbreg_tf.report.features import Features
from msbreg_tf.report.gallery import make_gallery
from msbreg_tf.report.page import render, told
from msbreg_tf.report.pictures import Pictures
from msbreg_tf.report.results import confusion, mistakes, per_class
from msbreg_tf.report.run_files import read_run
from tests.report.fakes import HOSTILE, fake_pictures, fake_run

pytest.importorskip("jinja2", reason="pip install 'msbreg-tf[report]'")
pytest.importorskip("plotly", reason="pip install 'msbreg-tf[report]'")

LINEAR = {
    "run": "labelled@60", "metric": "top-1 %", "value": 71.5, "details": {}, "export": None,
    "versions": {}, "protocol": {"name": "linear", "dataset": "imagenet100", "test_split": "val"},
}  # fmt: skip


class Reader(html.parser.HTMLParser):
    """Collects what a page is made of."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.ids, self.text, self.links, self.labels = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append(tag)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [v for n, v in attrs if n in ("src", "href", "action", "data", "poster")]
        self.labels += [attributes["aria-label"]] if "aria-label" in attributes else []

    def handle_data(self, data):
        self.text.append(data)


def written(tmp_path, runs, **settings):
    output = tmp_path / "report.html"
    own = report.ReportSettings(**{"images": 100, "map": "pca", **settings})
    report.write_report(own, [str(run) for run in runs], str(output))
    return output.read_text()


def data_of(page, name):
    return json.loads(re.search(rf'id="{name}">(.*?)</script>', page, re.S)[1])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    names = [name.replace("/", "∕") for name in HOSTILE]
    return fake_pictures(tmp_path_factory.mktemp("pictures"), names)


@pytest.fixture(scope="module")
def page(tmp_path_factory, pictures):
    root = tmp_path_factory.mktemp("page")
    run = fake_run(root / "<i>mine", pictures=pictures, gaps=(30,), results=[LINEAR], resumed=(31,))
    return written(root, [run])


def test_it_is_one_file_that_asks_for_nothing(page):
    reader = Reader(page)
    assert {link.partition(":")[0] for link in reader.links if not link.startswith("#")} <= {"data"}
    assert "url(" not in re.sub(r'url\("data:image/webp;base64,[^"]*"\)', "", page)
    assert len(page) < 10e6
    assert len(reader.ids) == len(set(reader.ids))
    assert {f"#{key}" for key in reader.ids} >= {link for link in reader.links if link[0] == "#"}


def test_sections_come_in_their_order_and_headings_without_gaps(page):
    order = ["summary", "curves", "spectrum", "views", "neighbours", "map", "odd", "evaluation"]
    reader = Reader(page)
    assert [key for key in reader.ids if key in order] == order
    levels = [int(tag[1]) for tag in reader.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(levels, levels[1:]))
    assert reader.tags.count("section") == 9


def test_hostile_names_stay_text(page):
    reader = Reader(page)
    assert "<script>window.hacked" not in page
    assert "<i>mine" in "".join(reader.text)
    assert "i" not in reader.tags
    assert "49" not in {text.strip() for text in reader.text if "{{" in text}
    told = data_of(page, "page-data")
    assert told["groups"] == sorted(name.replace("/", "∕") for name in HOSTILE)
    assert any(label.startswith('"quotes"') for label in reader.labels)
    assert "\\u003cscript\\u003e" in page
    legend = [trace["name"] for trace in data_of(page, "specs")["map-chart"]["traces"]]
    assert not any("<" in name for name in legend)  # Plotly takes tags for markup


def test_what_it_says_is_what_was_found(page, pictures):
    text = " ".join(" ".join(Reader(page).text).split())
    assert "It was interrupted once and continued from its last checkpoint." in text
    assert "1 of the logged values is not finite" in text
    assert "1 pair among 49 images" in text
    assert "broken.jpg" in text
    assert "Has it collapsed?" in text
    assert "71.5" in text
    assert "published: MSBReg K=4 (Table 3)" in text
    assert "80.4" in text
    assert "Not fine-tuned" in text
    lists = data_of(page, "lists")
    assert lists["duplicates"][1][2] == "1.0000"
    assert {"0-0.png", "twin.png"} == {
        name[-8:].lstrip("/1>") for name in lists["duplicates"][1][:2]
    }
    assert len(lists["farthest"]) == 25
    assert lists["broken"][1][0].endswith("broken.jpg")
    specs = data_of(page, "specs")
    rows = sorted(row for trace in specs["map-chart"]["traces"] for row in trace["customdata"])
    assert rows == list(range(49))


def test_neighbours_of_every_image_are_there(page):
    told = data_of(page, "page-data")
    assert np.shape(told["near"]) == np.shape(told["nearBeside"]) == (49, 8)
    assert all(row not in near for row, near in enumerate(told["near"]))
    assert told["beside"] == "raw pixels"  # a foreign export can't be compared with its beginning


def test_what_is_missing_has_a_line_that_says_how_to_get_it(tmp_path):
    run = fake_run(tmp_path / "young", steps=20, exported=False, dataset="folder")
    text = written(tmp_path, [run], watch=0)
    told = " ".join(" ".join(Reader(text).text).split())
    for line in (
        "No export yet, so there are no features to look at",
        "The views can't be shown",
        "--data_dir says where the images are",
        "Not evaluated yet: python -m tools.geometry",
        "comes with the export",
        "It has no export yet: it stands at epoch 1.0 of 320",
    ):
        assert line in told
    assert 'http-equiv="refresh"' not in text


def test_several_runs_stand_side_by_side_with_what_differs(tmp_path):
    runs = [fake_run(tmp_path / f"run{n}", exported=False, seed=n, steps=40) for n in range(3)]
    told = " ".join(" ".join(Reader(written(tmp_path, runs)).text).split())
    assert "3 runs" in told
    assert "--seed run0 40" in told
    assert re.search(r"run2 40 .{0,60} 2 ", told)


def test_the_table_of_several_runs_says_what_the_cards_of_each_say(tmp_path, pictures):
    """Geometry without labels may say less than the neighbours of labelled images do."""
    said = {"learnt": "not visibly", "why": "views: too few.", "collapse": "none"}
    line = {**LINEAR, "protocol": {"name": "geometry"}, "metric": "alignment", "details": said}
    runs = [fake_run(tmp_path / f"run{n}", pictures=pictures, results=[line]) for n in range(2)]
    runs.append(fake_run(tmp_path / "young", pictures=pictures, exported=False))
    together = Reader(written(tmp_path, runs))
    cells = [text.strip() for text in together.text if text.strip()]
    for run in runs[1:2]:
        alone = " ".join(Reader(written(tmp_path, [run])).text)
        at = cells.index(run.name)
        for cell, question in zip(cells[at + 2 : at + 5], ("any good", "it learn", "collapsed")):
            answer, _, by = cell.partition(" (")
            assert re.search(rf"{question}\? +\S +{re.escape(answer)} ", " ".join(alone.split()))
            assert by.rstrip(")") in ("training images", "labels", "features", "views")
    at = cells.index("young")
    assert cells[at + 4] == "no sign (predictions)"


def test_a_run_that_was_evaluated_with_labels_is_not_said_to_have_none(tmp_path):
    """k-NN on held-out images comes before views; without the images, too."""
    of = {"dataset": "cifar10", "test_split": "test"}
    knn = [{**LINEAR, "value": v, "protocol": {"name": "knn", "k": k, **of}}
           for k, v in ((200, 35.0), (20, 30.0), (20, 36.1))]  # fmt: skip
    run = fake_run(tmp_path / "run", exported=False, results=[LINEAR, *knn])
    told = " ".join(" ".join(Reader(written(tmp_path, [run], images=0)).text).split())
    assert (
        "36.1 % k-NN Of held-out images (cifar10 test), 36.1 % are classified by their 20" in told
    )
    assert "and 71.5 % by a linear classifier." in told
    assert "No labels" not in told


def test_flags_and_code_in_a_sentence():
    text = told("See `tools.knn --k=3`, or <b> --x.")
    assert text == (
        'See <code>tools.knn <span class="flag">--k=</span>3</code>, or &lt;b&gt; '
        '<span class="flag">--x</span>.'
    )


def test_two_thousand_classes(tmp_path):
    rng = np.random.default_rng(0)
    names = tuple(f"class {n:04}" for n in range(2000))
    pixels = rng.integers(0, 256, [2000, 8, 8, 3]).astype(np.uint8)
    pictures = Pictures(pixels, names, np.arange(2000), names, "class", (), 2000)
    rows = rng.normal(size=[2000, 6]).astype(np.float32)
    gallery = make_gallery(pictures, Features(rows, None, rows), "pca", 0)
    run = read_run(str(fake_run(tmp_path / "run", steps=5, exported=False)))
    text = render(Contents([run], gallery, [], {"views": "None.", "results": "None."}))
    assert Reader(text).tags.count("option") == 2001
    specs = data_of(text, "specs")
    assert len(specs["map-chart"]["traces"]) == 12
    assert specs["map-chart"]["traces"][-1]["name"] == "1,989 others"
    assert "confusion" not in specs
    assert len(text) < 10e6


def test_confusion_by_hand():
    labels, voted = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 0, 2])
    counts = confusion(labels, voted, "abc")
    assert counts.tolist() == [[1, 2, 0], [1, 1, 0], [0, 0, 1]]
    assert mistakes(counts, "abc").rows == (("a", "b", "2", "66.7 %"), ("b", "a", "1", "50.0 %"))
    assert [row[:2] for row in per_class(counts, "abc").rows] == [
        ("a", "33.3 %"), ("b", "50.0 %"), ("c", "100.0 %"),
    ]  # fmt: skip


def test_watching_ends_when_the_run_does(tmp_path, monkeypatch):
    """Every round writes the page anew; the last one does not load itself again."""
    run = fake_run(tmp_path / "run", exported=False, steps=20)
    output, seen = tmp_path / "page.html", []

    def finish(seconds):
        seen.append((seconds, 'http-equiv="refresh" content="7"' in output.read_text()))
        fake_run(tmp_path / "other", steps=20)
        (tmp_path / "other" / "export").rename(run / "export")

    monkeypatch.setattr(report.time, "sleep", finish)
    own = report.ReportSettings(runs=(str(run),), output=str(output), images=0, watch=7)
    report._run(own, report.BatchSettings(), report.CacheSettings())
    assert seen == [(7, True)]
    assert "http-equiv" not in output.read_text()


def test_runs_are_found_by_pattern_and_a_folder_without_one_is_refused(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text("{}")
    (tmp_path / "c").mkdir()
    found = report.run_paths([f"{tmp_path}/*", str(tmp_path / "a")])
    assert found == [str(tmp_path / "a"), str(tmp_path / "b")]
    with pytest.raises(ValueError, match="no run's folder fits"):
        report.run_paths([f"{tmp_path}/c*"])


def test_the_nearest_recipe_is_that_of_the_run():
    name, settings = report.nearest_recipe({"dataset": "stl10", "epochs": 7})
    assert name == "stl10"
    assert settings["dataset"] == "stl10"
    assert report.nearest_recipe({"dataset": "unheard of"}) is None
