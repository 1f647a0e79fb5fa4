"""What scripts/run_docs.py changes in a command so that it can be run anywhere, and why.

Patterns are regular expressions that are searched for in a command.
"""

import re
from typing import NamedTuple


class Rule(NamedTuple):
    """A row of `RULES`: what matches `pattern` becomes `new`; `only` limits it to some commands."""

    pattern: str
    new: str
    why: str
    only: str = ""


class Supply(NamedTuple):
    """A row of `SUPPLIES`: what the pages take for granted, and how it is made if it is missing.

    `path` is its path from the clone, or how that begins.
    """

    path: str
    command: str
    why: str


class Service(NamedTuple):
    """A row of `SERVICES`: a command that does not end, and its sign of life."""

    pattern: str
    sign: str
    stays: bool  # until the page ends, for the commands after it


# Commands that are not run: (pattern, why). `--include` runs them all the same.
NOT_HERE = (
    (r"^make test\b", "the whole suite takes 25 minutes; .ci/run runs it"),
    (r"^make test-detect", "needs .venv-detect, which is gigabytes; CONTRIBUTING says when"),
    (r"^make (gpu|detect)$|\[gpu\]", "downloads gigabytes of CUDA or PyTorch"),
    (r"^make bench", "19 minutes, and the environments of other libraries"),
    (r"venv-bench|benchmarks\.(costs|kernels|race)", "hours of measuring beside other libraries"),
    (r"^docker build|--gpus=all", "needs Docker, and a GPU for one of them"),
    (r"#SBATCH --nodes", "needs a Slurm cluster with GPUs"),
    (r"voc07\.cfg", "needs VOC07, which must be downloaded"),
    (r"--engine=slurm", "needs a Slurm cluster; submitit's local executor is tested"),
)

# What an environment must have: (pattern, module or program, how one gets it).
NEEDS = (
    (r"--to=onnx", "tf2onnx", "pip install 'msbreg-tf[onnx]'"),
    (r"--to=onnx", "onnxruntime", "pip install 'msbreg-tf[onnx]'"),
    (r"--to=openvino", "openvino", "pip install 'msbreg-tf[openvino]'"),
    (r"--engine=beam", "apache_beam", "pip install 'msbreg-tf[beam]'"),
    (r"tensorflow/serving", "tensorflow_serving", "pip install --no-deps tensorflow-serving-api"),
    (r"--server=grpc", "grpc", "pip install 'msbreg-tf[serve]'"),
    (r"\bcurl\b", "curl", "apt-get install curl"),
    (r"tools\.detect|resnet50\.pth|--torch_python", "--torch_python", "a Python that has torch"),
)

_TRAINING = r"(-m msbreg_tf\.train|msbreg train|-m tools\.quickstart|-m tools\.sweep)\b.*"
_SMALL = "--epochs=1 --warmup_epochs=0"
_SHORT = "one epoch of few images"
_LABELLED = "--dataset=folder --data_dir=~/labelled --train_split=train --test_split=test"

