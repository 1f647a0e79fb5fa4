from msbreg_tf.distributed import devices


def test_the_processor_is_named_as_linux_names_it(tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: Some CPU: 3 GHz\nflags\t: fpu avx512_bf16\n")
    assert devices._processor(str(info)) == "Some CPU: 3 GHz"
    assert devices.bfloat16_instructions(str(info)) == "AVX512_BF16"


def test_where_there_is_no_such_file(tmp_path, monkeypatch):
    monkeypatch.setattr(devices.platform, "processor", lambda: "")
    monkeypatch.setattr(devices.platform, "machine", lambda: "arm64")
    assert devices._processor(str(tmp_path / "none")) == "arm64"
    assert devices.bfloat16_instructions(str(tmp_path / "none")) == ""


def test_usable_cores_are_counted(monkeypatch):
    monkeypatch.setattr(devices.os, "sched_getaffinity", lambda process: {3}, raising=False)
    assert devices.hardware().startswith("1 core of ")
