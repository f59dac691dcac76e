"""EmoTorch: facial-emotion research, from raw data to a compared and calibrated model; and the models, to be used.

    import emotorch

    for face in emotorch.predict("photo.jpg"):
        print(face.emotion, face.confidence, face.box)

What is named here is imported when it is first used: `import emotorch` alone takes no time.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from emotorch.data.faces import Box
    from emotorch.errors import EmoTorchError
    from emotorch.inference.model import Model, Source, load, predict, video
    from emotorch.inference.predictions import Prediction
    from emotorch.inference.video import FramePredictions
    from emotorch.inference.video_predictions import VideoPredictions

__version__ = "0.1.0"
__all__ = [
    "Box",
    "EmoTorchError",
    "FramePredictions",
    "Model",
    "Prediction",
    "Source",
    "VideoPredictions",
    "__version__",
    "load",
    "predict",
    "video",
]

_HOMES = {
    "Box": "emotorch.data.faces",
    "EmoTorchError": "emotorch.errors",
    "FramePredictions": "emotorch.inference.video",
    "Model": "emotorch.inference.model",
    "Prediction": "emotorch.inference.predictions",
    "Source": "emotorch.inference.model",
    "VideoPredictions": "emotorch.inference.video_predictions",
    "load": "emotorch.inference.model",
    "predict": "emotorch.inference.model",
    "video": "emotorch.inference.model",
}


if not TYPE_CHECKING:  # which would take any name for one that there is

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module 'emotorch' has no attribute {name!r}")
        from importlib import import_module

        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
