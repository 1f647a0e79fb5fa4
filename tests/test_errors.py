"""Errors as one line."""

import pytest

from msbreg_tf.errors import one_line


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("two\n\tlines"), "two lines"),
        (ValueError(), "ValueError"),
        (OSError("0123456789"), "0123456789"),
        (OSError("a/long/path: it is full"), "a/lo…full"),
    ],
)
def test_long_errors_keep_their_path_and_their_reason(error, text):
    assert one_line(error, limit=10) == text
