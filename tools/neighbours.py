r"""Finds the images of a folder that are most alike to others, or its near-duplicates.

    python -m tools.neighbours --saved_model=runs/mine/export/STEP --data_dir=~/pictures \
        --query=cat.jpg --output=like.html
    python -m tools.neighbours --saved_model=runs/mine/export/STEP --data_dir=~/pictures \
        --duplicates=0.95 --output=duplicates.csv

A line has the cosine similarity, the distance (one less it) and the path. Features are kept in
--cache_dir, so a second question about the same folder is answered at once, and an interruption
loses little. Up to 50,000 images every one is compared; more need an index:
`pip install 'msbreg-tf[faiss]'`.
"""

from msbreg_tf.commands import cli, neighbours

if __name__ == "__main__":
    cli.run(neighbours.COMMAND, __doc__)
