"""kill -9 at a random moment: what is half-written is never taken for whole, and the same command again ends as if
nothing had happened."""

from functools import partial

from torture.subjects import SUBJECTS, Subject, differences, half_written
from torture.trials import MISSED, Bench, Result, Series

KIND = "killed"


def series(bench: Bench, _: tuple[str, ...]) -> list[Series]:
    return [Series(KIND, subject.name, subject.kills, partial(_kill, bench, subject)) for subject in SUBJECTS.values()]


def _kill(bench: Bench, subject: Subject, number: int) -> Result:
    chance, known = bench.chance(f"{KIND} {subject.name}", number), bench.known(subject)
    root = bench.fresh(subject.after)
    moment, group = chance.random() * known.seconds, chance.random() < 0.5
    ended = subject.run(root, kill_after_s=moment, kill_group=group)
    if not ended.killed:
        return Result(MISSED) if ended.status == 0 else Result.of(ended.fault(may_fail=False))
    half = half_written(subject, known, root)
    if half or not differences(known, root):
        return Result.of(half)
    again = subject.again(root)
    return Result.of(again.fault(may_fail=False) if again else "", differences(known, root))
