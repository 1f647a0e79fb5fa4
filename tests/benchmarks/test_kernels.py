"""oneDNN's log, of both of its forms, as a table of kernels."""

import pytest

from benchmarks import kernels
from benchmarks.kernel_steps import MARK

OLD = (
    "onednn_verbose,exec,cpu,convolution,brgconv:avx512_core_bf16,forward_training,"
    "src_bf16::blocked:acdb:f0 wei_bf16::blocked:Acdb16b:f0 dst_f32::blocked:acdb:f0,"
    "attr-post-ops:eltwise_relu ,alg:convolution_direct,mb8_ic64,{ms}"
)
NEW = (
    "onednn_verbose,v1,primitive,exec,cpu,reorder,jit:uni,undef,"
    "src:f32::blocked:abcd::f0 dst:bf16::blocked:acdb::f0,,,64x64x3x3,{ms}"
)


@pytest.fixture
def log():
    """A step before the first mark, two steps, and what a profiler looks at afterwards."""
    first = [OLD.format(ms=2.0), OLD.format(ms=5.0), NEW.format(ms=1.0)]
    second = [OLD.format(ms=9.0), OLD.format(ms=3.0), NEW.format(ms=0.5)]
    lines = [OLD.format(ms=0.1), MARK, *first, "onednn_verbose,info,cpu,isa", MARK, *second, MARK]
    return "\n".join([*lines, NEW.format(ms=0.1), "{}"])


def test_steps_are_between_the_marks(log):
    steps = kernels.parse(log)
    assert [[ms for _, ms in step] for step in steps] == [[2.0, 5.0, 1.0], [9.0, 3.0, 0.5]]
    convolution, reorder = steps[0][0][0], steps[0][2][0]
    assert convolution.kind == "convolution"
    assert convolution.implementation == "brgconv:avx512_core_bf16"
    assert convolution.direction == "forward_training"
    assert convolution.types == "bf16 f32"
    assert convolution.problem == "mb8_ic64"
    assert reorder.types == "f32 bf16"


def test_a_primitive_takes_its_shortest_time_as_often_as_it_runs(log):
    found = kernels.totals(kernels.parse(log))
    assert sorted(found.values()) == [(1, 0.5), (2, 4.0)]


def test_table_has_shares_of_the_step_and_what_is_outside(log):
    rows = kernels.table(kernels.totals(kernels.parse(log)), step_ms=9.0).splitlines()[2:]
    assert rows[0] == (
        "| convolution forward_training, with post-ops | `brgconv:avx512_core_bf16` | bf16 f32 "
        "| 2 | 4 | 44.4 % |"
    )
    assert rows[1].endswith("| f32 bf16 | 1 | 0.5 | 5.6 % |")
    assert rows[3] == "| **outside oneDNN** | | | | 4.5 | 50.0 % |"
