"""Stage 3 of 8. Makes 28 variants of every image: turned, lit, blurred, masked, covered.

Reads  FER-Original-Dataset (from stage 2)
Writes FER-Original-Dataset-Augmented/{FER,CKP,RAF,NAME}/<class>/<n>_<operation>.png
For another scheme than the default, the folders are FER-Original-Dataset-<scheme>[-Augmented].
"""

from emotorch import cli


def main() -> None:
    parser = cli.make_parser(__doc__, "python develop_baseline_model/helpers/augment_original_dataset.py --seed 42")
    cli.add_stage_options(parser)
    cli.add_scheme_option(parser)
    cli.add_seed_option(parser, "of the drawn angles, strengths and places; another one makes all variants anew")
    options = parser.parse_args()

    from emotorch.data import variants
    from emotorch.labels import get_scheme
    from emotorch.paths import Paths

    paths = Paths.from_environment().for_scheme(get_scheme(options.scheme).name)
    done = variants.create(paths, seed=options.seed, workers=options.workers, force=options.force)
    print(f"{paths.augmented}: {done.images} images {'up to date' if done.up_to_date else 'written'}")


if __name__ == "__main__":
    cli.run(main, interrupted=cli.GOES_ON)
