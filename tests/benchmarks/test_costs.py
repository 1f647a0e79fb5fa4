"""The tables of costs, and their place in a page."""

from benchmarks.costs import text
from benchmarks.costs.host import SMALL, HostCost


def test_a_part_is_put_into_its_place_and_nothing_else_changes(tmp_path):
    page = tmp_path / "PAGE.md"
    page.write_text("# Title\n\nbefore\n")
    text.put(str(page), "step", "one")
    text.put(str(page), "host", "two")
    page.write_text(page.read_text() + "after\n")
    text.put(str(page), "step", "three")
    assert page.read_text() == (
        "# Title\n\nbefore\n\n<!-- step by benchmarks.costs -->\nthree\n<!-- end of step -->\n"
        "\n<!-- host by benchmarks.costs -->\ntwo\n<!-- end of host -->\nafter\n"
    )


def test_growth_is_the_exponent_between_the_ends_of_a_curve():
    def parts(networks):
        return dict.fromkeys(("losses", "update", "augmentation", "whole"), 0.5) | {
            "networks": networks
        }

    points = [(2, parts(0.1)), (4, parts(7.0)), (8, parts(1.6))]
    rows = text.step_tables({"num_views": points}).splitlines()
    assert rows[2] == "| K = 2 | 100 | 500 | 500 | 500 | 500 |"
    assert rows[-1] == "| *grows with K* | ^2.00 | ^0.00 | ^0.00 | ^0.00 | ^0.00 |"


def test_cores_follow_from_the_time_of_an_image():
    cost = HostCost("resnet18", 96, SMALL, {"host": 4.0, "device": 1.0}, gflop=10.0)
    row = text.host_table([cost]).splitlines()[-1]
    assert row == (
        "| ResNet-18 at 96 px, images of 96 × 96 in memory | 1,000 | 4,000 | **4** | **1** | 75 % "
        "| 10 | 40 | 10 |"
    )