# Applied from the first to the last.
RULES = (
    # Places
    Rule(r"/data/pictures", "~/pictures", "a folder of 12 sample images"),
    Rule(r"\bDIR\b", "~/labelled", "a folder of sample images by class"),
    Rule(r"/shared/", "~/shared/", "a folder of this user"),
    Rule(r"/exports/STEP", "runs/quickstart/export/1560", "an export that is there"),
    Rule(r"\bHOST\b", "localhost", "this machine"),
    Rule(r"--torch_python=PATH", "--torch_python={torch}", "the Python that has torch"),
    # Services
    Rule(
        r"^docker run .*tensorflow/serving.*",
        "python -m tests.evaluation.serving.stand_in runs/quickstart/export"
        " --rest_port=8501 --port=8500",
        "a stand-in for TensorFlow Serving, which needs Docker",
    ),
    Rule(r"--watch=\d+", "--watch=1", "looks every second"),
    Rule(r"~/pictures", "~/labelled", "a data service reads no WebP", r"--data_service="),
    Rule(r"$", " --batch_size=8", "for little memory", r"tools\.doctor.*imagenet100"),
    # Trainings: few images, one epoch
    Rule(r"--epochs=\d+ --warmup_epochs=[\d.]+|--epochs=\d+", "", _SHORT, _TRAINING),
    Rule(r"--(knn|quality)_every=\d+", r"--\1_every=1", "after every epoch", _TRAINING),
    Rule(r"'--split=train\[:50%\]'", "", "a folder has no splits", _TRAINING),
    Rule(
        r"$",
        " --dataset=folder --split=train --data_dir=~/pictures",
        "sample images for a data set that must be downloaded",
        r"(msbreg_tf\.train|msbreg train|preview_views).*(flags/|recipe=)(stl10|cifar10|imagenet)",
    ),
    Rule(
        r"$",
        f" --num_views=2 --image_size=64 --batch_size=4 {_SMALL}",
        _SHORT,
        r"-m msbreg_tf\.train.*(imagenet\.cfg|resnet50)",
    ),
    Rule(
        r"$",
        f" --batch_size=8 {_SMALL}",
        _SHORT,
        r"(-m msbreg_tf\.train|msbreg train)(?!.*(imagenet\.cfg|resnet50|quickstart)).*",
    ),
    Rule(
        r"$",
        " --encoder_width=8 --image_size=32",
        "a small network",
        r"(-m msbreg_tf\.train|msbreg train).*(folder|cifar10|stl10)(\.cfg)? "
        r"(?!.*(init_from|/mine|/large|resnet50))",
    ),
    Rule(
        r"( &\ndone; wait|$)",
        rf" --split=test --batch_size=250 {_SMALL}\1",
        _SHORT,
        r"(?s)(-m msbreg_tf\.train.*|-m tools\.sweep.*)flags/quickstart\.cfg(?!.*engine=print)",
    ),
    Rule(
        r" --workdir=runs/quickstart --knn_every=1",
        " --workdir=runs/quickstart-knn --knn_every=1 --split=test --batch_size=250 --epochs=1"
        " --warmup_epochs=0",
        "runs/quickstart is finished; one epoch",
    ),
    # Sweeps: one seed, two points
    Rule(r"--seeds=[\d,]+", "--seeds=0", "one seed", "tools.sweep"),
    Rule(r"'runs/\*' --rank_by", "'runs/grid/*' --rank_by", "runs of one protocol"),
    Rule(r"lambda_s=0,0.002,0.004;num_views=2,4", "lambda_s=0,0.004", "two points"),
    Rule(r"; tau_base=0.5,num_views=4", "", "two points"),
    Rule(r"lambda_b=0,0.05,0.5", "lambda_b=0.05", "one point of a grid"),
    Rule(r"linear: epochs=50", "linear: epochs=1", "one epoch"),
    Rule(
        r"runs/table5_small$",
        "runs/table5_whole --engine=print",
        "40 points are an hour of work",
        r"table5_small\.cfg",
    ),
    Rule(
        r"--data_dir=\S+",
        "--dataset=sample --split=test",
        "the sample for ImageNet-100",
        r"table5\.cfg.*--engine=print",
    ),
    # Evaluations
    Rule(
        r"(--flagfile=flags/eval/\S+)",
        rf"\1 {_LABELLED}",
        "80 sample images for the data set",
    ),
    Rule(r"$", " --epochs=1 --batch_size=16", "one epoch", r"finetune_1\w+\.cfg"),
    Rule(r"--fractions=0.01,0.1,1", "--fractions=0.3,1", "there are 80 labelled images", ""),
    Rule(r"--seeds=0,1,2", "--seeds=0", "one seed", "tools.finetune"),
    Rule(
        r"$",
        " --epochs=1 --batch_size=16 --classifier_lr=0.1 --encoder_lr=0.01",
        "one epoch",
        r"tools\.finetune --compare",
    ),
    Rule(r"$", " --fractions=0.3,1", "80 labels", r"tools\.finetune --compare(?!.*--fractions?=)"),
    # Detection
    Rule(r"--classes=cat,dog", "--classes=cat,dog,horse,aeroplane", "what the folder has"),
    Rule(
        r"$",
        " --python={torch} --steps=1 --batch_size=2 --min_sizes=160 --test_size=160 --rois=16"
        " --proposals=20 --device=cpu --workers=0",
        "one step on tiny folders",
        r"tools\.detect",
    ),
    # Many machines
    Rule(r"tools\.parity$", "tools.parity --cpu_devices=2", "parts of the CPU for GPUs"),
    Rule(
        r'^#SBATCH --array=1-16\n(.*)"\$SLURM_ARRAY_TASK_ID/16"',
        r'for SLURM_ARRAY_TASK_ID in 1 2; do \1"$SLURM_ARRAY_TASK_ID/2" || exit; done',
        "two shards, one after the other",
    ),
    Rule(
        r'^(.*)"\$\(\(JOB_COMPLETION_INDEX \+ 1\)\)/16"',
        r'for JOB_COMPLETION_INDEX in 0 1; do \1"$((JOB_COMPLETION_INDEX + 1))/2" || exit; done',
        "two shards, one after the other",
    ),
    Rule(
        r'--output=pictures.parquet --beam_args="[^"]*"',
        "--output=beam.parquet",
        "Beam's runner for one machine, into a file that is not there yet",
    ),
    Rule(r"$", " --seconds=0.2", "shorter", "benchmarks.conversions"),
    Rule(r"^pip install", "python -m pip install --quiet", "the environment of this run"),
)

