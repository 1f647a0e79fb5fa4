r"""Embeds a folder of images: one file with their paths and embeddings.

    python -m tools.embed --saved_model=runs/mine/export/STEP --data_dir=~/pictures \
        --output=pictures.npz

The folder may be nested; images of any size in any common format. Broken files are left out, named
at the end and listed in <output>.broken.txt. Start the same command again after an interruption,
and it continues. Through a server, and in parts on several machines:

    python -m tools.embed --server=grpc://HOST:8500/encoder --data_dir=~/pictures \
        --output=pictures.npz
    python -m tools.embed --saved_model=runs/mine/export/STEP --data_dir=~/pictures \
        --output=pictures.npz --shard=3/16
    python -m tools.embed --merge --output=pictures.npz

To read it:

    arrays = np.load("pictures.npz"); arrays["paths"], arrays["embeddings"]
    table = pyarrow.parquet.read_table("pictures.parquet")  # columns path and embedding
"""

from msbreg_tf.commands import cli, embed

if __name__ == "__main__":
    cli.run(embed.COMMAND, __doc__)
