"""A run with its model in memory: what every analysis of a run starts from."""

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

import torch

from emotorch.paths import Paths
from emotorch.runs.folder import Run, find_run, run_in, shipped_or_named
from emotorch.runs.pictures import draw_kept_pictures
from emotorch.training.checkpoints import Model, load_model
from emotorch.training.device import choose_device, make_repeatable


@dataclass(frozen=True)
class LoadedRun:
    """A run, and its model in the scheme that it is read as, with the file of weights that it is from."""

    paths: Paths
    run: Run
    weights: Path
    model: Model
    device: torch.device

    @classmethod
    def load(
        cls, paths: Paths, name: str | None, *, device: str, threads: int, scheme: str | None = None
    ) -> "LoadedRun":
        """Loads a run's model, and makes this process's arithmetic repeatable; what a sweep's run lacks of pictures is
        drawn.

        Args:
            name: A model folder's name, a path to it or to a file of weights; None for the baseline that ships.
            device: As `choose_device` takes it.
            threads: Of an operation.
            scheme: To read the model's predictions as another label scheme.

        Raises:
            EmoTorchError: the model is damaged.
            UsageError: there is no such model or device, or the model cannot be read as that scheme.
        """
        weights = shipped_or_named(paths, name)
        run = run_in(paths, weights.parent) if name is None else find_run(paths, name)
        run.say_unverified()
        model = load_model(weights, scheme)
        make_repeatable(threads)
        draw_kept_pictures(run)
        return cls(paths, run, weights, model, choose_device(device))

    @classmethod
    def from_options(cls, options: Namespace, threads: int | None = None) -> "LoadedRun":
        """What a script's options name, below EMOTORCH_ROOT; see `load`.

        Args:
            options: With `model`, `device`, `threads` and perhaps `scheme`.
            threads: Of an operation, where the script has another use for those of its options.
        """
        return cls.load(
            Paths.from_environment(),
            options.model,
            device=options.device,
            threads=threads or options.threads,
            scheme=vars(options).get("scheme"),
        )
