"""Model folders as the published code writes them, for tests of what reads them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from emotorch.networks.emotorch_cnn import EmoTorchCNN

LABELS = ("anger", "fear", "calm", "surprise")
METRICS = (
    "Training Accuracy",
    "Training Loss",
    "FER Validation Accuracy",
    "FER Validation Loss",
    "CKP Validation Accuracy",
    "CKP Validation Loss",
    "Combined Validation Accuracy",
    "Combined Validation Loss",
    "Epochs Completed",
    "Total Training Images",
    "Total Validation Images",
)
# The published recreation, model_00224_final of its sweep.
ACCURACIES = {
    "Training Accuracy": "57.08",
    "FER Validation Accuracy": "51.29",
    "CKP Validation Accuracy": "60.80",
    "Combined Validation Accuracy": "53.88",
    "Epochs Completed": "16",
    "Total Training Images": "31364",
}
FER = (
    (0.661, 0.156, 0.135, 0.048),
    (0.347, 0.355, 0.160, 0.139),
    (0.322, 0.160, 0.465, 0.053),
    (0.143, 0.165, 0.087, 0.606),
)
CKP = (
    (0.561, 0.036, 0.396, 0.007),
    (0.289, 0.427, 0.129, 0.155),
    (0.403, 0.176, 0.401, 0.020),
    (0.031, 0.045, 0.065, 0.859),
)

Matrix = Sequence[Sequence[float]]


def write_matrix(path: Path, matrix: Matrix, labels: Sequence[str] = LABELS) -> None:
    rows = [",".join(map(str, (label, *row))) for label, row in zip(labels, matrix, strict=True)]
    path.write_text("\n".join([",".join(("", *labels)), *rows]) + "\n")


def write_run(
    folder: Path, accuracies: Mapping[str, str] = ACCURACIES, fer: Matrix | None = FER, ckp: Matrix | None = CKP
) -> Path:
    """What stages 6 and 8 read of a published folder: accuracies, matrices, history. No run.json."""
    folder.mkdir(parents=True)
    rows = [f"{metric},{accuracies.get(metric, 'NaN')}" for metric in METRICS]
    (folder / "final_accuracies.csv").write_text("\n".join(["Metric,Value", *rows]) + "\n")
    for name, matrix in (("fer", fer), ("ckp", ckp)):
        if matrix is not None:
            write_matrix(folder / f"confusion_matrix_{name}_val.csv", matrix)
    for name in ("fer", "ckp", "combined"):
        header = f"epoch,train_loss,train_accuracy,{name}_val_loss,{name}_val_accuracy"
        (folder / f"training_history_{name}.csv").write_text(
            f"{header}\n1,-0.5,40.5,-0.55,42.0\n2,-0.6,50.5,-0.6,47.0\n"
        )
    return folder


def published_state() -> dict[str, object]:
    """The content of a published model.pth, after one step of training; it gives all four answers to blobs."""
    torch.manual_seed(0)
    network = EmoTorchCNN(48, 1, 4)
    optimizer = torch.optim.RMSprop(network.parameters(), lr=5e-4)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=5)
    images = torch.nn.functional.interpolate(torch.rand(64, 1, 6, 6), size=(48, 48), mode="bilinear")
    network(images).sum().backward()
    optimizer.step()
    scheduler.step(-0.5)
    _spread_outputs(network, images)
    return {
        "model_state_dict": network.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
        "scheduler_state_dict": scheduler.state_dict(),
        "model_config": {
            "image_size": (48, 48),
            "channels": 1,
            "num_classes": 4,
            "filters": 10,
            "kernel_size": (4, 4),
        },
    }


@torch.no_grad()
def _spread_outputs(network: EmoTorchCNN, images: torch.Tensor) -> None:
    """Centres every output at 3 and spreads it by 1, so that each label is the answer to some image."""
    network.fc.bias.fill_(0.0)
    features: list[torch.Tensor] = []
    handle = network.fc.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    network(images)
    handle.remove()
    outputs = network.fc(features[0])
    scale = 1 / outputs.std(0)
    network.fc.weight.mul_(scale[:, None])
    network.fc.bias.copy_(3 - outputs.mean(0) * scale)
