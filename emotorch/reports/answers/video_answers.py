"""A video or a camera, answered: an annotated copy, a timeline, a live window."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from emotorch.data.images import Pixels
from emotorch.errors import EmoTorchError
from emotorch.inference.reader import FaceReader
from emotorch.inference.video import FrameAnswer, Video, answer_video
from emotorch.reports.answers.answers import as_video_text
from emotorch.reports.answers.delivery import Wishes, place_beside
from emotorch.reports.answers.frames import draw_answers, write_video
from emotorch.reports.answers.timeline import plot_timeline
from emotorch.reports.answers.window import LiveWindow, has_display


def follow_video(
    reader: FaceReader, name: str, wishes: Wishes, take: Callable[[FrameAnswer], None]
) -> tuple[str | None, str]:
    """Answers a video frame by frame, and draws what is wished of it.

    Args:
        reader: The model.
        name: A file, or a camera's number.
        wishes: `save` is the annotated copy, beside which the timeline goes.
        take: Is given each frame's answer as it comes.

    Returns:
        What was wrong, or None; and what there is to say of the whole, or nothing.

    Raises:
        EmoTorchError: something cannot be written.
    """
    try:
        video = Video(name)
    except EmoTorchError as problem:
        return str(problem).removeprefix(f"{name}: "), ""
    window = LiveWindow() if wishes.visualize and has_display() else None
    target = wishes.save or (place_beside(Path(name), ".mp4") if wishes.visualize and window is None else None)
    answers: list[FrameAnswer] = []

    def drawn() -> Iterator[Pixels]:
        frames = islice(answer_video(reader, video, wishes.detector), wishes.frames)
        for frame, raw in tqdm(frames, total=video.count or None, unit=" frames", leave=False, disable=None):
            answer = raw.abstaining_below(wishes.abstain_below)
            answers.append(answer)
            take(answer)
            if target or window:
                pixels = draw_answers(frame, answer)
                yield pixels
                if window and not window.show(pixels):
                    return

    try:
        if target:
            write_video(target, drawn(), video.rate)
        else:
            for _ in drawn():
                pass
    finally:
        video.close()
        if window:
            window.close()
    if target and answers:
        wishes.say(target)
        timeline = target.with_name(f"{target.stem}_timeline.png")
        wishes.say(plot_timeline(timeline, answers, reader.labels, Path(name).name))
    error = video.error
    if not error and not any(answer.faces for answer in answers):
        error = f"no face found in any of {len(answers)} frames"
    return error, as_video_text(name, answers, reader.labels) if answers else ""