SUPPLIES = (
    Supply(
        r"runs/seed",
        "for i in 0 1; do python -m msbreg_tf.train --flagfile=flags/quickstart.cfg --seed=$i"
        " --workdir=runs/seed$i &\ndone; wait",
        "two runs that differ in their seed",
    ),
    Supply(
        r"runs/table5_small",
        "python -m tools.sweep --flagfile=flags/quickstart.cfg --workdir=runs/table5_small"
        ' --grid="lambda_s=0,0.004" --seeds=0 --evaluate=knn',
        "two points for the table's 40",
    ),
    Supply(
        r"runs/imagenet/export",
        'mkdir -p runs/imagenet/export && python -c "from msbreg_tf.networks.resnet import'
        " build_resnet as b; from msbreg_tf.evaluation.exporting import export_encoder as e;"
        " e(b('resnet50'), 'runs/imagenet/export/1', image_size=64, metadata={})\"",
        "a ResNet-50 that is not trained, which takes too long",
    ),
    Supply(
        r"runs/large/export",
        "python -m msbreg_tf.train --flagfile=flags/folder.cfg --data_dir=~/pictures"
        " --workdir=runs/large",
        "a run of the recipe",
    ),
    Supply(
        r"resnet18\.safetensors",
        "python -m tools.convert --saved_model=runs/mine/export/STEP --to=torchvision"
        " --output=resnet18.safetensors",
        "our own weights stand for torchvision's",
    ),
    Supply(
        r"resnet50\.pth",
        "python -m tools.convert --saved_model=runs/imagenet/export/STEP --to=torchvision"
        ' --output=for_pth.safetensors && {torch} -c "import torch; from safetensors.torch import'
        " load_file; torch.save(load_file('for_pth.safetensors'), 'resnet50.pth')\"",
        "our own weights stand for torchvision's",
    ),
)

SERVICES = (
    Service(r"^tensorboard ", r"http://", stays=False),
    Service(r"--watch=", r"(?m)report\.html", stays=False),
    Service(r"serving\.stand_in", r'"rest"', stays=True),
    Service(r"tools\.data_service --role=dispatcher", r"--data_service=", stays=True),
    Service(r"tools\.data_service --role=worker", r"\S", stays=True),
)


def changed(command: str, torch_python: str) -> tuple[str, list[Rule]]:
    """A command after all rules that apply to it, and these rules."""
    applied = []
    for rule in RULES:
        if re.search(rule.only, command) and re.search(rule.pattern, command):
            once = rule.pattern.endswith(("$", "$)"))
            command = re.sub(rule.pattern, rule.new, command, count=int(once))
            applied.append(rule)
    return command.replace("{torch}", torch_python), applied
