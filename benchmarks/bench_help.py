"""`--help` of every script, against starting Python for nothing; the aim is a response that feels immediate.

python benchmarks/bench_help.py
"""

from timing import make_parser, paired, python

from emotorch.paths import REPOSITORY

ROUNDS = 5
FOLDERS = ("develop_baseline_model", "baseline_model/model")


def main() -> None:
    rounds = make_parser(__doc__, ROUNDS).parse_args().rounds
    scripts = sorted(
        path
        for folder in FOLDERS
        for path in (REPOSITORY / folder).rglob("*.py")
        if "cli.run(" in path.read_text(encoding="utf-8")
    )
    for script in scripts:
        ours_s, bare_s, ratio = paired(python(script, "--help"), python("-c", "pass"), rounds)
        name = script.relative_to(REPOSITORY)
        print(f"{name}: {1000 * ours_s:.0f} ms, {1 / ratio:.1f} times bare Python ({1000 * bare_s:.0f} ms)")


if __name__ == "__main__":
    main()
