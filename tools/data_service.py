r"""Starts the input engine on other machines: a dispatcher, workers, or both.

    python -m tools.data_service --role=dispatcher --port=5050
    python -m tools.data_service --role=worker --dispatcher=grpc://HOST:5050

prints the flag that training needs, --data_service=grpc://HOST:5050. Workers read the images under
the same paths as the training machine. They may join and leave at any time. Ctrl-C ends it.
"""

from msbreg_tf.commands import cli, data_service

if __name__ == "__main__":
    cli.run(data_service.COMMAND, __doc__)
