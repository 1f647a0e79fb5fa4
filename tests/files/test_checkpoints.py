import os
import random
import shutil

import pytest
import tensorflow as tf

from msbreg_tf.files.checkpoints import Checkpoints, find_damage


@pytest.fixture
def value():
    return tf.Variable([0.0] * 64)


@pytest.fixture
def checkpoints(tmp_path, value):
    return Checkpoints(str(tmp_path / "checkpoints"), tf.train.Checkpoint(value=value), keep=2)


def save(checkpoints, value, step):
    value.assign(tf.fill([64], float(step)))
    return checkpoints.save(step)


def data_file(folder):
    return next(os.path.join(folder, n) for n in os.listdir(folder) if ".data-" in n)


def test_nothing_to_restore(checkpoints):
    assert checkpoints.restore_newest() is None


def test_restores_the_newest_and_keeps_the_last_few(checkpoints, value):
    for step in (1, 2, 10):
        save(checkpoints, value, step)
    value.assign(tf.zeros([64]))
    assert checkpoints.steps() == [2, 10]
    assert checkpoints.restore_newest() == 10
    assert float(value[0]) == 10.0


@pytest.mark.parametrize("damage", ["truncate", "flip", "delete", "no manifest"])
def test_a_damaged_newest_falls_back(checkpoints, value, damage, capsys):
    save(checkpoints, value, 1)
    path = data_file(save(checkpoints, value, 2))
    if damage == "truncate":
        os.truncate(path, os.path.getsize(path) // 2)
    elif damage == "flip":
        with open(path, "r+b") as file:
            byte = file.read(1)[0]
            file.seek(0)
            file.write(bytes([byte ^ 1]))
    elif damage == "delete":
        os.remove(path)
    else:
        os.remove(os.path.join(os.path.dirname(path), "manifest.json"))
    assert checkpoints.restore_newest() == 1
    assert float(value[0]) == 1.0
    assert "note: checkpoint 2 is damaged" in capsys.readouterr().err
    assert checkpoints.steps() == [1]


def test_no_flipped_bit_is_ever_trusted(checkpoints, value):
    """Anywhere in any file: the state of one of the two steps comes back, never another."""
    save(checkpoints, value, 1)
    folder = save(checkpoints, value, 2)
    dice = random.Random(0)
    fallen_back = 0
    for name in 10 * sorted(os.listdir(folder)):
        whole = folder + "-whole"
        shutil.copytree(folder, whole)
        with open(os.path.join(folder, name), "r+b") as file:
            content = bytearray(file.read())
            content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
            file.seek(0)
            file.write(content)
        value.assign(tf.zeros([64]))
        step = checkpoints.restore_newest()
        assert step in (1, 2)
        assert (value.numpy() == step).all()
        fallen_back += step == 1
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(whole, folder)
    assert fallen_back >= 20  # a bit of the manifest may not matter; every bit of the others does


def test_all_damaged_is_an_error_not_a_fresh_start(checkpoints, value):
    path = data_file(save(checkpoints, value, 1))
    os.truncate(path, 1)
    for _ in range(2):  # asking twice must not make it one
        with pytest.raises(ValueError, match="all checkpoints"):
            checkpoints.restore_newest()


def test_a_checkpoint_of_another_model_is_one_line(checkpoints, value, tmp_path):
    save(checkpoints, value, 1)
    other = tf.train.Checkpoint(value=value, more=tf.Variable(0.0))
    with pytest.raises(ValueError, match="does not fit") as error:
        Checkpoints(checkpoints.folder, other).restore_newest()
    assert "\n" not in str(error.value)


def test_an_interrupted_save_leaves_the_others_and_is_cleaned_up(checkpoints, value):
    folder = save(checkpoints, value, 1)
    shutil.copytree(folder, os.path.join(checkpoints.folder, ".partial-2"))
    assert checkpoints.restore_newest() == 1
    assert os.listdir(checkpoints.folder) == ["00000001"]


def test_a_failing_save_keeps_what_was_there(checkpoints, value, monkeypatch):
    save(checkpoints, value, 1)

    def full_disk(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.state, "write", full_disk)
    with pytest.raises(OSError, match="No space"):
        save(checkpoints, value, 2)
    assert os.listdir(checkpoints.folder) == ["00000001"]
    assert find_damage(os.path.join(checkpoints.folder, "00000001")) is None
