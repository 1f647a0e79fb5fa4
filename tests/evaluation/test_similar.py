import sys
from types import SimpleNamespace

import numpy as np
import pytest

from msbreg_tf.evaluation import similar
from msbreg_tf.evaluation.knn import knn_accuracy


@pytest.fixture
def features():
    rows = np.random.default_rng(0).normal(size=[40, 6]).astype(np.float32)
    rows[7] = 3 * rows[31]  # the same direction
    return rows


def cosines(rows):
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit @ unit.T


def test_nearest_others_by_a_slow_twin(features):
    similarity, rows = similar.nearest_others(features, 5)
    truth = cosines(features)
    np.fill_diagonal(truth, -np.inf)
    np.testing.assert_array_equal(rows, np.argsort(-truth, axis=1)[:, :5])
    np.testing.assert_allclose(similarity, -np.sort(-truth, axis=1)[:, :5], atol=1e-6)


def test_a_row_is_not_its_own_neighbour_even_among_many_twins():
    rows = np.tile([[1.0, 0.0]], [6, 1])
    similarity, found = similar.nearest_others(rows, 3)
    assert found.shape == (6, 3)
    assert (found != np.arange(6)[:, None]).all()
    np.testing.assert_allclose(similarity, 1)
    assert similar.nearest_others(rows, 99)[1].shape == (6, 5)


def test_near_duplicates_are_pairs_once_each(features):
    near = similar.nearest_others(features, 5)
    assert similar.near_duplicates(*near, 0.9999) == [(7, 31, pytest.approx(1))]
    truth = np.triu(cosines(features), 1)
    expected = {(a, b) for a, b in zip(*np.nonzero(truth >= 0.85))}
    pairs = similar.near_duplicates(*near, 0.85)
    assert {pair[:2] for pair in pairs} == expected
    assert [p.similarity for p in pairs] == sorted((p.similarity for p in pairs), reverse=True)
    assert similar.near_duplicates(*near, 0.85, most=1) == pairs[:1]


def test_images_that_differ_from_one_another():
    angles = np.radians([0, 1, 2, 90, 91, 180])
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    chosen = similar.most_unlike(rows, 3)
    # From each of the three groups one, and no row twice.
    assert sorted({0: 0, 1: 0, 2: 0, 3: 1, 4: 1, 5: 2}[row] for row in chosen) == [0, 1, 2]
    assert sorted(similar.most_unlike(rows, 9)) == list(range(6))


def test_left_out_votes_are_those_of_knn(features):
    labels = np.arange(40) % 4
    voted = similar.left_out_votes(*similar.nearest_others(features, 5), labels)
    right = 0
    for row in range(40):
        rest = np.delete(np.arange(40), row)
        right += knn_accuracy(
            features[rest], labels[rest], features[[row]], labels[[row]], k=[5]
        )[5]  # fmt: skip
    assert np.sum(voted == labels) == right


def test_without_faiss_a_line_says_how_to_get_it(features, monkeypatch):
    monkeypatch.setattr(similar, "EXACT_BELOW", 40)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ValueError, match=r"pip install 'msbreg-tf\[faiss\]'"):
        similar.index_of(features)
    assert isinstance(similar.index_of(features[:39]), similar.Exact)


@pytest.fixture
def many(monkeypatch):
    """3,000 rows on a surface, of which 80 are the same; they are many enough for the index."""
    pytest.importorskip("faiss", reason="pip install faiss-cpu")
    monkeypatch.setattr(similar, "EXACT_BELOW", 3000)
    rng = np.random.default_rng(0)
    bent = np.tanh(rng.normal(size=[3000, 8]) @ rng.normal(size=[8, 20])) @ rng.normal(
        size=[20, 32]
    )
    rows = bent.astype(np.float32)
    rows[1000:1080] = rows[1000]
    return rows


def test_the_index_finds_what_the_exact_search_finds(many):
    index = similar.index_of(many)
    assert isinstance(index, similar.Indexed)
    others = np.r_[:1000, 1080:3000]
    exact = similar.Exact(many).nearest(many[others], 10)
    indexed = index.nearest(many[others], 10)
    common = [len(np.intersect1d(*pair)) for pair in zip(indexed[1], exact[1])]
    assert np.mean(common) > 9.9
    np.testing.assert_allclose(exact[0][:, 0], indexed[0][:, 0], atol=1e-5)
    similarity, rows = similar.nearest_others(many, 20)
    assert (rows != np.arange(3000)[:, None]).all()
    assert rows.min() >= 0
    np.testing.assert_allclose(similarity[1000:1080], 1, atol=1e-5)
    found = similar.near_duplicates(similarity, rows, 0.9999)
    assert {row for pair in found for row in pair[:2]} == set(range(1000, 1080))


def test_what_the_index_does_not_reach_is_looked_up_exactly(many, monkeypatch):
    index = similar.Indexed(many)
    search = index._index.search

    def unreached(queries, k):
        similarity, rows = search(queries, k)
        similarity[1, 2:], rows[1, 2:] = -np.inf, -1
        return similarity, rows

    monkeypatch.setattr(index, "_index", SimpleNamespace(search=unreached, ntotal=3000))
    exact = similar.Exact(many).nearest(many[:5], 7)
    found = index.nearest(many[:5], 7)
    np.testing.assert_array_equal(found[1][1], exact[1][1])
    np.testing.assert_allclose(found[0], exact[0], atol=1e-5)
