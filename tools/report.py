r"""Makes one HTML file of a run, or of several: what it learned, how good it is, what to do next.

    python -m tools.report --runs=runs/mine
    python -m tools.report --runs=runs/first,runs/second --output=both.html

It opens in any browser, from a mail or a memory stick, and needs no network. While a run goes on,
--watch=60 writes it again every minute. What is missing, such as labels or an export, is left out
with a line that says how to get it.
"""

from msbreg_tf.commands import cli, report

if __name__ == "__main__":
    cli.run(report.COMMAND, __doc__)
