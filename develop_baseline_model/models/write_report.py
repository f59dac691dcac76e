"""One page about a run or a sweep: a single HTML file that needs no server and no other file.

Reads  MODEL/ and the images that it was not trained on; or SWEEP/ and its runs
Writes MODEL/report.html, where what is not measured yet of the run is measured, or said to be missing; or
       SWEEP/report.html, with runs.csv (a row for each run) and best_of_n.csv (what a larger sweep would bring)

The page of a run shows the dataset's faces: mind its terms.
"""

from emotorch import cli


def main() -> None:
    parser = cli.make_parser(
        __doc__,
        "python develop_baseline_model/models/write_report.py model_00001\n"
        "  python develop_baseline_model/models/write_report.py sweep_20261120_190312",
    )
    parser.add_argument("name", metavar="MODEL|SWEEP", help="the folder of a model or of a sweep, or a path to it")
    parser.add_argument(
        "--beside",
        metavar="SWEEP",
        action="append",
        default=[],
        help="of a sweep: compare it with another, run by run where settings and seeds are equal; may be repeated",
    )
    parser.add_argument("--force", action="store_true", help="measure again what is there and up to date")
    cli.add_device_options(parser)
    options = parser.parse_args()

    from emotorch.evaluation.loaded_run import LoadedRun
    from emotorch.paths import Paths
    from emotorch.reports.run_page import write_run_page
    from emotorch.reports.sweep_page import write_sweep_page
    from emotorch.sweep.folder import find_sweep

    paths = Paths.from_environment()
    sweep = find_sweep(paths, options.name)
    if options.beside and sweep is None:
        parser.error(f"--beside is for sweeps, and {options.name} is none")
    if sweep is not None:
        beside = [find_sweep(paths, name) for name in options.beside]
        for name, found in zip(options.beside, beside, strict=True):
            if found is None:
                parser.error(f"--beside {name}: no sweep in {paths.models}")
        page, lines = write_sweep_page(paths, sweep, [folder for folder in beside if folder is not None])
        print(*lines, page, sep="\n")
    else:
        # One thread to an operation: the analyses share them out.
        loaded = LoadedRun.load(paths, options.name, device=options.device, threads=1)
        print(write_run_page(loaded, threads=options.threads, force=options.force))


if __name__ == "__main__":
    cli.run(main)
