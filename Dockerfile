# TensorFlow 2.15 with its CUDA and cuDNN (docs/gpu.md). Not built here, and not yet run on a GPU.
#   docker build -t msbreg .
#   docker run --gpus=all --rm -v "$PWD/runs:/work/runs" msbreg doctor
FROM tensorflow/tensorflow:2.15.0-gpu

WORKDIR /opt/msbreg
# First what changes rarely, so that a change of the code does not install it again.
COPY requirements.txt ./
RUN python3 -m pip install --no-cache-dir -r requirements.txt
COPY pyproject.toml setup.py README.md ./
COPY msbreg_tf msbreg_tf
COPY tools tools
COPY flags flags
COPY detection detection
RUN python3 -m pip install --no-cache-dir --no-deps --no-build-isolation .
RUN msbreg train --recipe=stl10 --only_check_args

WORKDIR /work
ENTRYPOINT ["msbreg"]
CMD ["doctor", "--steps=0"]
