"""Recipes: one frozen record per system, with everything that makes its training; `overrides` changes one."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, get_type_hints

from emotorch.errors import EmoTorchError, UsageError
from emotorch.typed import require

LOSS_NAMES = ("cosine_proximity", "cross_entropy", "focal")
OPTIMIZER_NAMES = ("rmsprop", "sgd", "adam", "adamw", "muon")
SCHEDULE_NAMES = ("constant", "plateau", "cosine", "one_cycle")
PRECISION_NAMES = ("float32", "mixed")
METRIC_NAMES = ("loss", "accuracy", "macro_f1")
SAMPLING_NAMES = ("shuffled", "balanced")
FER_FOLDS = tuple(f"fold{number}" for number in range(1, 6))
BY_SOURCE, PUBLISHED_SPLIT = SPLITS = ("by_source", "published")
# Training images that are copies of held-out ones: as suits the dataset, always kept, or always dropped.
COPIES_CHOICES = SUITED_COPIES, KEEP_COPIES, DROP_COPIES = ("auto", "keep", "drop")
FER_USAGE_CHOICES = ("all", "training", "official", "search", *FER_FOLDS)
MAJORITY, VOTES = TARGET_NAMES = ("majority", "votes")
# Mean and standard deviation of each channel, of grey values 0-1.
NORMALIZATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "unit": ((0.0,), (1.0,)),
    "symmetric": ((0.5,), (0.5,)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
# Settings of a network that its recipe leaves at their defaults.
OPTIONAL_CONFIG: dict[str, dict[str, type]] = {
    "compact": {"width": int},
    "emotion_cnn": {"width": int, "hidden": int},
}

Value = bool | int | float | str


@dataclass(frozen=True)
class Augmentation:
    """What is done to training images, drawn anew for every image of every batch. At its default each is off.

    Blur, downscaling and noise come last, after mixing, and teachers are spared them.

    Attributes:
        flip: Probability of a mirror image.
        rotation: At most so many degrees either way.
        shift: At most this part of the side either way, along each axis.
        scale: Smallest and largest factor of size.
        crop: Smallest part of the area that a random square crop keeps; brought back to full size.
        brightness: Factor within 1 ± this.
        contrast: Factor within 1 ± this, around the image's mean.
        saturation: Factor within 1 ± this, of images in colour.
        hue: At most this part of the circle of colours either way, of images in colour.
        blur: Probability of a Gaussian blur.
        blur_sigma: Of the blur, at most, in pixels.
        downscaling: Probability that an image is shrunk and enlarged again.
        smallest_side: What it is shrunk to, at least, as a part of its side.
        noise: Probability of Gaussian noise.
        noise_sigma: Of the noise, at most, as a part of the full scale.
        occlusion: Probability of a patch that hides a part.
        occlusion_size: Longest side of the patch, as a part of the image's.
    """

    flip: float = 0.0
    rotation: float = 0.0
    shift: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    crop: float = 1.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    blur: float = 0.0
    blur_sigma: float = 1.0
    downscaling: float = 0.0
    smallest_side: float = 0.25
    noise: float = 0.0
    noise_sigma: float = 0.1
    occlusion: float = 0.0
    occlusion_size: float = 0.3

    def __post_init__(self) -> None:
        chances = ("flip", "blur", "downscaling", "noise", "occlusion")
        for name in (*chances, "shift", "brightness", "contrast", "saturation", "noise_sigma", "occlusion_size"):
            _check(0 <= getattr(self, name) <= 1, f"augmentation.{name}", "from 0 to 1", getattr(self, name))
        _check(0 <= self.hue <= 0.5, "augmentation.hue", "from 0 to 0.5", self.hue)
        _check(0 <= self.rotation <= 180, "augmentation.rotation", "from 0 to 180 degrees", self.rotation)
        _check(0 < self.smallest_side <= 1, "augmentation.smallest_side", "above 0, at most 1", self.smallest_side)
        _check(0 < self.crop <= 1, "augmentation.crop", "above 0, at most 1", self.crop)
        _check(0 < self.blur_sigma <= 8, "augmentation.blur_sigma", "above 0, at most 8 pixels", self.blur_sigma)
        ordered = len(self.scale) == 2 and 0.1 <= self.scale[0] <= self.scale[1] <= 10
        _check(ordered, "augmentation.scale", "two rising factors from 0.1 to 10", self.scale)


@dataclass(frozen=True)
class Recipe:
    """How a system is trained.

    Attributes:
        name: In options and records.
        network: One that is registered in `emotorch.networks`, or `timm:NAME`.
        scheme: The label scheme it is meant for.
        network_config: The network's own arguments, less `num_classes`, which the scheme gives. `image_size` and
            `channels`, which every network has, say what it takes: images are brought to that size; grey ones are
            repeated for three channels, and colours become grey for one.
        normalization: Of the input; see `NORMALIZATIONS`.
        pretrained: File of weights to start from; empty to start from scratch.
        trained_layers: With `pretrained`: how many of the backbone's last layers are trained; 0 for all.
        teachers: Finished models, by name or folder, with commas between them, whose mean probabilities for a
            training image, its soft target, are learned beside its label; empty for none.
        distillation: With `teachers`: the part of the soft target in what is learned.
        fer_usage: How FER-2013 is split: 85/15 of `all` or of its `training` rows; `official` (Training trains,
            PublicTest selects); `search` (90/10 of Training: what choices among recipes are made on); or one of five
            folds of Training (`fold1` to `fold5`), which validates while the other four train.
        split: `by_source` keeps an image, its copies and its variants on one side; `published` holds out images after
            the variants are drawn, as the published baseline did: variants and copies are on both sides, and every
            run of it is marked `leaky`.
        copies: Training images that are copies of held-out ones, or show a person of theirs, in a split that came with
            the data: `auto` leaves them out, but of a known dataset, whose official split stays whole; `keep` trains
            on them, and marks the run `leaky`; `drop` leaves them out of an official split too.
        variants: Part of stage 3's variants that training and validation draw when no option says.
        loss: `cosine_proximity`, `cross_entropy` or `focal`.
        focal_gamma: Of the focal loss: how little the images count that are right already.
        targets: In scheme `ferplus`, what is learned of a training image: its label, by FER+'s `majority`, or its
            `votes`, as a distribution, which more images have than a majority. What validates is by majority.
        label_smoothing: Part of a label that is spread over all classes.
        mixup: Shape of the beta distribution that mixes pairs of images and labels; 0 for none.
        cutmix: The same, for a box of one image in the other's place; with `mixup` too, a batch gets one of both.
        class_weights: Weigh the loss by the inverse frequency of the class.
        sampling: `shuffled`, every image once an epoch, or `balanced`, as many images of each class, drawn with
            repetition.
        optimizer: `rmsprop`, `sgd`, `adam`, `adamw`, or `muon` for filters of convolutions and `adamw` for the rest.
        learning_rate: The highest.
        momentum: Of `sgd` (Nesterov's) and `rmsprop`.
        weight_decay: On weights of two or more dimensions: biases and normalisation have none.
        schedule: Of the learning rate: `constant`; `plateau`, multiplied by `plateau_factor` after
            more than `plateau_patience` epochs without a better value of `watch` (PyTorch's count); `cosine`, falling
            to 0 over all epochs; `one_cycle`, rising over the first 30% and falling over the rest.
        warmup_epochs: The learning rate rises from 0 over so many epochs; `one_cycle` rises by itself, and has none.
        gradient_clip: Longest norm of the gradient; 0 for no limit.
        ema_decay: Of a moving average of the weights, which is then what is validated and kept; 0 for none.
        precision: `float32`, or `mixed`: bfloat16 where the device computes faster in it.
        batch_size: Images a step.
        epochs: At most.
        watch: What decides over best epoch, plateaus and early stopping: `loss`, `accuracy` or `macro_f1` over all
            validation images.
        early_stop_patience: Epochs without a better value before the training ends; 0 for never.
        first_size: Side of the training images in the first epoch, when it is smaller than the network's: large ones
            bring little before the coarse is learned. They grow over the epochs. 0 for full size all along.
        growing: Part of the epochs until they have their full size.
        augmentation: Of training images, on the device.
    """

    name: str
    network: str
    scheme: str
    network_config: Mapping[str, Value] = field(default_factory=dict)
    normalization: str = "unit"
    pretrained: str = ""
    trained_layers: int = 0
    teachers: str = ""
    distillation: float = 0.7
    fer_usage: str = "official"
    split: str = BY_SOURCE
    copies: str = SUITED_COPIES
    variants: float = 0.0
    loss: str = "cross_entropy"
    focal_gamma: float = 2.0
    targets: str = MAJORITY
    label_smoothing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    class_weights: bool = False
    sampling: str = "shuffled"
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: str = "plateau"
    plateau_factor: float = 0.5
    plateau_patience: int = 5
    warmup_epochs: float = 0.0
    gradient_clip: float = 0.0
    ema_decay: float = 0.0
    precision: str = "float32"
    batch_size: int = 64
    epochs: int = 50
    watch: str = "loss"
    early_stop_patience: int = 10
    first_size: int = 0
    growing: float = 0.5
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        for key in ("image_size", "channels"):
            if key not in self.network_config:
                raise UsageError(f"recipe {self.name}: network_config has no {key}, which every network requires")
        for name, choices in (
            ("normalization", tuple(NORMALIZATIONS)),
            ("fer_usage", FER_USAGE_CHOICES),
            ("split", SPLITS),
            ("copies", COPIES_CHOICES),
            ("loss", LOSS_NAMES),
            ("targets", TARGET_NAMES),
            ("sampling", SAMPLING_NAMES),
            ("optimizer", OPTIMIZER_NAMES),
            ("schedule", SCHEDULE_NAMES),
            ("precision", PRECISION_NAMES),
            ("watch", METRIC_NAMES),
        ):
            if getattr(self, name) not in choices:
                raise UsageError(f"{name} {getattr(self, name)!r} is none of {', '.join(choices)}")
        for name in ("batch_size", "epochs", "plateau_patience"):
            _check(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
            _check(getattr(self, name) < 2**31, name, "below 2147483648", getattr(self, name))
        amounts = ("early_stop_patience", "trained_layers", "warmup_epochs", "gradient_clip", "focal_gamma")
        for name in (*amounts, "mixup", "cutmix"):
            _check(0 <= getattr(self, name) < math.inf, name, "0 or more", getattr(self, name))
        for name in ("momentum", "ema_decay", "label_smoothing", "weight_decay"):
            _check(0 <= getattr(self, name) < 1, name, "from 0 to below 1", getattr(self, name))
        for name in ("distillation", "variants", "growing"):
            _check(0 <= getattr(self, name) <= 1, name, "from 0 to 1", getattr(self, name))
        if self.first_size:
            side = int(self.network_config["image_size"])
            allowed = f"0, or from 16 pixels to the network's {side}"
            _check(16 <= self.first_size <= side, "first_size", allowed, self.first_size)
        _check(0 < self.learning_rate < math.inf, "learning_rate", "a number above 0", self.learning_rate)
        _check(0 < self.plateau_factor < 1, "plateau_factor", "between 0 and 1", self.plateau_factor)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Recipe":
        """The inverse of `asdict`, also by way of JSON; settings that are newer than the record get their default.

        Raises:
            EmoTorchError: a setting is unknown, not there, or not of its type; or, as UsageError, out of range.
        """
        _require_settings(values, cls, "recipe")
        _require_settings(values["augmentation"], Augmentation, "recipe.augmentation")
        augmentation = dict(values["augmentation"])
        if "scale" in augmentation:
            augmentation["scale"] = tuple(augmentation["scale"])
        # A plain dict, as checkpoints hold it.
        parts = {"network_config": dict(values["network_config"]), "augmentation": Augmentation(**augmentation)}
        return cls(**{**values, **parts})


def _require_settings(values: object, record: type[Recipe | Augmentation], name: str) -> None:
    require(values, dict[str, Any], name)
    assert isinstance(values, Mapping)
    types = get_type_hints(record)
    for key, value in values.items():
        if key not in types:
            raise EmoTorchError(f"{name} has an unknown setting {key!r}: it may be of a later version")
        require(value, dict[str, Any] if types[key] is Augmentation else types[key], f"{name}.{key}")
    for one in fields(record):
        needed = one.default is MISSING and one.default_factory is MISSING
        if one.name not in values and (needed or one.type is Augmentation):
            raise EmoTorchError(f"{name} has no {one.name}")


def _check(right: bool, name: str, allowed: str, value: object) -> None:
    if not right:
        raise UsageError(f"{name} must be {allowed}, not {value}")


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        # python develop_baseline_model/models/convolutional_nn_pytorch.py
        # Published recreation (300 runs, with leaks): training 57.08, FER 51.29, CK+ 60.80, combined 53.88.
        Recipe(
            name="emotorch",
            network="emotorch_cnn",
            scheme="emotorch4",
            network_config={"image_size": 48, "channels": 1, "filters": 10, "kernel_size": 4},
            fer_usage="all",
            variants=0.01,
            loss="cosine_proximity",
            optimizer="rmsprop",
            learning_rate=5e-4,
            batch_size=32,
            early_stop_patience=3,
        ),
        # python develop_baseline_model/models/convolutional_nn_pytorch.py --recipe emotion_cnn
        # Published: a target of 85% on 128 test images of its own.
        Recipe(
            name="emotion_cnn",
            network="emotion_cnn",
            scheme="mood4",
            network_config={"image_size": 48, "channels": 3},
            normalization="imagenet",
            class_weights=True,
            watch="accuracy",
            augmentation=Augmentation(
                flip=0.5, rotation=15, crop=0.8, brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05
            ),
        ),
        # python develop_baseline_model/models/convolutional_nn_pytorch.py --recipe emotion_classifier
        # Published: 63.10% on a split of its own.
        Recipe(
            name="emotion_classifier",
            network="emotion_classifier",
            scheme="seven",
            network_config={"image_size": 48, "channels": 1, "dropout": 0.5},
            plateau_patience=4,
            precision="mixed",
            epochs=75,
            watch="accuracy",
            augmentation=Augmentation(flip=0.5, rotation=10, shift=0.1, scale=(0.9, 1.1)),
        ),
        # python develop_baseline_model/models/convolutional_nn_pytorch.py --recipe resnet50v2_cbam
        # Published: 65% of PublicTest and PrivateTest together, from ImageNet weights.
        Recipe(
            name="resnet50v2_cbam",
            network="resnet50v2_cbam",
            scheme="seven",
            network_config={"image_size": 96, "channels": 3, "attention": True, "hidden": 256, "dropout": 0.5},
            normalization="symmetric",
            trained_layers=27,  # with parameters; Keras counts its last 50 with activations, paddings and additions
            loss="focal",
            optimizer="rmsprop",
            learning_rate=3e-4,
            schedule="cosine",
            warmup_epochs=1,
            precision="mixed",
            epochs=30,
            watch="accuracy",
            augmentation=Augmentation(flip=0.5, rotation=10, shift=0.1, scale=(0.9, 1.1)),
        ),
        # python develop_baseline_model/models/convolutional_nn_pytorch.py --recipe shared_cnn
        # Published: no figure; the same net for two datasets.
        Recipe(
            name="shared_cnn",
            network="shared_cnn",
            scheme="seven",
            network_config={"image_size": 64, "channels": 1, "dropout": 0.5},
            loss="focal",
            focal_gamma=1.0,
            learning_rate=4e-3,
            schedule="one_cycle",
            precision="mixed",
            epochs=30,
            watch="macro_f1",
            augmentation=Augmentation(
                flip=0.5, rotation=10, brightness=0.2, contrast=0.2, blur=0.1, blur_sigma=1.0, occlusion=0.25
            ),
        ),
        # python develop_baseline_model/models/convolutional_nn_pytorch.py --recipe compact
        # This project's own: the seven classes at less than 2 million parameters.
        Recipe(
            name="compact",
            network="compact",
            scheme="seven",
            network_config={"image_size": 48, "channels": 1, "dropout": 0.3},
            normalization="symmetric",
            label_smoothing=0.1,
            mixup=0.2,
            optimizer="muon",
            learning_rate=8e-3,
            weight_decay=0.05,
            schedule="cosine",
            warmup_epochs=0.5,
            ema_decay=0.998,
            precision="mixed",
            batch_size=128,
            epochs=30,
            watch="accuracy",
            early_stop_patience=0,
            first_size=24,
            growing=0.6,
            augmentation=Augmentation(
                flip=0.5, rotation=12, shift=0.08, scale=(0.9, 1.1), brightness=0.2, contrast=0.2, occlusion=0.4
            ),
        ),
        # python develop_baseline_model/models/convolutional_nn_pytorch.py --recipe speedrun
        # This project's own: towards what people reach, 65%, in the least time on two cores.
        Recipe(
            name="speedrun",
            network="compact",
            scheme="seven",
            network_config={"image_size": 48, "channels": 1, "dropout": 0.1, "width": 32},
            normalization="symmetric",
            label_smoothing=0.1,
            optimizer="muon",
            learning_rate=1e-2,
            weight_decay=0.05,
            schedule="cosine",
            warmup_epochs=0.5,
            ema_decay=0.99,
            precision="mixed",
            batch_size=128,
            epochs=16,
            watch="accuracy",
            early_stop_patience=0,
            first_size=24,
            growing=0.6,
            augmentation=Augmentation(flip=0.5, rotation=10, shift=0.08, scale=(0.9, 1.1), occlusion=0.25),
        ),
    )
}


def get_recipe(name: str) -> Recipe:
    """Raises UsageError when no recipe has this name."""
    if name not in RECIPES:
        raise UsageError(f"unknown recipe {name!r}: choose from {', '.join(RECIPES)}")
    return RECIPES[name]
