"""What the machine can do at most: large float32 products and 3 × 3 convolutions, in GFLOP.

`library` is "tensorflow" or "torch", `what` is "product" or "convolution".
"""

import importlib

SIDE = 2048  # of the matrices
BATCH, IMAGE, CHANNELS = 64, 24, 64  # of the convolution: ResNet-18's first stage at 96 px
GFLOP = {
    "product": 2 * SIDE**3 / 1e9,
    "convolution": 2 * 9 * CHANNELS**2 * IMAGE**2 * BATCH / 1e9,
}


def run(settings, tick):
    work = globals()[settings["library"]](settings["what"])
    while True:
        work()
        tick(GFLOP[settings["what"]])


def tensorflow(what):
    importlib.import_module("msbreg_tf")  # sets TensorFlow's environment
    import tensorflow as tf

    if what == "product":
        matrix = tf.random.normal([SIDE, SIDE])
        compute = tf.function(lambda: tf.matmul(matrix, matrix))
    else:
        images = tf.random.normal([BATCH, IMAGE, IMAGE, CHANNELS])
        kernel = tf.random.normal([3, 3, CHANNELS, CHANNELS])
        compute = tf.function(lambda: tf.nn.conv2d(images, kernel, 1, "SAME"))
    return lambda: tf.reduce_max(compute()[0, 0]).numpy()  # waits for a GPU


def torch(what):
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    layout = torch.channels_last
    if what == "product":
        matrix = torch.randn(SIDE, SIDE, device=device)

        def compute():
            return matrix @ matrix
    else:
        images = torch.randn(BATCH, CHANNELS, IMAGE, IMAGE, device=device)
        images = images.contiguous(memory_format=layout)
        convolution = torch.nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False).to(device)
        convolution = convolution.to(memory_format=layout)

        def compute():
            return convolution(images)

    def work():
        with torch.inference_mode():
            compute()[0, 0].max().item()

    return work
