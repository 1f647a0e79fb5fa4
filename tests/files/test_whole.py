import hashlib
import os
import pathlib
import subprocess

import pytest

from msbreg_tf.files.whole import (
    fingerprint,
    fingerprint_of_json,
    sha256_of,
    sync_tree,
    write_text_whole,
    write_whole,
)


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "a.txt"
    write_text_whole(path, "first")
    write_whole(str(path), lambda file: file.write("zweite ß".encode()))
    assert path.read_text() == "zweite ß"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_what_fails_leaves_the_old_file_and_no_debris(tmp_path):
    path = tmp_path / "a.txt"
    write_text_whole(path, "old")

    def fails(file):
        file.write(b"half")
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_whole(path, fails)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_what_a_killed_process_left_is_removed_and_a_living_ones_is_not(tmp_path):
    path = tmp_path / "a.txt"
    ended = subprocess.Popen(["true"])
    ended.wait()
    names = [f"a.txt.{ended.pid}.writing", f"a.txt.{os.getppid()}.writing", "b.txt.1.writing"]
    for name in names:
        (tmp_path / name).write_bytes(b"half")
    write_text_whole(path, "new")
    assert sorted(os.listdir(tmp_path)) == sorted(["a.txt", *names[1:]])


def test_a_crash_before_the_renaming_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_text_whole(path, "old")
    seen = []

    def crash(source, target):
        seen.append((pathlib.Path(source).read_text(), os.path.basename(target)))
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        write_text_whole(path, "new")
    assert seen == [("new", "a.txt")]  # it was whole before it was to be put in place
    assert path.read_text() == "old"


def test_the_content_is_on_disk_before_the_name_is(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (order.append("sync"), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append("rename"), replace(a, b)))
    write_text_whole(tmp_path / "a.txt", "x")
    assert order == ["sync", "rename", "sync"]  # the file, and then the folder


def test_digests_are_those_of_hashlib(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").write_bytes(b"d" * (1 << 21))
    content = b"abc" + b"d" * (1 << 21)
    assert sha256_of(tmp_path / "a", tmp_path / "b") == hashlib.sha256(content).hexdigest()
    assert fingerprint(b"ab", "cß") == hashlib.sha256("abcß".encode()).hexdigest()[:16]
    assert (
        fingerprint_of_json({"b": 1, "a": [2]})
        == (hashlib.sha256(b'{"a": [2], "b": 1}').hexdigest()[:16])
    )


def test_a_tree_is_synced_with_all_its_files(tmp_path, monkeypatch):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "file").write_text("1")
    count = []
    monkeypatch.setattr(os, "fsync", count.append)
    sync_tree(tmp_path)
    assert len(count) == 3  # the file and two folders
