"""A page to try a trained model: drop a picture or use the camera, and see what expression each face shows.

Reads  a trained model; pictures that are shown to the page, which stay on this machine and are not kept
Prints the page's address, which only this machine reaches
"""

import logging

from emotorch import cli


def main() -> None:
    parser = cli.make_parser(__doc__, "python baseline_model/model/demo.py --model compact")
    cli.add_shipped_model_option(parser)
    cli.add_reading_option(parser)
    parser.add_argument(
        "--port", type=int, default=8000, metavar="N", help="of the page's address; 0 for any free one (default: 8000)"
    )
    options = parser.parse_args()

    from emotorch.inference.demo import HOST, create_app, listen, serve
    from emotorch.inference.reader import open_reader
    from emotorch.paths import Paths
    from emotorch.runs.folder import shipped_or_named

    weights = shipped_or_named(Paths.from_environment(), options.model)
    listener = listen(options.port)
    app = create_app(open_reader(weights, options.scheme), str(weights))
    print(f"http://{HOST}:{listener.getsockname()[1]}/", flush=True)
    logging.getLogger("emotorch").info("open it in a browser on this machine; Ctrl-C ends it")
    serve(app, listener)


if __name__ == "__main__":
    cli.run(main)
